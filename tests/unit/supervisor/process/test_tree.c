/* What an instance has started ends with it, where there is no cgroup: by descent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/process/descendants.h"
#include "supervisor/process/tree.h"

#define LIMIT_NS (10 * NS_PER_S)

static struct loop loop;
static struct facts facts;
static struct fleet fleet;
static struct children children;
static struct instances instances;
static struct instance *instance;
static struct trees trees;
static int life = -1; /* a pipe whose other end the grandchild holds: it hangs up when that has ended */

/* What the grandchild does about SIGTERM; one that ESCAPES has left session and group as well. */
enum manner { ENDS, STAYS, ESCAPES };

/* Until it is ended, or the test is over: then nobody reads any more. */
static _Noreturn void grandchild_run(int ready, enum manner manner) {
        struct pollfd reader = {.fd = ready};

        (void)signal(SIGTERM, manner == STAYS ? SIG_IGN : SIG_DFL);
        if (manner == ESCAPES)
                (void)setsid();
        (void)!write(ready, "x", 1);
        (void)poll(&reader, 1, -1);
        _exit(0);
}

/* An instance in a process group of its own, with a child. It goes on until it is killed. */
static pid_t family_start(enum manner manner) {
        pid_t parent = getpid(), pid;
        char byte;
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                sigset_t none;

                sigemptyset(&none);
                (void)sigprocmask(SIG_SETMASK, &none, NULL);
                if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(1);
                close(ends[0]);
                if (fork() == 0)
                        grandchild_run(ends[1], manner);
                close(ends[1]);
                for (;;)
                        pause();
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), 1);
        life = ends[0];
        return pid;
}

static void begin(enum manner manner, int64_t remaining_timeout_ns, bool is_on) {
        const struct tree_settings settings = {.kills = is_on,
                .ends_leftovers = is_on,
                .has_groups = true,
                .remaining_timeout_ns = remaining_timeout_ns};
        const struct tree_rooms rooms = {.loop = &loop,
                .facts = &facts,
                .children = &children,
                .instances = &instances,
                .fleet = &fleet};
        struct error error = {0};

        memset(&instances, 0, sizeof instances);
        memset(&facts, 0, sizeof facts);
        memset(&fleet, 0, sizeof fleet);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(loop_init(&loop, &error), 0);
        trees_open(&trees, &rooms, &settings);
        instance = instance_unused(&instances);
        *instance = (struct instance){.is_used = true,
                .instances = &instances,
                .number = 5,
                .generation = 1,
                .started_ticks = descendants_now_ticks()};
        instance->pid = family_start(manner);
}

/* Another instance that lives, as old as the one of the family or older: a process that is none. */
static struct instance *other_begins(uint64_t generation) {
        struct instance *other = instance_unused(&instances);

        *other = (struct instance){.is_used = true,
                .instances = &instances,
                .number = 6,
                .generation = generation,
                .started_ticks = instance->started_ticks,
                .pid = INT32_MAX};
        return other;
}

/* The instance itself has ended, and been reaped. Returns whether it has left something. */
static bool instance_ends(void) {
        kill(instance->pid, SIGKILL);
        assert_int_equal(waitpid(instance->pid, NULL, 0), instance->pid);
        instance->is_used = false;
        return tree_ended(&trees, instance);
}

static void family_kill(void) {
        CLEANUP_FD int reader = life;

        life = -1;
        (void)reader; /* nobody reads any more: the grandchild ends */
}

static bool has_ended(void) {
        struct pollfd poll_fd = {.fd = life, .events = POLLIN};

        return poll(&poll_fd, 1, 0) == 1;
}

static void end(void) {
        trees_close(&trees);
        for (size_t i = 0; i <= FLEET_INSTANCES_MAX; i++)
                if (trees.rests[i].is_used) {
                        loop_timer_clear(&loop, &trees.rests[i].timer);
                        trees.rests[i].is_used = false;
                }
        fd_cleanup(&life);
        fd_cleanup(&trees.base_fd);
        loop_deinit(&loop);
}

/* Until nothing of it is looked for any more. */
static void await_peace(void) {
        int64_t begin_ns = time_now_ns();

        while (trees.rests[0].is_used && time_now_ns() < begin_ns + LIMIT_NS) {
                loop_wait(&loop, time_now_ns() + 5 * NS_PER_MS);
                children_reap(&children);
        }
        assert_false(trees.rests[0].is_used);
        assert_true(has_ended());
}

static void test_what_an_instance_left_behind_is_told_to_end(void **state) {
        (void)state;
        begin(ENDS, 60 * NS_PER_S, true);
        instance_ends();
        assert_true(trees.rests[0].was_told);
        assert_int_equal(tree_rest_count(&trees, 5), 1);
        await_peace();
        assert_int_equal(trees.rests[0].kills, 0);
        assert_int_equal(tree_rest_count(&trees, 5), 0);
        end();
}

static void test_the_core_hears_when_nothing_is_left(void **state) {
        struct fleet_event event;

        (void)state;
        begin(ENDS, 60 * NS_PER_S, true);
        assert_true(instance_ends());
        assert_false(facts_take(&facts, &event));
        await_peace();
        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_CLEARED);
        assert_int_equal(event.instance, 5);
        end();
}

static void test_one_that_left_nothing_is_over_at_once(void **state) {
        struct fleet_event event;

        (void)state;
        begin(ENDS, 60 * NS_PER_S, true);
        kill(-instance->pid, SIGKILL);
        while (waitpid(-instance->pid, NULL, 0) > 0) /* the grandchild has become ours */
                continue;
        instance->is_used = false;
        assert_false(tree_ended(&trees, instance));
        assert_false(facts_take(&facts, &event));
        end();
}

static void test_an_orphan_that_left_session_and_group_is_found_when_it_is_nobody_elses(void **state) {
        (void)state;
        begin(ESCAPES, 60 * NS_PER_S, true);
        assert_true(instance_ends());
        await_peace();
        end();
}

static void test_an_orphan_that_several_can_have_started_waits_for_the_last_of_them(void **state) {
        struct instance *other;

        (void)state;
        begin(ESCAPES, 60 * NS_PER_S, true);
        other = other_begins(1);
        assert_false(instance_ends());
        assert_false(has_ended());
        other->is_used = false;
        assert_true(tree_ended(&trees, other));
        await_peace();
        end();
}

static void test_an_orphan_that_is_older_than_an_instance_is_not_its_own(void **state) {
        struct instance *other;

        (void)state;
        begin(ESCAPES, 60 * NS_PER_S, true);
        other = other_begins(1);
        other->started_ticks = descendants_now_ticks() + 1000;
        instance->is_used = false;
        kill(instance->pid, SIGKILL);
        assert_int_equal(waitpid(instance->pid, NULL, 0), instance->pid);
        other->is_used = false;
        assert_false(tree_ended(&trees, other));
        assert_false(has_ended());
        family_kill();
        end();
}

static void test_a_child_of_our_own_is_nobodys_leftover(void **state) {
        pid_t own = fork();
        struct child child = {0};

        (void)state;
        if (own == 0) {
                (void)setsid();
                for (;;)
                        pause();
        }
        begin(ENDS, 60 * NS_PER_S, true);
        children_add(&children, &child, own);
        assert_true(instance_ends());
        await_peace();
        assert_int_equal(waitpid(own, NULL, WNOHANG), 0);
        children_remove(&children, &child);
        kill(own, SIGKILL);
        assert_int_equal(waitpid(own, NULL, 0), own);
        end();
}

static void test_in_an_emergency_what_only_old_ones_can_have_started_ends(void **state) {
        (void)state;
        begin(ESCAPES, 60 * NS_PER_S, false); /* leftovers = keep */
        other_begins(1)->generation = 1;
        fleet.is_emergency = true;
        fleet.target = 0;
        fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 2};
        assert_true(instance_ends());
        await_peace();
        end();
}

static void emergency_begins(void) {
        fleet.is_emergency = true;
        fleet.target = 0;
        fleet.generations[0] = (struct fleet_generation){.is_used = true, .number = 2};
}

/* Until the sweep for generation 2 is over. */
static void await_swept(void) {
        const int64_t deadline_ns = time_now_ns() + LIMIT_NS;
        struct fleet_event event;

        while (!facts_take(&facts, &event)) {
                assert_true(time_now_ns() < deadline_ns);
                loop_wait(&loop, time_now_ns() + 5 * NS_PER_MS);
                children_reap(&children);
        }
        assert_int_equal(event.kind, FLEET_SWEPT);
        assert_int_equal(event.generation, 2);
        assert_int_equal(tree_sweep_count(&trees), 0);
        assert_false(facts_take(&facts, &event));
}

static void test_a_sweep_ends_what_an_instance_left_that_ended_long_ago(void **state) {
        (void)state;
        begin(ESCAPES, 60 * NS_PER_S, false); /* leftovers = keep */
        assert_false(instance_ends());
        assert_false(has_ended());
        emergency_begins();
        other_begins(1); /* of an older generation: one that was killed, and does not die */
        tree_sweep(&trees, 2, 60 * NS_PER_S);
        assert_int_equal(tree_sweep_count(&trees), 1);
        await_swept();
        assert_true(has_ended());
        assert_int_equal(trees_ended(&trees, 2), 1);
        assert_int_equal(trees_ended(&trees, 3), 0);
        end();
}

static void test_a_sweep_leaves_alone_what_one_of_its_generation_may_have_started(void **state) {
        for (uint64_t generation = 2; generation <= 3; generation++) {
                (void)state;
                begin(ESCAPES, 60 * NS_PER_S, false);
                assert_false(instance_ends());
                emergency_begins();
                other_begins(generation);
                tree_sweep(&trees, 2, 60 * NS_PER_S);
                await_swept();
                assert_false(has_ended());
                family_kill();
                end();
        }
}

/* The shorter of the emergency's time and that of leftovers. */
static void test_what_a_sweep_finds_is_killed_after_its_time(void **state) {
        (void)state;
        begin(STAYS, 3600 * NS_PER_S, false);
        assert_false(instance_ends());
        emergency_begins();
        tree_sweep(&trees, 2, 50 * NS_PER_MS);
        await_swept();
        assert_true(has_ended());
        end();
}

static void test_a_sweep_that_finds_nothing_is_over_at_once(void **state) {
        (void)state;
        begin(ENDS, 60 * NS_PER_S, false);
        kill(-instance->pid, SIGKILL);
        while (waitpid(-instance->pid, NULL, 0) > 0)
                continue;
        emergency_begins();
        tree_sweep(&trees, 2, NS_PER_S);
        await_swept();
        assert_int_equal(trees_ended(&trees, 2), 0);
        end();
}

static void test_what_an_emergency_ends_is_counted_once(void **state) {
        (void)state;
        begin(ENDS, 60 * NS_PER_S, true);
        emergency_begins();
        assert_true(instance_ends());
        assert_int_equal(trees_ended(&trees, 2), 1); /* the instance */
        await_peace();
        assert_int_equal(trees_ended(&trees, 2), 2);
        tree_sweep(&trees, 2, NS_PER_S);
        assert_int_equal(trees_ended(&trees, 2), 2);
        fleet.generations[0].number = 3;
        assert_false(tree_ended(&trees, instance));
        assert_int_equal(trees_ended(&trees, 3), 1);
        end();
}

static void test_what_is_left_can_be_killed_at_once(void **state) {
        (void)state;
        begin(STAYS, 3600 * NS_PER_S, true);
        assert_true(instance_ends());
        tree_rest_kill(&trees, 5);
        await_peace();
        assert_true(trees.rests[0].kills >= 1);
        end();
}

static void test_what_does_not_end_is_killed_after_its_time(void **state) {
        int64_t begin_ns;

        (void)state;
        begin(STAYS, 100 * NS_PER_MS, true);
        begin_ns = time_now_ns();
        instance_ends();
        await_peace();
        assert_true(time_now_ns() - begin_ns >= 100 * NS_PER_MS);
        assert_true(trees.rests[0].kills >= 1);
        end();
}

static void test_a_kill_reaches_the_whole_tree_of_one_that_lives(void **state) {
        struct pollfd hung_up = {.events = POLLIN};
        int wait_status;

        (void)state;
        begin(STAYS, 60 * NS_PER_S, true);
        tree_kill(&trees, instance);
        assert_int_equal(waitpid(instance->pid, &wait_status, 0), instance->pid);
        assert_int_equal(WTERMSIG(wait_status), SIGKILL);
        hung_up.fd = life;
        assert_int_equal(poll(&hung_up, 1, (int)(LIMIT_NS / NS_PER_MS)), 1);
        end();
}

/* The kernel gives a number again: what is below it then is somebody else's. */
static void test_a_tree_whose_number_is_another_instances_by_now_is_left_alone(void **state) {
        struct instance former;

        (void)state;
        begin(ENDS, 60 * NS_PER_S, true);
        former = *instance;
        former.number = 4;
        assert_false(tree_ended(&trees, &former));
        assert_false(trees.rests[0].is_used);
        tree_kill(&trees, &former);
        assert_int_equal(waitpid(instance->pid, NULL, WNOHANG), 0);
        assert_false(has_ended());
        instance_ends();
        await_peace();
        end();
}

static void test_where_trees_do_not_end_together_nobody_is_touched(void **state) {
        (void)state;
        begin(ENDS, 60 * NS_PER_S, false);
        tree_kill(&trees, instance);
        assert_int_equal(waitpid(instance->pid, NULL, WNOHANG), 0);
        assert_int_equal(tree_prepare(&trees, 5), 0);
        assert_false(tree_ended(&trees, instance));
        assert_false(trees.rests[0].is_used);
        assert_false(has_ended());
        kill(-instance->pid, SIGKILL);
        assert_int_equal(waitpid(instance->pid, NULL, 0), instance->pid);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_an_instance_left_behind_is_told_to_end),
                cmocka_unit_test(test_the_core_hears_when_nothing_is_left),
                cmocka_unit_test(test_one_that_left_nothing_is_over_at_once),
                cmocka_unit_test(test_an_orphan_that_left_session_and_group_is_found_when_it_is_nobody_elses),
                cmocka_unit_test(test_an_orphan_that_several_can_have_started_waits_for_the_last_of_them),
                cmocka_unit_test(test_an_orphan_that_is_older_than_an_instance_is_not_its_own),
                cmocka_unit_test(test_a_child_of_our_own_is_nobodys_leftover),
                cmocka_unit_test(test_in_an_emergency_what_only_old_ones_can_have_started_ends),
                cmocka_unit_test(test_a_sweep_ends_what_an_instance_left_that_ended_long_ago),
                cmocka_unit_test(test_a_sweep_leaves_alone_what_one_of_its_generation_may_have_started),
                cmocka_unit_test(test_what_a_sweep_finds_is_killed_after_its_time),
                cmocka_unit_test(test_a_sweep_that_finds_nothing_is_over_at_once),
                cmocka_unit_test(test_what_an_emergency_ends_is_counted_once),
                cmocka_unit_test(test_what_is_left_can_be_killed_at_once),
                cmocka_unit_test(test_what_does_not_end_is_killed_after_its_time),
                cmocka_unit_test(test_a_kill_reaches_the_whole_tree_of_one_that_lives),
                cmocka_unit_test(test_a_tree_whose_number_is_another_instances_by_now_is_left_alone),
                cmocka_unit_test(test_where_trees_do_not_end_together_nobody_is_touched),
        };

        /* What is left behind comes to this process, as to the supervisor. */
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return 1;
        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
