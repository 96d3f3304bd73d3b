/* kill_mode = tree where cgroups can be made: nobody leaves one, however far from the instance. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/process/cgroup.h"
#include "supervisor/process/tree.h"

#define LIMIT_NS (10 * NS_PER_S)
#define NUMBER   5

static struct loop loop;
static struct children children;
static struct facts facts;
static struct fleet fleet;
static struct instances instances;
static struct instance *instance;
static struct trees trees;
static char name[TREE_NAME_BYTES];
static int life = -1; /* a pipe whose other end all of the family hold */

/* What the daemon does about SIGTERM. */
enum manner { ENDS, STAYS };

/* In a session of its own, and a child of nobody: until it is ended, or the test is over. */
static _Noreturn void daemon_run(int ready, enum manner manner) {
        struct pollfd reader = {.fd = ready};

        (void)signal(SIGTERM, manner == STAYS ? SIG_IGN : SIG_DFL);
        (void)setsid();
        if (fork() > 0)
                _exit(0);
        (void)!write(ready, "x", 1);
        (void)poll(&reader, 1, -1);
        _exit(0);
}

static _Noreturn void instance_run(int procs_fd, int ready, enum manner manner) {
        if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || write(procs_fd, "0", 1) != 1)
                _exit(1);
        close(procs_fd);
        if (fork() == 0)
                daemon_run(ready, manner);
        close(ready);
        for (;;)
                pause();
}

static bool cgroup_is_there(void) {
        return faccessat(trees.base_fd, name, F_OK, 0) == 0;
}

static void begin(void) {
        const struct tree_settings settings = {.kills = true, .has_groups = true};
        const struct tree_rooms rooms = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .fleet = &fleet};
        struct error error = {0};

        memset(&instances, 0, sizeof instances);
        assert_int_equal(loop_init(&loop, &error), 0);
        trees_open(&trees, &rooms, &settings);
        snprintf(name, sizeof name, "tacet.%d.%d", (int)getpid(), NUMBER);
        if (trees.base_fd >= 0)
                return;
        loop_deinit(&loop);
        (void)cgroup_open_own(&error);
        print_message("no cgroup to be had: %s\n", error.text);
        skip();
}

/* An instance in its cgroup, and somebody whom only that still has to do with it. */
static void family_start(enum manner manner, int64_t remaining_timeout_ns) {
        struct pollfd reader;
        int procs_fd, ends[2];
        pid_t pid;
        char byte;

        trees.settings.remaining_timeout_ns = remaining_timeout_ns;
        procs_fd = tree_prepare(&trees, NUMBER);
        assert_true(procs_fd > 0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                close(ends[0]);
                instance_run(procs_fd, ends[1], manner);
        }
        close(procs_fd);
        close(ends[1]);
        life = ends[0];
        reader = (struct pollfd){.fd = life, .events = POLLIN};
        assert_int_equal(poll(&reader, 1, (int)(LIMIT_NS / NS_PER_MS)), 1);
        assert_int_equal(read(life, &byte, 1), 1);
        instance = instance_unused(&instances);
        *instance = (struct instance){
                .is_used = true, .has_cgroup = true, .instances = &instances, .number = NUMBER, .pid = pid};
}

/* The instance itself has ended, and been reaped. */
static void instance_ends(void) {
        kill(instance->pid, SIGKILL);
        assert_int_equal(waitpid(instance->pid, NULL, 0), instance->pid);
        instance->is_used = false;
        tree_ended(&trees, instance);
}

static bool has_ended(void) {
        struct pollfd reader = {.fd = life, .events = POLLIN};

        return poll(&reader, 1, 0) == 1;
}

/* Until nothing of it is looked for any more: nobody is left, and neither is the cgroup. */
static void await_peace(void) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;

        while (trees.rests[0].is_used && time_now_ns() < limit_ns) {
                loop_wait(&loop, time_now_ns() + 5 * NS_PER_MS);
                children_reap(&children);
        }
        assert_false(trees.rests[0].is_used);
        assert_true(has_ended());
        assert_false(cgroup_is_there());
}

static void end(void) {
        trees_close(&trees);
        fd_cleanup(&life);
        fd_cleanup(&trees.base_fd);
        loop_deinit(&loop);
}

static void test_a_daemon_that_left_session_and_parent_is_told_to_end(void **state) {
        (void)state;
        begin();
        family_start(ENDS, 60 * NS_PER_S);
        assert_true(cgroup_is_populated(trees.base_fd, name));
        /* An older one lives, to which such a daemon may belong as well: only the cgroup knows. */
        *instance_unused(&instances) =
                (struct instance){.is_used = true, .instances = &instances, .number = 1, .pid = getpid()};
        instance_ends();
        assert_true(trees.rests[0].was_told);
        await_peace();
        assert_int_equal(trees.rests[0].kills, 0);
        end();
}

static void test_a_daemon_that_does_not_end_is_killed_after_its_time(void **state) {
        int64_t begin_ns;

        (void)state;
        begin();
        family_start(STAYS, 100 * NS_PER_MS);
        begin_ns = time_now_ns();
        instance_ends();
        assert_false(has_ended());
        await_peace();
        assert_true(time_now_ns() - begin_ns >= 100 * NS_PER_MS);
        assert_true(trees.rests[0].kills >= 1);
        end();
}

static void test_a_kill_reaches_all_who_are_in_it(void **state) {
        struct pollfd reader = {.events = POLLIN};
        int wait_status;

        (void)state;
        begin();
        family_start(STAYS, 60 * NS_PER_S);
        tree_kill(&trees, instance);
        assert_int_equal(waitpid(instance->pid, &wait_status, 0), instance->pid);
        assert_int_equal(WTERMSIG(wait_status), SIGKILL);
        reader.fd = life;
        assert_int_equal(poll(&reader, 1, (int)(LIMIT_NS / NS_PER_MS)), 1);
        instance->is_used = false;
        tree_ended(&trees, instance);
        await_peace();
        end();
}

static void test_a_start_that_failed_leaves_no_cgroup(void **state) {
        (void)state;
        begin();
        fd_close(tree_prepare(&trees, NUMBER));
        assert_true(cgroup_is_there());
        assert_false(cgroup_is_populated(trees.base_fd, name));
        tree_dismiss(&trees, NUMBER);
        assert_false(cgroup_is_there());
        end();
}

static void test_an_empty_one_of_a_predecessor_is_in_nobodys_way(void **state) {
        int fd;

        (void)state;
        begin();
        fd_close(tree_prepare(&trees, NUMBER));
        fd = tree_prepare(&trees, NUMBER);
        assert_true(fd > 0);
        fd_close(fd);
        tree_dismiss(&trees, NUMBER);
        end();
}

/* What is still on its way out when the supervisor ends is not waited for. */
static void test_at_the_end_what_is_empty_goes(void **state) {
        (void)state;
        begin();
        family_start(STAYS, 60 * NS_PER_S);
        instance_ends();
        assert_true(trees.rests[0].is_used);
        cgroup_signal(trees.base_fd, name, SIGKILL);
        while (cgroup_is_populated(trees.base_fd, name) && waitpid(-1, NULL, 0) > 0)
                ;
        trees_close(&trees);
        assert_false(cgroup_is_there());
        loop_timer_clear(&loop, &trees.rests[0].timer);
        trees.rests[0].is_used = false;
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_daemon_that_left_session_and_parent_is_told_to_end),
                cmocka_unit_test(test_a_daemon_that_does_not_end_is_killed_after_its_time),
                cmocka_unit_test(test_a_kill_reaches_all_who_are_in_it),
                cmocka_unit_test(test_a_start_that_failed_leaves_no_cgroup),
                cmocka_unit_test(test_an_empty_one_of_a_predecessor_is_in_nobodys_way),
                cmocka_unit_test(test_at_the_end_what_is_empty_goes),
        };

        /* What is left behind comes to this process, as to the supervisor. */
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return 1;
        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("tree in cgroups", tests, NULL, NULL);
}
