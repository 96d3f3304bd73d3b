/* Starting an instance, with real processes: what is said of one that runs, and of one that cannot. */

#include "tests/unit/supervisor/instance/launched.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "lib/signals.h"
#include "shim/rehearsal.h"
#include "supervisor/process/descendants.h"

/* Start what cannot be, and hear why. */
static void expect_refused(char **arguments, int status) {
        const struct fleet_action action = spawn_action(NUMBER);
        struct fleet_event event;

        begin(arguments);
        launcher_spawn(&launcher, &action);
        assert_non_null(instance_by_number(&instances, NUMBER));
        reap(instance_by_number(&instances, NUMBER)->pid);
        expect_fact(FLEET_SPAWN_FAILED, &event);
        assert_int_equal(event.status, status);
        assert_true(event.is_permanent);
        assert_false(facts_take(&facts, &event)); /* neither SPAWNED nor EXITED */
        assert_null(instance_by_number(&instances, NUMBER));
        end();
}

static void test_a_program_that_is_not_there_is_127(void **state) {
        char *arguments[] = {(char[]){"/nonexistent/program"}, NULL};

        (void)state;
        expect_refused(arguments, 127);
}

static void test_a_program_that_cannot_be_executed_is_126(void **state) {
        char *arguments[] = {(char[]){"/"}, NULL};

        (void)state;
        expect_refused(arguments, 126);
}

static void test_a_directory_that_is_not_there_is_the_supervisors_own_failure(void **state) {
        const struct fleet_action action = spawn_action(NUMBER);
        struct fleet_event event;

        (void)state;
        begin(NULL);
        launch.directory = "/nonexistent";
        launcher_spawn(&launcher, &action);
        reap(instance_by_number(&instances, NUMBER)->pid);
        expect_fact(FLEET_SPAWN_FAILED, &event);
        assert_int_equal(event.status, EXIT_STATUS_SUPERVISOR);
        end();
}

static void test_a_failure_that_was_read_before_the_end_is_told_once_at_the_end(void **state) {
        char *arguments[] = {(char[]){"/nonexistent/program"}, NULL};
        const struct fleet_action action = spawn_action(NUMBER);
        struct fleet_event event;
        struct instance *instance;

        (void)state;
        begin(arguments);
        launcher_spawn(&launcher, &action);
        instance = instance_by_number(&instances, NUMBER);
        while (instance->status.fd >= 0)
                loop_wait(&loop, time_now_ns() + 60 * NS_PER_S);
        assert_true(instance->has_failure);
        assert_false(facts_take(&facts, &event));
        reap(instance->pid);
        expect_fact(FLEET_SPAWN_FAILED, &event);
        assert_int_equal(event.status, 127);
        assert_false(facts_take(&facts, &event));
        end();
}

static void test_a_program_that_runs_is_told_and_so_is_how_it_ends(void **state) {
        struct fleet_event event;
        struct instance *instance;

        (void)state;
        begin(NULL);
        instance = app_start();
        await_fact(FLEET_READY);
        expect_fact(FLEET_SPAWNED, &event);
        expect_fact(FLEET_READY, &event);
        kill(instance->pid, SIGTERM);
        reap(instance->pid);
        expect_fact(FLEET_EXITED, &event);
        assert_false(event.is_signal);
        assert_int_equal(event.status, STATUS_APP);
        assert_false(facts_take(&facts, &event));
        assert_null(instance_by_number(&instances, NUMBER));
        end();
}

/* Its pipe was not looked at before it was reaped: SPAWNED comes all the same, and first. */
static void test_one_that_ends_at_once_was_started(void **state) {
        struct fleet_event event;
        struct instance *instance;

        (void)state;
        begin(NULL);
        instance = app_start();
        kill(instance->pid, SIGKILL);
        reap(instance->pid);
        expect_fact(FLEET_SPAWNED, &event);
        expect_fact(FLEET_READY, &event);
        expect_fact(FLEET_EXITED, &event);
        assert_true(event.is_signal);
        assert_int_equal(event.status, SIGKILL);
        end();
}

static void test_where_all_places_are_used_nothing_is_started_but_may_be_later(void **state) {
        const struct fleet_action action = spawn_action(NUMBER);
        struct instance *place;
        struct fleet_event event;

        (void)state;
        begin(NULL);
        while ((place = instance_unused(&instances)))
                *place = (struct instance){.is_used = true, .instances = &instances, .number = 1000};
        launcher_spawn(&launcher, &action);
        expect_fact(FLEET_SPAWN_FAILED, &event);
        assert_int_equal(event.status, EXIT_STATUS_SUPERVISOR);
        assert_false(event.is_permanent);
        assert_null(children.first);
        memset(&instances, 0, sizeof instances);
        end();
}

/* Signals are blocked here, as in the supervisor: what comes before the exec waits for the app. */
static void test_signals_from_before_the_first_app_reach_it(void **state) {
        const struct fleet_action action = spawn_action(NUMBER);
        uint64_t former;

        (void)state;
        begin(NULL);
        launcher.held_signals = signal_bit(SIGUSR2);
        signals_set_mask(signal_bit(SIGUSR2), &former);
        launch.inheritance.signal_mask = signal_bit(SIGUSR2);
        launcher_spawn(&launcher, &action);
        signals_set_mask(former, NULL);
        expect_signal(READY_BYTE);
        expect_signal(SIGUSR2);
        assert_true(launcher.has_started);
        end();
}

static void test_the_app_that_was_started_early_is_the_first_instance_and_no_other(void **state) {
        const struct fleet_action next = spawn_action(NUMBER + 1);
        struct instance *other;
        uint64_t ticks;
        pid_t pid;

        (void)state;
        begin(NULL);
        launch.suspends_parent = true;
        launcher_start_early(&launcher);
        pid = launcher.early.pid;
        assert_true(pid > 0);
        ticks = descendants_now_ticks();
        while (descendants_now_ticks() == ticks) /* its children are older than the instance by now */
                (void)usleep(1000);
        assert_int_equal(app_start()->pid, pid);
        assert_true(instances.list[0].started_ticks <= ticks);
        expect_silence();
        launcher_spawn(&launcher, &next);
        other = instance_by_number(&instances, NUMBER + 1);
        assert_non_null(other);
        assert_int_not_equal(other->pid, pid);
        end();
}

static void test_a_process_group_of_its_own_is_remembered(void **state) {
        struct instance *instance;

        (void)state;
        begin(NULL);
        instance = app_start();
        assert_int_equal(getpgid(instance->pid), instance->pid);
        assert_int_equal(launcher.last_groups[0], instance->pid);
        end();
        begin(NULL);
        launch.session = LAUNCH_SAME_GROUP;
        instance = app_start();
        assert_int_equal(getpgid(instance->pid), getpgid(0));
        assert_int_equal(launcher.last_groups[0], 0);
        end();
}

/* End this process, or whatever it starts, at this call; for good. */
static void call_forbid(int call) {
        struct sock_filter program[] = {
                {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, /* the number */
                {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)call},
                {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
                {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
        };
        const struct sock_fprog filter = {sizeof program / sizeof *program, program};

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0), 0);
}

static void test_a_sigsys_of_the_apps_own_is_how_it_ended(void **state) {
        char *arguments[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"kill -SYS $$"}, NULL};
        const struct fleet_action action = spawn_action(NUMBER);
        struct fleet_event event;

        (void)state;
        for (int suspends = 0; suspends < 2; suspends++) {
                begin(arguments);
                launch.suspends_parent = suspends;
                launcher_spawn(&launcher, &action);
                reap(instance_by_number(&instances, NUMBER)->pid);
                expect_fact(FLEET_SPAWNED, &event);
                expect_fact(FLEET_READY, &event);
                expect_fact(FLEET_EXITED, &event);
                assert_true(event.is_signal);
                assert_int_equal(event.status, SIGSYS);
                end();
        }
}

enum how { BY_FORK, SUSPENDED, EARLY };

/* Its pipe ends as that of an app does which runs: nothing is said of that before it is known why. */
static void expect_filtered(enum how how, bool reads_pipe) {
        const struct fleet_action action = spawn_action(NUMBER);
        struct fleet_event event;
        struct instance *instance;

        begin(NULL);
        launch.has_umask = true;
        launch.suspends_parent = how != BY_FORK;
        if (how == EARLY)
                launcher_start_early(&launcher);
        launcher_spawn(&launcher, &action);
        instance = instance_by_number(&instances, NUMBER);
        assert_non_null(instance);
        while (reads_pipe && instance->status.fd >= 0)
                loop_wait(&loop, time_now_ns() + 60 * NS_PER_S);
        assert_false(facts_take(&facts, &event));
        reap(instance->pid);
        assert_true(instance->has_failure);
        assert_int_equal(instance->failure.kind, LAUNCH_FILTERED);
        assert_int_equal(instance->failure.stage, LAUNCH_UMASK);
        expect_fact(FLEET_SPAWN_FAILED, &event);
        assert_int_equal(event.status, EXIT_STATUS_SUPERVISOR);
        assert_true(event.is_permanent);
        assert_false(facts_take(&facts, &event));
        end();
}

/* The last test: the filter stays. */
static void test_a_shim_that_a_filter_ends_is_a_failure_of_that_step(void **state) {
        struct error error;
        struct launch_message failure;

        (void)state;
        call_forbid(SYS_umask);
        for (int reads = 0; reads < 2; reads++)
                for (enum how how = BY_FORK; how <= EARLY; how++)
                        expect_filtered(how, reads);
        begin(NULL);
        launch.has_umask = true;
        assert_false(rehearsal_fails(&launch, &failure)); /* nothing that is tried */
        launch.limit_count = 1;
        launch.limits[0] = (struct launch_limit){.resource = RLIMIT_NOFILE};
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &launch.limits[0].value), 0);
        assert_true(rehearsal_fails(&launch, &failure));
        launch_failure_describe(&failure, &launch, &error);
        assert_non_null(strstr(error.text, "SIGSYS when it was to set its umask"));
        assert_non_null(strstr(error.hint, "SystemCallFilter=umask"));
        end();
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_program_that_is_not_there_is_127),
                cmocka_unit_test(test_a_program_that_cannot_be_executed_is_126),
                cmocka_unit_test(test_a_directory_that_is_not_there_is_the_supervisors_own_failure),
                cmocka_unit_test(test_a_failure_that_was_read_before_the_end_is_told_once_at_the_end),
                cmocka_unit_test(test_a_program_that_runs_is_told_and_so_is_how_it_ends),
                cmocka_unit_test(test_one_that_ends_at_once_was_started),
                cmocka_unit_test(test_where_all_places_are_used_nothing_is_started_but_may_be_later),
                cmocka_unit_test(test_signals_from_before_the_first_app_reach_it),
                cmocka_unit_test(test_the_app_that_was_started_early_is_the_first_instance_and_no_other),
                cmocka_unit_test(test_a_process_group_of_its_own_is_remembered),
                cmocka_unit_test(test_a_sigsys_of_the_apps_own_is_how_it_ended),
                cmocka_unit_test(test_a_shim_that_a_filter_ends_is_a_failure_of_that_step),
        };

        return launched_main(argc, argv, "spawn", tests, sizeof tests / sizeof *tests);
}
