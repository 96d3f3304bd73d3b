/* Health checks by a command: real ones, and what becomes of those that do not end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/health/health.h"

#define LIMIT_NS   (20 * NS_PER_S)
#define TURN_NS    (5 * NS_PER_MS)
#define TAIL       "tail -f --pid=$PPID /dev/null" /* until it is ended, or the test is over */
#define OUTPUT_MAX 256

static struct loop loop;
static struct facts facts;
static struct children children;
static struct instances instances;
static struct instance *instance;
static struct identity identity;
static char *app[] = {(char[]){"/the/app"}, NULL};
static struct launch_spec launch;
static char *command[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, NULL, NULL};
static struct health_settings settings;
static struct health health;
static int life = -1; /* a pipe whose other end, descriptor 7, the commands hold */
static unsigned answers;
static bool was_well;
static char reason[PROBE_REASON_BYTES];

static void on_done(struct health_watch *watch, bool is_well, const char *text) {
        assert_ptr_equal(watch, &health.watches[0]);
        answers++;
        was_well = is_well;
        snprintf(reason, sizeof reason, "%s", text);
}

static void begin(void) {
        const struct health_rooms rooms = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .launch = &launch};
        struct error error = {0};
        int ends[2];

        memset(&facts, 0, sizeof facts);
        memset(&instances, 0, sizeof instances);
        memset(&health, 0, sizeof health);
        assert_int_equal(loop_init(&loop, &error), 0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        life = ends[0];
        assert_int_equal(dup2(ends[1], 7), 7);
        close(ends[1]);
        launch = (struct launch_spec){
                .argv = app, .environment = {.inherited = environ}, .identity = &identity};
        settings = (struct health_settings){
                .probe = {.kind = PROBE_EXEC, .argv = command, .timeout_ns = 60 * NS_PER_S},
                .interval_ns = 5 * NS_PER_MS,
                .successes = 1,
                .failures = 2};
        health_open(&health, &rooms, &settings, 0);
        instance = instance_unused(&instances);
        *instance = (struct instance){.is_used = true,
                .instances = &instances,
                .number = 5,
                .slot = 2,
                .generation = 9,
                .pid = 4711,
                .signs = {.wanted = sign_bit(READINESS_PROBE), .is_running = true}};
        health.watches[0].health = &health;
        health.watches[0].instance = instance;
        answers = 0;
}

static void turn(void) {
        loop_wait(&loop, time_now_ns() + TURN_NS);
        children_reap(&children);
}

/* All who hold the pipe have ended. */
static void await_peace(void) {
        struct pollfd reader = {.fd = life, .events = POLLIN};
        char bytes[64];

        close(7);
        do
                assert_int_equal(poll(&reader, 1, (int)(LIMIT_NS / NS_PER_MS)), 1);
        while (read(life, bytes, sizeof bytes) > 0);
}

static void end(void) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;

        health_ended(&health, instance);
        while (!children.has_none && time_now_ns() < limit_ns)
                turn();
        assert_true(children.has_none);
        assert_null(children.first);
        assert_null(loop.timers);
        await_peace();
        fd_cleanup(&life);
        loop_deinit(&loop);
}

static void script_is(char *script) {
        command[2] = script;
}

static int start(void) {
        struct error error = {0};

        return probe_start(&health.watches[0], &settings.probe, on_done, &error);
}

static void await_answer(void) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;

        while (!answers && time_now_ns() < limit_ns)
                turn();
        assert_int_equal(answers, 1);
}

/* One check by that script. */
static void check(char *script) {
        script_is(script);
        answers = 0;
        assert_int_equal(start(), 0);
        await_answer();
        assert_false(health.watches[0].probe.is_running);
}

/* Until the command says that it is up. */
static void await_up(void) {
        struct pollfd reader = {.fd = life, .events = POLLIN};
        char bytes[3];

        assert_int_equal(poll(&reader, 1, (int)(LIMIT_NS / NS_PER_MS)), 1);
        assert_int_equal(read(life, bytes, sizeof bytes), 3);
}

static void test_a_command_that_ends_with_0_says_well_and_no_other(void **state) {
        (void)state;
        begin();
        check((char[]){"exit 0"});
        assert_true(was_well);
        check((char[]){"exit 4"});
        assert_false(was_well);
        assert_string_equal(reason, "the command ended with status 4");
        check((char[]){"kill -9 $$"});
        assert_false(was_well);
        assert_string_equal(reason, "the command was killed by SIGKILL");
        end();
}

static void test_a_command_that_is_not_there_is_named_and_the_app_is_not(void **state) {
        char *const nothing[] = {(char[]){"/nonexistent/check"}, NULL};

        (void)state;
        begin();
        settings.probe.argv = nothing;
        assert_int_equal(start(), 0);
        await_answer();
        assert_false(was_well);
        assert_non_null(strstr(reason, "/nonexistent/check"));
        assert_null(strstr(reason, app[0]));
        end();
}

static void test_it_is_told_whom_to_check_and_reads_nothing_of_ours(void **state) {
        const int former = dup(STDIN_FILENO);

        (void)state;
        begin();
        check((char[]){"test $TACET_INSTANCE_PID-$TACET_GENERATION-$TACET_REPLICA = 4711-9-2"});
        assert_true(was_well);
        assert_int_equal(dup2(life, STDIN_FILENO), STDIN_FILENO);
        check((char[]){"test /dev/null -ef /proc/self/fd/0"});
        assert_true(was_well);
        dup2(former, STDIN_FILENO);
        close(former);
        end();
}

/* It goes where the app's goes, as it is: neither the reason nor a line of the log has any of it. */
static void test_what_it_prints_is_not_logged(void **state) {
        const int former = dup(STDERR_FILENO);
        char output[OUTPUT_MAX] = "";
        ssize_t length;
        int ends[2];

        (void)state;
        begin();
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        check((char[]){"echo loud >&2; exit 1"});
        dup2(former, STDERR_FILENO);
        close(former);
        length = read(ends[0], output, sizeof output - 1);
        close(ends[0]);
        assert_true(length > 0);
        assert_string_equal(output, "loud\n");
        assert_string_equal(reason, "the command ended with status 1");
        end();
}

static void test_one_that_takes_too_long_is_killed_with_all_that_it_has_started(void **state) {
        (void)state;
        begin();
        settings.probe.timeout_ns = 100 * NS_PER_MS;
        script_is((char[]){TAIL " & " TAIL});
        assert_int_equal(start(), 0);
        await_answer();
        assert_false(was_well);
        assert_string_equal(reason, "no answer within 100ms");
        while (health.watches[0].probe.is_running)
                turn();
        await_peace();
        assert_int_equal(answers, 1); /* its end is no second answer */
        end();
}

static void test_until_it_is_reaped_no_other_begins(void **state) {
        (void)state;
        begin();
        settings.probe.timeout_ns = 1;
        script_is((char[]){"exit 0"});
        assert_int_equal(start(), 0);
        while (!answers)
                loop_wait(&loop, time_now_ns() + TURN_NS);
        assert_true(health.watches[0].probe.is_late);
        assert_int_equal(start(), PROBE_LATER);
        while (health.watches[0].probe.is_running)
                turn();
        assert_int_equal(answers, 1);
        settings.probe.timeout_ns = 60 * NS_PER_S;
        check((char[]){"exit 0"});
        assert_true(was_well);
        end();
}

static void test_one_that_is_given_up_is_ended_and_says_nothing(void **state) {
        (void)state;
        begin();
        script_is((char[]){TAIL " & echo up >&7; wait"});
        assert_int_equal(start(), 0);
        await_up();
        probe_end(&health.watches[0]);
        probe_end(&health.watches[0]);
        await_peace();
        assert_null(children.first);
        end();
        assert_int_equal(answers, 0);
}

static void await_fact(enum fleet_event_kind kind) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct fleet_event event;

        while (!facts.count && time_now_ns() < limit_ns)
                turn();
        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, kind);
        assert_int_equal(event.instance, 5);
}

static void test_an_instance_is_ready_by_its_command_and_unhealthy_by_so_many_failures(void **state) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;

        (void)state;
        begin();
        script_is((char[]){"exit 0"});
        health_begin(&health, instance, false);
        while (!instance->signs.is_complete && time_now_ns() < limit_ns)
                turn();
        assert_true(instance->signs.is_complete);
        script_is((char[]){"exit 6"});
        health_ready(&health, instance);
        await_fact(FLEET_UNHEALTHY);
        assert_string_equal(health_reason(&health, instance), "the command ended with status 6");
        end();
        assert_int_equal(facts.count, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_command_that_ends_with_0_says_well_and_no_other),
                cmocka_unit_test(test_a_command_that_is_not_there_is_named_and_the_app_is_not),
                cmocka_unit_test(test_it_is_told_whom_to_check_and_reads_nothing_of_ours),
                cmocka_unit_test(test_what_it_prints_is_not_logged),
                cmocka_unit_test(test_one_that_takes_too_long_is_killed_with_all_that_it_has_started),
                cmocka_unit_test(test_until_it_is_reaped_no_other_begins),
                cmocka_unit_test(test_one_that_is_given_up_is_ended_and_says_nothing),
                cmocka_unit_test(test_an_instance_is_ready_by_its_command_and_unhealthy_by_so_many_failures),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("exec probe", tests, NULL, NULL);
}
