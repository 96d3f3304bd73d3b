/* The notify socket: real messages, and whose count. */

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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/notify_send.h"
#include "supervisor/notify/notify.h"

#define LIMIT_NS (10 * NS_PER_S)

static struct loop loop;
static struct facts facts;
static struct children children;
static struct errands errands;
static struct instances instances;
static struct instance *instance;
static struct notify_settings settings;
static struct notify notify;
static struct gear gear;
static struct notify_address address;
static int sender = -1;

/* One instance, number 5, whose process is this one until a test says otherwise: it waits for READY=1. */
static void begin(enum notify_access access, int64_t watchdog_ns) {
        const struct notify_rooms rooms = {
                .loop = &loop, .facts = &facts, .instances = &instances, .errands = &errands};
        struct error error = {0};

        memset(&facts, 0, sizeof facts);
        memset(&instances, 0, sizeof instances);
        memset(&errands, 0, sizeof errands);
        memset(&notify, 0, sizeof notify);
        memset(&gear, 0, sizeof gear);
        settings = (struct notify_settings){.access = access, .watchdog_ns = watchdog_ns};
        assert_int_equal(loop_init(&loop, &error), 0);
        errands_open(&errands, &loop, &children);
        instance = instance_unused(&instances);
        *instance = (struct instance){.is_used = true,
                .instances = &instances,
                .pid = getpid(),
                .number = 5,
                .signs = {.wanted = sign_bit(READINESS_NOTIFY), .is_running = true}};
        if (notify_listen(&notify, &rooms, &settings, &error) < 0)
                fail_msg("%s", error.text);
        notify_equip(&notify, instance, &gear);
        if (access == NOTIFY_ACCESS_NONE)
                return;
        assert_memory_equal(notify.socket_variable, "NOTIFY_SOCKET=@", 15);
        assert_int_equal(notify_address_parse(strchr(notify.socket_variable, '=') + 1, &address, &error), 0);
        sender = notify_open();
        assert_true(sender >= 0);
}

/* A child that has answered stays until it is heard, and in the list until it is reaped. */
static void end(void) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;

        notify_ended(&notify, instance);
        errands_call_off(&errands, &notify);
        while (children.first && time_now_ns() < limit_ns) {
                loop_wait(&loop, time_now_ns() + NS_PER_MS);
                children_reap(&children);
        }
        assert_null(children.first);
        fd_cleanup(&sender);
        fd_cleanup(&notify.source.fd);
        loop_deinit(&loop);
}

/* What has been sent is there already. */
static void turn(void) {
        loop_wait(&loop, time_now_ns());
        children_reap(&children);
}

static void send_bytes(const char *text, size_t length, int passed_fd) {
        struct error error = {0};

        if (notify_send(sender, &address, text, length, passed_fd, &error) != 0)
                fail_msg("%s", error.text);
}

static void say(const char *text) {
        send_bytes(text, strlen(text), -1);
        turn();
}

/* Somebody else says it: a child of this process. */
static void child_says(const char *text) {
        pid_t pid = fork();
        siginfo_t info;

        if (pid == 0) {
                struct error error;

                _exit(notify_send(sender, &address, text, strlen(text), -1, &error) == 0 ? 0 : 1);
        }
        /* It is looked at while it is there: a zombie has its ancestors yet. */
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(info.si_status, 0);
        turn();
}

/* A process that is another one's than this. */
static pid_t other_start(void) {
        pid_t parent = getpid(), pid = fork();

        if (pid == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(1);
                for (;;)
                        pause();
        }
        return pid;
}

static void other_end(pid_t pid) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void test_ready_of_the_instances_own_process_counts(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        assert_int_equal(gear.variable_count, 1);
        assert_ptr_equal(gear.variables[0], notify.socket_variable);
        say("READY=1");
        assert_true(instance->signs.is_complete);
        end();
}

static void test_a_strangers_messages_change_nothing(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_ALL, 0);
        instance->pid = other_start(); /* and this process is neither it nor below it */
        say("READY=1\nSTATUS=mine\nWATCHDOG=trigger");
        assert_false(instance->signs.is_complete);
        assert_int_equal(facts.count, 0);
        assert_string_equal(notify_status(&notify, instance), "");
        assert_true(notify.complaint_ns > 0);
        other_end(instance->pid);
        end();
}

static void test_what_it_has_started_may_speak_when_all_may(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        child_says("READY=1");
        assert_false(instance->signs.is_complete);
        end();
        begin(NOTIFY_ACCESS_ALL, 0);
        child_says("READY=1");
        assert_true(instance->signs.is_complete);
        end();
}

static void test_of_two_instances_each_is_known_by_its_process(void **state) {
        struct instance *second;

        (void)state;
        begin(NOTIFY_ACCESS_ALL, 0);
        second = instance_unused(&instances);
        *second = *instance;
        second->number = 6;
        second->pid = other_start();
        notify_equip(&notify, second, &gear);
        say("STATUS=first");
        assert_string_equal(notify_status(&notify, instance), "first");
        assert_string_equal(notify_status(&notify, second), "");
        other_end(second->pid);
        end();
}

static void test_the_last_status_is_kept_until_the_place_is_used_again(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        assert_string_equal(notify_status(&notify, instance), "");
        say("STATUS=warming up");
        say("STATUS=serving\nREADY=1");
        say("READY=1");
        assert_string_equal(notify_status(&notify, instance), "serving");
        notify_ended(&notify, instance);
        notify_equip(&notify, instance, &gear);
        assert_string_equal(notify_status(&notify, instance), "");
        end();
}

static void test_messages_that_are_cut_or_hold_a_nul_are_dropped_whole(void **state) {
        static char text[NOTIFY_MESSAGE_BYTES_MAX + 1];

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        memset(text, 'x', sizeof text);
        memcpy(text, "READY=1\n", 8);
        send_bytes(text, sizeof text, -1);
        turn();
        assert_false(instance->signs.is_complete);
        send_bytes("READY=1\0\nA=1", 12, -1);
        turn();
        assert_false(instance->signs.is_complete);
        send_bytes(text, sizeof text - 1, -1);
        turn();
        assert_true(instance->signs.is_complete);
        end();
}

static void test_an_extension_is_a_fact_with_its_time(void **state) {
        struct fleet_event event;

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        say("EXTEND_TIMEOUT_USEC=2500000");
        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_EXTEND);
        assert_int_equal(event.instance, 5);
        assert_int_equal(event.delay_ns, 2500 * NS_PER_MS);
        end();
}

static void be_ready(void) {
        say("READY=1");
        assert_true(instance->signs.is_complete);
        notify_ready(&notify, instance);
}

static void assert_unhealthy_once(void) {
        struct fleet_event event;

        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_UNHEALTHY);
        assert_int_equal(event.instance, 5);
        assert_int_equal(facts.count, 0);
}

static void test_who_is_ready_and_says_nothing_is_unhealthy(void **state) {
        int64_t begin_ns;

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 50 * NS_PER_MS);
        assert_string_equal(gear.variables[1], "WATCHDOG_USEC=50000");
        assert_false(notify.watches[0].watchdog.is_set); /* not before it is ready */
        begin_ns = time_now_ns();
        be_ready();
        while (!facts.count && time_now_ns() < begin_ns + LIMIT_NS)
                loop_wait(&loop, begin_ns + LIMIT_NS);
        assert_true(time_now_ns() >= begin_ns + 50 * NS_PER_MS);
        assert_unhealthy_once();
        assert_false(notify.watches[0].watchdog.is_set); /* said once */
        end();
}

static void test_each_sign_of_life_begins_the_interval_anew(void **state) {
        const struct loop_timer *watchdog = &notify.watches[0].watchdog;
        int64_t first_ns;

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 60 * NS_PER_S);
        be_ready();
        first_ns = watchdog->deadline_ns;
        say("STATUS=no sign of life");
        assert_int_equal(watchdog->deadline_ns, first_ns);
        say("WATCHDOG=1");
        assert_true(watchdog->deadline_ns > first_ns);
        assert_true(watchdog->deadline_ns <= time_now_ns() + 60 * NS_PER_S);
        say("WATCHDOG_USEC=1000000"); /* another interval */
        assert_true(watchdog->deadline_ns <= time_now_ns() + NS_PER_S);
        say("WATCHDOG_USEC=0");
        assert_false(watchdog->is_set);
        end();
}

static void test_nobody_is_watched_before_it_is_ready(void **state) {
        const struct loop_timer *watchdog = &notify.watches[0].watchdog;

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        say("WATCHDOG_USEC=1000000\nWATCHDOG=1");
        assert_false(watchdog->is_set);
        be_ready();
        assert_true(watchdog->is_set);
        assert_true(watchdog->deadline_ns <= time_now_ns() + NS_PER_S);
        end();
}

static void due_now(void) {
        loop_timer_set(&loop, &notify.watches[0].watchdog, time_now_ns());
        turn();
}

static void test_who_cannot_speak_or_was_told_to_end_is_not_blamed(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 60 * NS_PER_S);
        be_ready();
        instance->is_stopped = true;
        due_now();
        assert_int_equal(facts.count, 0);
        assert_true(notify.watches[0].watchdog.is_set); /* asked again when it can */
        instance->is_stopped = false;
        instance->is_ending = true;
        due_now();
        assert_int_equal(facts.count, 0);
        assert_false(notify.watches[0].watchdog.is_set);
        end();
}

static void test_who_says_that_it_fails_is_unhealthy_at_once(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 60 * NS_PER_S);
        be_ready();
        say("WATCHDOG=trigger");
        assert_unhealthy_once();
        assert_false(notify.watches[0].watchdog.is_set);
        end();
}

/* sd_notify_barrier(3): the other end of the pipe is closed when all that was sent before has been taken. */
static void test_a_barrier_is_answered_after_what_came_before_it(void **state) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct pollfd closed = {.events = POLLIN};
        int ends[2];

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        send_bytes("STATUS=before", 13, -1);
        send_bytes("BARRIER=1", 9, ends[1]);
        send_bytes("STATUS=after", 12, -1);
        fd_cleanup(&ends[1]);
        closed.fd = ends[0];
        while (poll(&closed, 1, 0) == 0 && time_now_ns() < limit_ns) {
                loop_wait(&loop, time_now_ns() + 10 * NS_PER_MS);
                children_reap(&children);
        }
        assert_true(closed.revents & POLLHUP);
        assert_int_not_equal(strcmp(notify_status(&notify, instance), ""), 0);
        while (strcmp(notify_status(&notify, instance), "after") != 0 && time_now_ns() < limit_ns)
                loop_wait(&loop, limit_ns);
        assert_string_equal(notify_status(&notify, instance), "after");
        close(ends[0]);
        end();
}

static size_t waits(const void *request, int fd, void *out, size_t room) {
        for (;;)
                pause();
        return *(const size_t *)request + (size_t)fd + *(size_t *)out + room;
}

static void nothing_on_done(void *owner, const void *answer, size_t bytes) {
        (void)owner;
        (void)answer;
        (void)bytes;
}

/* As many children as may hold descriptors hang: it stays in the queue, and is looked at again later. */
static void test_a_message_that_waits_with_its_descriptor_is_heard_once(void **state) {
        const struct errand_order order = {
                .work = waits, .fd = -1, .on_done = nothing_on_done, .owner = &notify};
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct error error = {0};

        (void)state;
        begin(NOTIFY_ACCESS_MAIN, 0);
        for (int i = 0; i < 16; i++)
                assert_int_equal(errand_start(&errands, &order, &error), 0);
        send_bytes("EXTEND_TIMEOUT_USEC=1000", 24, 0);
        turn();
        assert_int_equal(facts.count, 1);
        for (int i = 0; i < 3; i++) {
                loop_timer_set(&loop, &notify.pause, time_now_ns());
                turn();
                turn();
        }
        assert_int_equal(facts.count, 1);
        errands_call_off(&errands, &notify);
        say("STATUS=after");
        while (strcmp(notify_status(&notify, instance), "after") != 0 && time_now_ns() < limit_ns) {
                loop_wait(&loop, limit_ns);
                children_reap(&children);
        }
        assert_string_equal(notify_status(&notify, instance), "after");
        assert_int_equal(facts.count, 1);
        end();
}

static void test_without_a_socket_the_app_is_told_of_none(void **state) {
        (void)state;
        begin(NOTIFY_ACCESS_NONE, 60 * NS_PER_S);
        assert_int_equal(notify.source.fd, -1);
        assert_int_equal(gear.variable_count, 0);
        notify_ready(&notify, instance);
        assert_null(loop.timers);
        assert_string_equal(notify_status(&notify, instance), "");
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ready_of_the_instances_own_process_counts),
                cmocka_unit_test(test_a_strangers_messages_change_nothing),
                cmocka_unit_test(test_what_it_has_started_may_speak_when_all_may),
                cmocka_unit_test(test_of_two_instances_each_is_known_by_its_process),
                cmocka_unit_test(test_the_last_status_is_kept_until_the_place_is_used_again),
                cmocka_unit_test(test_messages_that_are_cut_or_hold_a_nul_are_dropped_whole),
                cmocka_unit_test(test_an_extension_is_a_fact_with_its_time),
                cmocka_unit_test(test_who_is_ready_and_says_nothing_is_unhealthy),
                cmocka_unit_test(test_each_sign_of_life_begins_the_interval_anew),
                cmocka_unit_test(test_nobody_is_watched_before_it_is_ready),
                cmocka_unit_test(test_who_cannot_speak_or_was_told_to_end_is_not_blamed),
                cmocka_unit_test(test_who_says_that_it_fails_is_unhealthy_at_once),
                cmocka_unit_test(test_a_barrier_is_answered_after_what_came_before_it),
                cmocka_unit_test(test_a_message_that_waits_with_its_descriptor_is_heard_once),
                cmocka_unit_test(test_without_a_socket_the_app_is_told_of_none),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
