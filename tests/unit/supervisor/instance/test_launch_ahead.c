/* What is prepared while a load runs, with real processes: it is taken, or ended, and nobody hears of it. */

#include "tests/unit/supervisor/instance/launched.h"

/* A shim waits for the secrets of GENERATION. Returns its process. */
static pid_t prepare(void) {
        begin(NULL);
        launcher_prepare(&launcher, 0, NUMBER, GENERATION);
        assert_non_null(launcher.ahead.instance);
        assert_true(launcher.ahead.instance->is_prepared);
        assert_null(instance_by_number(&instances, NUMBER));
        return launcher.ahead.instance->pid;
}

/* It was killed: it has not become an app that ends by itself. */
static void expect_killed(pid_t pid) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(info.si_code, CLD_KILLED);
        assert_int_equal(info.si_status, SIGKILL);
        children_reap(&children);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static void test_what_is_prepared_is_ended_when_the_load_brings_nothing(void **state) {
        pid_t pid = prepare();
        const struct instance *place = launcher.ahead.instance;
        struct fleet_event event;

        (void)state;
        launcher_call_off(&launcher);
        launcher_call_off(&launcher); /* once more */
        assert_null(launcher.ahead.instance);
        assert_null(children.first);
        assert_ptr_equal(instance_unused(&instances), place);
        assert_int_equal(launcher.ahead.waiting.channel, -1);
        expect_killed(pid);
        expect_silence();
        assert_false(facts_take(&facts, &event));
        end();
}

static void test_the_spawn_that_was_foreseen_goes_on_with_what_is_prepared(void **state) {
        pid_t pid = prepare();
        struct fleet_event event;

        (void)state;
        assert_int_equal(app_start()->pid, pid);
        assert_null(launcher.ahead.instance);
        await_fact(FLEET_READY);
        expect_fact(FLEET_SPAWNED, &event);
        expect_fact(FLEET_READY, &event);
        kill(pid, SIGTERM);
        reap(pid);
        expect_fact(FLEET_EXITED, &event);
        assert_int_equal(event.status, STATUS_APP);
        end();
}

static void expect_another(struct fleet_action action) {
        pid_t pid = prepare();
        struct instance *instance;

        launcher_spawn(&launcher, &action);
        assert_null(launcher.ahead.instance);
        instance = instance_by_number(&instances, action.instance);
        assert_non_null(instance);
        assert_int_not_equal(instance->pid, pid);
        assert_int_equal(instance->generation, action.generation);
        expect_killed(pid);
        expect_signal(READY_BYTE);
        expect_silence();
        end();
}

static void test_a_spawn_of_another_kind_ends_what_is_prepared(void **state) {
        struct fleet_action action = spawn_action(NUMBER);

        (void)state;
        action.generation = GENERATION + 1;
        expect_another(action);
        action = spawn_action(NUMBER);
        action.slot = 1;
        expect_another(action);
        expect_another(spawn_action(NUMBER + 1));
}

static void test_one_that_dies_while_it_waits_is_started_anew_and_not_told(void **state) {
        pid_t pid = prepare();
        struct fleet_event event;

        (void)state;
        kill(pid, SIGKILL);
        expect_killed(pid);
        assert_null(launcher.ahead.instance);
        assert_false(facts_take(&facts, &event));
        assert_int_not_equal(app_start()->pid, pid);
        end();
}

static void test_one_is_prepared_at_a_time(void **state) {
        pid_t pid = prepare();
        const struct child *only = children.first;

        (void)state;
        launcher_prepare(&launcher, 1, NUMBER + 1, GENERATION);
        assert_int_equal(launcher.ahead.instance->number, NUMBER);
        assert_ptr_equal(children.first, only);
        assert_null(only->next);
        launcher_call_off(&launcher);
        expect_killed(pid);
        end();
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_prepared_is_ended_when_the_load_brings_nothing),
                cmocka_unit_test(test_the_spawn_that_was_foreseen_goes_on_with_what_is_prepared),
                cmocka_unit_test(test_a_spawn_of_another_kind_ends_what_is_prepared),
                cmocka_unit_test(test_one_that_dies_while_it_waits_is_started_anew_and_not_told),
                cmocka_unit_test(test_one_is_prepared_at_a_time),
        };

        return launched_main(argc, argv, "ahead", tests, sizeof tests / sizeof *tests);
}
