/* How an instance is told to end, with a real process that says which signals it got, in their order. */

#include "tests/unit/supervisor/instance/launched.h"

#include "lib/fd.h"

static void stop(struct instance *instance, int64_t delay_ns) {
        const struct fleet_action action = {.kind = FLEET_DO_STOP, .instance = NUMBER, .delay_ns = delay_ns};

        launcher_stop(&launcher, instance, &action);
        assert_true(instance->is_ending);
}

static void expect_end(pid_t pid, int status) {
        struct fleet_event event;

        reap(pid);
        do
                assert_true(facts_take(&facts, &event));
        while (event.kind != FLEET_EXITED);
        assert_int_equal(event.status, status);
        assert_int_equal(event.is_signal, status != STATUS_APP);
}

static void test_the_drain_signal_comes_first_and_the_stop_signal_when_its_time_is_over(void **state) {
        struct instance *instance;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        stop(instance, 50 * NS_PER_MS);
        expect_signal(SIGUSR1);
        assert_true(instance->drain.is_set); /* due only when the loop turns */
        expect_silence();
        while (instance->drain.is_set)
                loop_wait(&loop, time_now_ns() + 60 * NS_PER_S);
        reap(pid);
        expect_signal(SIGTERM);
        expect_silence();
        end();
}

static void test_without_a_time_to_drain_the_stop_signal_comes_alone(void **state) {
        struct instance *instance;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        stop(instance, 0);
        assert_false(instance->drain.is_set);
        expect_end(pid, STATUS_APP);
        expect_signal(SIGTERM);
        expect_silence();
        end();
}

static void test_a_second_stop_ends_draining(void **state) {
        struct instance *instance;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        stop(instance, 3600 * NS_PER_S);
        expect_signal(SIGUSR1);
        stop(instance, 0);
        assert_false(instance->drain.is_set);
        expect_end(pid, STATUS_APP);
        expect_signal(SIGTERM);
        expect_silence();
        end();
}

static void test_the_end_of_one_that_drains_takes_its_timer_along(void **state) {
        struct instance *instance;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        stop(instance, 3600 * NS_PER_S);
        expect_signal(SIGUSR1);
        kill(pid, SIGTERM);
        expect_end(pid, STATUS_APP);
        assert_null(loop.timers);
        end();
}

static void test_what_has_its_signal_already_gets_no_other(void **state) {
        const struct fleet_action delivered = {
                .kind = FLEET_DO_STOP, .instance = NUMBER, .delay_ns = NS_PER_S, .is_delivered = true};
        struct instance *instance;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        launcher_stop(&launcher, instance, &delivered);
        assert_true(instance->is_ending);
        assert_false(instance->drain.is_set);
        launcher_signal(&launcher, instance, SIGUSR2, NULL);
        expect_signal(SIGUSR2); /* and none before it */
        launcher_kill(&launcher, instance);
        expect_end(pid, SIGKILL);
        end();
}

static void test_one_that_was_stopped_goes_on_to_end(void **state) {
        struct instance *instance;
        siginfo_t info;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        kill(pid, SIGSTOP);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
        children_reap(&children);
        assert_true(instance->is_stopped);
        stop(instance, 0);
        expect_end(pid, STATUS_APP);
        expect_signal(SIGTERM);
        end();
}

/* No shell goes on with it, and TERM would wait for ever. */
static void test_one_that_stops_while_it_is_to_end_goes_on_at_once(void **state) {
        struct instance *instance;
        siginfo_t info;
        pid_t pid;

        (void)state;
        begin(NULL);
        instance = app_start();
        pid = instance->pid;
        stop(instance, 3600 * NS_PER_S);
        expect_signal(SIGUSR1);
        kill(pid, SIGSTOP);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
        children_reap(&children);
        launcher_signal(&launcher, instance, SIGUSR2, NULL);
        expect_signal(SIGUSR2);
        stop(instance, 0);
        expect_end(pid, STATUS_APP);
        end();
}

static char script[96];
static char *shell[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, script, NULL};

/* A shell and a child of it, both in the instance's process group. */
static struct instance *family_start(void) {
        begin(shell);
        assert_true(told_fd < 10); /* the shell knows no others */
        snprintf(script, sizeof script, "tail -f --pid=$PPID /dev/null & printf %c >&%d; wait", READY_BYTE,
                told_fd);
        return app_start();
}

/* Nobody holds the app's end any more. */
static void expect_all_gone(void) {
        struct pollfd said = {.fd = said_fd, .events = POLLIN};

        fd_cleanup(&told_fd);
        assert_int_equal(poll(&said, 1, 60 * 1000), 1);
        assert_int_equal(said.revents, POLLHUP);
}

static void test_a_kill_reaches_the_whole_group(void **state) {
        struct instance *instance = family_start();
        pid_t pid = instance->pid;

        (void)state;
        launcher_kill(&launcher, instance);
        expect_end(pid, SIGKILL);
        expect_all_gone();
        end();
}

static void test_the_stop_signal_goes_to_the_group_where_that_is_wanted(void **state) {
        struct instance *instance = family_start();
        pid_t pid = instance->pid;

        (void)state;
        launcher.settings.signals_group = true;
        stop(instance, 0);
        expect_end(pid, SIGTERM);
        expect_all_gone();
        end();
}

static void test_one_that_reads_its_secrets_again_is_of_the_new_generation(void **state) {
        struct instance *instance;

        (void)state;
        begin(NULL);
        instance = app_start();
        launcher.settings.reload_signal = SIGHUP;
        launcher_reload(&launcher, instance, GENERATION + 1);
        expect_signal(SIGHUP);
        assert_int_equal(instance->generation, GENERATION + 1);
        assert_false(instance->is_ending);
        end();
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_drain_signal_comes_first_and_the_stop_signal_when_its_time_is_over),
                cmocka_unit_test(test_without_a_time_to_drain_the_stop_signal_comes_alone),
                cmocka_unit_test(test_a_second_stop_ends_draining),
                cmocka_unit_test(test_the_end_of_one_that_drains_takes_its_timer_along),
                cmocka_unit_test(test_what_has_its_signal_already_gets_no_other),
                cmocka_unit_test(test_one_that_was_stopped_goes_on_to_end),
                cmocka_unit_test(test_one_that_stops_while_it_is_to_end_goes_on_at_once),
                cmocka_unit_test(test_a_kill_reaches_the_whole_group),
                cmocka_unit_test(test_the_stop_signal_goes_to_the_group_where_that_is_wanted),
                cmocka_unit_test(test_one_that_reads_its_secrets_again_is_of_the_new_generation),
        };

        return launched_main(argc, argv, "stop", tests, sizeof tests / sizeof *tests);
}
