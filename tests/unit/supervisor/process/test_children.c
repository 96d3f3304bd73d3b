/* Reaping, with real children: who hears what of whom. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "supervisor/process/children.h"

/* What one child's handlers were told. */
struct told {
        struct child child;
        int ends, stops, goes_on;
        int wait_status;
};

static struct children children;

static void on_ended(struct child *child, int wait_status) {
        struct told *told = child->owner;

        assert_int_equal(child->pid, 0);
        told->ends++;
        told->wait_status = wait_status;
}

static void on_stopped(struct child *child, int wait_status) {
        struct told *told = child->owner;

        assert_int_not_equal(child->pid, 0);
        if (WIFSTOPPED(wait_status))
                told->stops++;
        else
                told->goes_on++;
}

/* Waits for a signal, or ends at once with that status; never outlives this program, which goes on when that
 * is sure. */
static pid_t child_fork(int exit_status) {
        pid_t parent = getpid(), pid;
        int ends[2];
        char byte;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                if (exit_status >= 0)
                        _exit(exit_status);
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(99);
                (void)!write(ends[1], "x", 1);
                for (;;)
                        pause();
        }
        close(ends[1]);
        assert_true(pid > 0);
        assert_int_equal(read(ends[0], &byte, 1), exit_status < 0);
        close(ends[0]);
        return pid;
}

static void begin(struct told *told, size_t count) {
        memset(&children, 0, sizeof children);
        memset(told, 0, count * sizeof *told);
        for (size_t i = 0; i < count; i++)
                told[i].child =
                        (struct child){.on_ended = on_ended, .on_stopped = on_stopped, .owner = &told[i]};
}

/* Until the kernel has it to say: a state of the child, which stays to be reaped. */
static void await(pid_t pid, int what) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t)pid, &info, what | WNOWAIT), 0);
}

static void test_the_owner_of_a_child_that_ended_hears_how(void **state) {
        struct told told;
        pid_t pid = child_fork(7);

        (void)state;
        begin(&told, 1);
        children_add(&children, &told.child, pid);
        await(pid, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 1);
        assert_true(WIFEXITED(told.wait_status));
        assert_int_equal(WEXITSTATUS(told.wait_status), 7);
        assert_null(children.first);
        children_reap(&children);
        assert_int_equal(told.ends, 1);
}

static void test_a_child_that_was_stopped_and_goes_on_stays_in_the_list(void **state) {
        struct told told;
        pid_t pid = child_fork(-1);

        (void)state;
        begin(&told, 1);
        children_add(&children, &told.child, pid);
        kill(pid, SIGSTOP);
        await(pid, WSTOPPED);
        children_reap(&children);
        assert_int_equal(told.stops, 1);
        kill(pid, SIGCONT);
        await(pid, WCONTINUED);
        children_reap(&children);
        assert_int_equal(told.goes_on, 1);
        assert_int_equal(told.ends, 0);
        assert_int_equal(told.child.pid, pid);
        kill(pid, SIGKILL);
        await(pid, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 1);
        assert_int_equal(WTERMSIG(told.wait_status), SIGKILL);
}

static void test_who_does_not_care_about_stops_is_not_asked(void **state) {
        struct told told;
        pid_t pid = child_fork(-1);

        (void)state;
        begin(&told, 1);
        told.child.on_stopped = NULL;
        children_add(&children, &told.child, pid);
        kill(pid, SIGSTOP);
        await(pid, WSTOPPED);
        children_reap(&children);
        assert_int_equal(told.ends, 0);
        kill(pid, SIGKILL);
        await(pid, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 1);
}

static void test_an_orphan_is_reaped_and_nobody_is_told(void **state) {
        struct told told;
        pid_t pid = child_fork(-1), orphan = child_fork(3);

        (void)state;
        begin(&told, 1);
        children_add(&children, &told.child, pid);
        await(orphan, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 0);
        assert_int_equal(waitpid(orphan, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        kill(pid, SIGKILL);
        await(pid, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 1);
}

static void test_a_child_that_was_removed_is_reaped_like_an_orphan(void **state) {
        struct told told;
        pid_t pid = child_fork(3);

        (void)state;
        begin(&told, 1);
        children_add(&children, &told.child, pid);
        children_remove(&children, &told.child);
        children_remove(&children, &told.child); /* once more */
        assert_int_equal(told.child.pid, 0);
        await(pid, WEXITED);
        children_reap(&children);
        assert_int_equal(told.ends, 0);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static void test_of_three_that_end_at_once_each_owner_hears_of_its_own(void **state) {
        struct told told[3];
        pid_t pids[3];

        (void)state;
        begin(told, 3);
        for (int i = 0; i < 3; i++) {
                pids[i] = child_fork(10 + i);
                children_add(&children, &told[i].child, pids[i]);
        }
        for (int i = 0; i < 3; i++)
                await(pids[i], WEXITED);
        children_reap(&children);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(told[i].ends, 1);
                assert_int_equal(WEXITSTATUS(told[i].wait_status), 10 + i);
        }
        assert_null(children.first);
        assert_false(children.is_due);
}

/* First, last and between others; who is left hears of its own end. */
static void test_any_child_can_leave_the_list_and_the_others_stay(void **state) {
        struct told told[3];

        (void)state;
        for (int gone = 0; gone < 3; gone++) {
                pid_t pids[3];

                begin(told, 3);
                for (int i = 0; i < 3; i++) {
                        pids[i] = child_fork(i);
                        children_add(&children, &told[i].child, pids[i]);
                }
                children_remove(&children, &told[gone].child);
                for (int i = 0; i < 3; i++)
                        await(pids[i], WEXITED);
                children_reap(&children);
                for (int i = 0; i < 3; i++)
                        assert_int_equal(told[i].ends, i != gone);
                assert_null(children.first);
        }
}

/* The next start of the same owner: a struct child is used again from within its handler. */
static void replace_on_ended(struct child *child, int wait_status) {
        on_ended(child, wait_status);
        child->on_ended = on_ended;
        children_add(&children, child, child_fork(WEXITSTATUS(wait_status) + 1));
}

static void test_the_handler_may_start_the_next_child_at_once(void **state) {
        struct told told;
        pid_t pid = child_fork(1);

        (void)state;
        begin(&told, 1);
        told.child.on_ended = replace_on_ended;
        children_add(&children, &told.child, pid);
        await(pid, WEXITED);
        children_reap(&children);
        if (told.ends == 1) { /* else it has ended within the same look */
                await(told.child.pid, WEXITED);
                children_reap(&children);
        }
        assert_int_equal(told.ends, 2);
        assert_int_equal(WEXITSTATUS(told.wait_status), 2);
        assert_null(children.first);
}

static void test_that_there_is_nobody_left_is_known_until_somebody_is_started(void **state) {
        struct told told;
        pid_t pid = child_fork(-1);

        (void)state;
        begin(&told, 1);
        children_add(&children, &told.child, pid);
        children_reap(&children);
        assert_false(children.has_none); /* one lives */
        kill(pid, SIGKILL);
        await(pid, WEXITED);
        children_reap(&children);
        assert_true(children.has_none);
        pid = child_fork(0);
        children_add(&children, &told.child, pid);
        assert_false(children.has_none);
        await(pid, WEXITED);
        children_reap(&children);
        assert_true(children.has_none);
}

/* As many as no turn reaps: the rest is said to be due, and comes with the next one. */
static void test_more_than_a_turns_share_is_due_again_at_once(void **state) {
        enum { CROWD = 2100 };
        struct told told;
        int turns = 1;
        pid_t last = 0;

        (void)state;
        begin(&told, 1);
        for (int i = 0; i < CROWD; i++)
                await(last = child_fork(0), WEXITED);
        children_add(&children, &told.child, last);
        children_reap(&children);
        assert_true(children.is_due);
        assert_false(children.has_none);
        for (; children.is_due && turns < 10; turns++)
                children_reap(&children);
        assert_int_equal(turns, 2);
        assert_true(children.has_none);
        assert_int_equal(told.ends, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_owner_of_a_child_that_ended_hears_how),
                cmocka_unit_test(test_a_child_that_was_stopped_and_goes_on_stays_in_the_list),
                cmocka_unit_test(test_who_does_not_care_about_stops_is_not_asked),
                cmocka_unit_test(test_an_orphan_is_reaped_and_nobody_is_told),
                cmocka_unit_test(test_a_child_that_was_removed_is_reaped_like_an_orphan),
                cmocka_unit_test(test_of_three_that_end_at_once_each_owner_hears_of_its_own),
                cmocka_unit_test(test_any_child_can_leave_the_list_and_the_others_stay),
                cmocka_unit_test(test_the_handler_may_start_the_next_child_at_once),
                cmocka_unit_test(test_that_there_is_nobody_left_is_known_until_somebody_is_started),
                cmocka_unit_test(test_more_than_a_turns_share_is_due_again_at_once),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
