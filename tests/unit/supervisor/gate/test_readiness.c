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
#include "supervisor/gate/readiness.h"

static struct loop loop;
static struct facts facts;
static struct children children;
static struct errands errands;
static struct instances instances;
static struct instance *instance;
static struct fleet_settings fleet;
static struct socket_rules rules;
static struct socket_settings sockets;
static struct notify_settings notify_settings;
static struct notify notify;
static struct health_settings health_settings;
static struct health health;
static struct readiness_settings settings;
static struct readiness_gate gate;
static struct gear gear;

static void begin(enum readiness ready) {
        struct error error = {0};

        memset(&facts, 0, sizeof facts);
        memset(&instances, 0, sizeof instances);
        memset(&notify, 0, sizeof notify);
        memset(&health, 0, sizeof health);
        memset(&gate, 0, sizeof gate);
        memset(&gear, 0, sizeof gear);
        sockets = (struct socket_settings){0};
        health_settings = (struct health_settings){0};
        settings = (struct readiness_settings){.ready = ready, .fd_number = 7};
        fleet = (struct fleet_settings){.replicas = 1};
        rules = (struct socket_rules){.fleet = &fleet};
        assert_int_equal(loop_init(&loop, &error), 0);
        errands_open(&errands, &loop, &children);
        instance = instance_unused(&instances);
        *instance = (struct instance){.is_used = true, .instances = &instances, .number = 5, .pid = 12345};
}

static void end(void) {
        gear_release(&gear);
        readiness_ended(&gate, instance);
        loop_deinit(&loop);
}

/* With the settings as they are now. */
static void equip(void) {
        const struct notify_rooms for_notify = {
                .loop = &loop, .facts = &facts, .instances = &instances, .errands = &errands};
        const struct health_rooms for_health = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .rules = &rules};
        const struct readiness_rooms for_gate = {.loop = &loop,
                .facts = &facts,
                .instances = &instances,
                .notify = &notify,
                .health = &health};
        struct error error = {0};

        assert_int_equal(notify_listen(&notify, &for_notify, &notify_settings, &error), 0);
        health_open(&health, &for_health, &health_settings, 0);
        readiness_open(&gate, &for_gate, &settings, listeners_can_probe(&sockets, &rules, NULL), 0);
        assert_int_equal(readiness_equip(&gate, instance, &gear, &error), 0);
}

/* How often was it said, and of nobody else? */
static size_t times_ready(void) {
        size_t count = 0;

        for (size_t i = 0; i < facts.count; i++) {
                const struct fleet_event *event = &facts.list[facts.first + i];

                count += event->kind == FLEET_READY && event->instance == 5;
        }
        assert_int_equal(count, facts.count);
        return count;
}

static void test_without_any_other_sign_a_program_that_runs_is_ready(void **state) {
        (void)state;
        begin(READINESS_AUTO);
        equip();
        assert_int_equal(instance->signs.wanted, 1U << READINESS_EXEC);
        signs_note(instance, READINESS_EXEC);
        assert_int_equal(times_ready(), 0); /* SPAWNED comes first */
        readiness_spawned(&gate, instance);
        assert_int_equal(times_ready(), 1);
        signs_note(instance, READINESS_EXEC);
        signs_note(instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 1);
        end();
}

static void test_a_message_that_came_before_the_exec_was_seen_counts(void **state) {
        (void)state;
        begin(READINESS_NOTIFY);
        equip();
        assert_int_equal(instance->signs.wanted, 1U << READINESS_NOTIFY);
        signs_note(instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 0);
        readiness_spawned(&gate, instance);
        assert_int_equal(times_ready(), 1);
        end();
}

static void test_who_wants_probes_wants_them_beside_every_other_sign(void **state) {
        (void)state;
        begin(READINESS_NOTIFY);
        health_settings.probe.kind = PROBE_EXEC;
        equip();
        assert_int_equal(instance->signs.wanted, 1U << READINESS_NOTIFY | 1U << READINESS_PROBE);
        signs_begin(instance);
        signs_note(instance, READINESS_NOTIFY);
        assert_int_equal(times_ready(), 0);
        signs_note(instance, READINESS_PROBE);
        assert_int_equal(times_ready(), 1);
        end();
}

static unsigned wanted_by(enum readiness ready, bool has_adopted, bool has_probe, bool has_listener) {
        static struct listener_settings listener;
        struct error error = {0};
        unsigned wanted;

        begin(ready);
        settings.has_adopted = has_adopted;
        health_settings.probe.kind = has_probe ? PROBE_EXEC : PROBE_NONE;
        listener = (struct listener_settings){.name = "http", .inherited_fd = -1};
        assert_int_equal(socket_address_parse("127.0.0.1:8080", &listener.address, &error), 0);
        sockets.declared = &listener;
        sockets.declared_count = has_listener;
        equip();
        wanted = instance->signs.wanted;
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
        loop_wait(&loop, time_now_ns());
}

static void test_a_newline_on_its_descriptor_is_the_sign_and_nothing_before_it(void **state) {
        (void)state;
        begin(READINESS_FD);
        equip();
        assert_string_equal(gate.fd_variable, "TACET_READY_FD=7");
        assert_int_equal(gear.descriptor_count, 1);
        assert_int_equal(gear.descriptors[0].number, 7);
        assert_string_equal(gear.descriptors[0].name, "ready");
        assert_int_equal(fcntl(gear.descriptors[0].fd, F_GETFD), FD_CLOEXEC);
        readiness_spawned(&gate, instance);
        assert_int_equal(write(gear.descriptors[0].fd, "almost there", 12), 12);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_true(gate.watches[0].is_piped);
        assert_int_equal(write(gear.descriptors[0].fd, "!\n", 2), 2);
        turn();
        assert_int_equal(times_ready(), 1);
        assert_false(gate.watches[0].is_piped);
        end();
}

static void test_a_descriptor_that_is_closed_without_a_newline_says_nothing(void **state) {
        (void)state;
        begin(READINESS_FD);
        equip();
        readiness_spawned(&gate, instance);
        close(gear.temporary[--gear.temporary_count]);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_false(gate.watches[0].is_piped); /* else it would be readable for ever */
        end();
}

static void test_a_delay_counts_from_the_programs_start(void **state) {
        (void)state;
        begin(READINESS_DELAY);
        settings.delay_ns = 30 * NS_PER_S;
        equip();
        readiness_spawned(&gate, instance);
        turn();
        assert_int_equal(times_ready(), 0);
        assert_true(gate.watches[0].delay.is_set);
        assert_true(gate.watches[0].delay.deadline_ns > time_now_ns());
        assert_true(gate.watches[0].delay.deadline_ns <= time_now_ns() + 30 * NS_PER_S);
        loop_timer_set(&loop, &gate.watches[0].delay, time_now_ns());
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
