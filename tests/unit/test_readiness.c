/* Which signs an instance has to give, and that all of them have come before it is said to be ready. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "supervisor/state.h"

static struct supervisor supervisor;
static struct supervisor_settings settings;
static struct gear gear;
static struct instance *instance;

static void begin(enum readiness ready) {
        struct error error = {0};

        memset(&supervisor, 0, sizeof supervisor);
        memset(&gear, 0, sizeof gear);
        settings = (struct supervisor_settings){.readiness = {.ready = ready, .fd_number = 7}};
        settings.fleet.replicas = 1;
        supervisor.settings = &settings;
        supervisor.notify.source.fd = -1;
        instance = &supervisor.instances.list[0];
        *instance = (struct instance){.is_used = true, .supervisor = &supervisor, .number = 5, .pid = 12345};
        assert_int_equal(loop_init(&supervisor.loop, &error), 0);
}

static void end(void) {
        for (size_t i = 0; i < gear.temporary_count; i++)
                close(gear.temporary[i]);
        if (instance->readiness.is_piped)
                close(instance->readiness.pipe.fd);
        loop_deinit(&supervisor.loop);
}

static void equip(void) {
        struct error error = {0};

        assert_int_equal(readiness_equip(&supervisor, instance, &gear, &error), 0);
}

/* How often was it said, and of nobody else? */
static size_t times_ready(void) {
        size_t count = 0;

        for (size_t i = 0; i < supervisor.event_count; i++) {
                const struct fleet_event *event = &supervisor.events[supervisor.event_first + i];

                count += event->kind == FLEET_READY && event->instance == 5;
        }
        assert_int_equal(count, supervisor.event_count);
        return count;
}

static void test_without_any_other_sign_a_program_that_runs_is_ready(void **state) {
        (void)state;
        begin(READINESS_AUTO);
        equip();
        assert_int_equal(instance->readiness.wanted, 1U << READINESS_EXEC);
        readiness_note(&supervisor, instance, READINESS_EXEC);
        assert_int_equal(times_ready(), 0); /* SPAWNED comes first */
        readiness_spawned(&supervisor, instance);
        assert_int_equal(times_ready(), 1);
        readiness_note(&supervisor, instance, READINESS_EXEC);
        readiness_note(&supervisor, instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 1);
        end();
}

static void test_a_message_that_came_before_the_exec_was_seen_counts(void **state) {
        (void)state;
        begin(READINESS_NOTIFY);
        equip();
        assert_int_equal(instance->readiness.wanted, 1U << READINESS_NOTIFY);
        readiness_note(&supervisor, instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 0);
        readiness_spawned(&supervisor, instance);
        assert_int_equal(times_ready(), 1);
        end();
}

static void test_who_wants_probes_wants_them_beside_every_other_sign(void **state) {
        (void)state;
        begin(READINESS_NOTIFY);
        settings.health.probe.kind = PROBE_EXEC;
        equip();
        assert_int_equal(instance->readiness.wanted, 1U << READINESS_NOTIFY | 1U << READINESS_PROBE);
        instance->readiness.is_running = true;
        readiness_note(&supervisor, instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 0);
        readiness_note(&supervisor, instance, READINESS_PROBE);
        assert_int_equal(times_ready(), 1);
        end();
}

static unsigned wanted_by(enum readiness ready, bool has_adopted, bool has_probe, bool has_listener) {
        static struct listener_settings listener;
        struct error error = {0};
        unsigned wanted;

        begin(ready);
        settings.readiness.has_adopted = has_adopted;
        settings.health.probe.kind = has_probe ? PROBE_EXEC : PROBE_NONE;
        listener = (struct listener_settings){.name = "http", .inherited_fd = -1};
        assert_int_equal(socket_address_parse("127.0.0.1:8080", &listener.address, &error), 0);
        settings.listeners = &listener;
        settings.listener_count = has_listener;
        equip();
        wanted = instance->readiness.wanted;
        end();
        return wanted;
}

static void test_auto_takes_the_best_sign_that_is_to_be_had(void **state) {
        const unsigned exec = 1U << READINESS_EXEC, listening = 1U << READINESS_LISTEN,
                       probe = 1U << READINESS_PROBE;

        (void)state;
        assert_int_equal(wanted_by(READINESS_AUTO, false, false, false), exec);
        assert_int_equal(wanted_by(READINESS_AUTO, false, false, true), listening);
        assert_int_equal(wanted_by(READINESS_AUTO, true, false, false), listening);
        assert_int_equal(wanted_by(READINESS_AUTO, false, true, false), probe);
        assert_int_equal(wanted_by(READINESS_AUTO, false, true, true), probe);
        assert_int_equal(wanted_by(READINESS_AUTO, true, true, true), listening | probe);
        assert_int_equal(wanted_by(READINESS_EXEC, true, false, true), exec);
        assert_int_equal(wanted_by(READINESS_DELAY, false, true, false), 1U << READINESS_DELAY | probe);
}

static void turn(void) {
        loop_wait(&supervisor.loop, time_now_ns());
}

static void test_a_newline_on_its_descriptor_is_the_sign_and_nothing_before_it(void **state) {
        (void)state;
        begin(READINESS_FD);
        equip();
        assert_string_equal(supervisor.ready_fd_variable, "TACET_READY_FD=7");
        assert_int_equal(gear.descriptor_count, 1);
        assert_int_equal(gear.descriptors[0].number, 7);
        assert_string_equal(gear.descriptors[0].name, "ready");
        assert_int_equal(fcntl(gear.descriptors[0].fd, F_GETFD), FD_CLOEXEC);
        readiness_spawned(&supervisor, instance);
        assert_int_equal(write(gear.descriptors[0].fd, "almost there", 12), 12);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_true(instance->readiness.is_piped);
        assert_int_equal(write(gear.descriptors[0].fd, "!\n", 2), 2);
        turn();
        assert_int_equal(times_ready(), 1);
        assert_false(instance->readiness.is_piped);
        end();
}

static void test_a_descriptor_that_is_closed_without_a_newline_says_nothing(void **state) {
        (void)state;
        begin(READINESS_FD);
        equip();
        readiness_spawned(&supervisor, instance);
        close(gear.temporary[--gear.temporary_count]);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_false(instance->readiness.is_piped); /* else it would be readable for ever */
        end();
}

static void test_a_delay_counts_from_the_programs_start(void **state) {
        (void)state;
        begin(READINESS_DELAY);
        settings.readiness.delay_ns = 30 * NS_PER_S;
        equip();
        readiness_spawned(&supervisor, instance);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_true(instance->readiness.delay.is_set);
        assert_true(instance->readiness.delay.deadline_ns > time_now_ns());
        assert_true(instance->readiness.delay.deadline_ns <= time_now_ns() + 30 * NS_PER_S);
        loop_timer_set(&supervisor.loop, &instance->readiness.delay, time_now_ns());
        turn();
        assert_int_equal(times_ready(), 1);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_any_other_sign_a_program_that_runs_is_ready),
                cmocka_unit_test(test_a_message_that_came_before_the_exec_was_seen_counts),
                cmocka_unit_test(test_who_wants_probes_wants_them_beside_every_other_sign),
                cmocka_unit_test(test_auto_takes_the_best_sign_that_is_to_be_had),
                cmocka_unit_test(test_a_newline_on_its_descriptor_is_the_sign_and_nothing_before_it),
                cmocka_unit_test(test_a_descriptor_that_is_closed_without_a_newline_says_nothing),
                cmocka_unit_test(test_a_delay_counts_from_the_programs_start),
        };

        return cmocka_run_group_tests_name("readiness", tests, NULL, NULL);
}
