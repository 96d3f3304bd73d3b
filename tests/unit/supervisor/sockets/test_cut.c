/* Requests that are cut, and looks in a child: real connections of a process that ends. */

#include "tests/unit/supervisor/sockets/registry.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NUMBER 1 /* of the one instance */

static struct children children;
static struct errands errands;

/* What the process does with the connection that it has accepted, when it is told to go on. */
enum manner { ENDS, ANSWERS, LEAVES };

static int go_on = -1; /* a pipe */
static pid_t server = -1;

static _Noreturn void server_run(int fd, int told, enum manner manner) {
        char bytes[64];
        int connection = accept(fd, NULL, NULL);

        if (read(connection, bytes, sizeof bytes) <= 0 || read(told, bytes, 1) != 0)
                _exit(1);
        usleep(20 * 1000); /* not in the tick of the request */
        if (manner == ANSWERS)
                (void)!write(connection, "answer", 6);
        if (manner == LEAVES && fork() == 0)
                for (;;)
                        pause();
        _exit(0);
}

static void server_start(enum manner manner) {
        const int fd = descriptor_of(1);
        pid_t parent = getpid();
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        server = fork();
        if (server == 0) {
                if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(1);
                close(ends[1]);
                server_run(fd, ends[0], manner);
        }
        (void)setpgid(server, server);
        close(ends[0]);
        go_on = ends[1];
}

/* One client has asked; the instance is the one of generation 1. */
static int begin(enum manner manner, bool has_child) {
        int client;

        memset(&errands, 0, sizeof errands);
        memset(&children, 0, sizeof children);
        registry_start("127.0.0.1");
        settings.drain = (struct drain_settings){.timeout_ns = 10 * NS_PER_S, .settle_ns = 10 * NS_PER_MS};
        errands_open(&errands, &loop, &children);
        listeners.rooms.errands = has_child ? &errands : NULL;
        server_start(manner);
        instance_put(0, 1);
        steer(1, 1, 0, 0);
        client = client_connect("127.0.0.1");
        assert_int_equal(write(client, "request", 7), 7);
        usleep(20 * 1000);
        return client;
}

static void end(int client) {
        close(client);
        (void)kill(-server, SIGKILL);
        registry_end();
        children_reap(&children);
}

static void turn_for(int64_t ns) {
        const int64_t until_ns = time_now_ns() + ns;

        while (time_now_ns() < until_ns) {
                loop_wait(&loop, until_ns);
                children_reap(&children);
        }
}

/* A look sees its request, and waits. */
static void drain(void) {
        const int64_t limit_ns = time_now_ns() + 30 * NS_PER_S;

        instances.list[0].is_emptying = true;
        listeners_drain(&listeners, &instances.list[0]);
        while (listeners_requests(&listeners, NUMBER) == 0 && time_now_ns() < limit_ns)
                turn_for(NS_PER_MS);
        assert_int_equal(listeners_requests(&listeners, NUMBER), 1);
        assert_int_equal(facts.count, 0);
}

/* It is told to stop, and ends. */
static void stop(void) {
        listeners_stopping(&listeners, &instances.list[0]);
        listeners_stopping(&listeners, &instances.list[0]); /* as a KILL that follows */
        instances.list[0].is_emptying = false;
        close(go_on);
        assert_int_equal(waitpid(server, NULL, 0), server);
        instances.list[0].is_used = false;
        listeners_ended(&listeners, NUMBER);
}

static void expect_cut(enum manner manner, size_t count) {
        for (int has_child = 0; has_child < 2; has_child++) {
                int client = begin(manner, has_child);

                drain();
                stop();
                assert_int_equal(listeners_cut(&listeners), count);
                assert_null(listeners.ends.on_readable); /* nobody listens any more */
                end(client);
        }
}

static void test_a_request_without_an_answer_was_cut(void **state) {
        (void)state;
        expect_cut(ENDS, 1);
}

static void test_one_that_is_answered_before_the_end_was_not(void **state) {
        (void)state;
        expect_cut(ANSWERS, 0);
}

static void test_a_connection_that_somebody_else_holds_was_not(void **state) {
        (void)state;
        expect_cut(LEAVES, 0);
}

/* drain_timeout = 0, an emergency, the end: it is said a moment later. */
static void test_where_nobody_has_looked_it_is_counted_too(void **state) {
        (void)state;
        for (enum manner manner = ENDS; manner <= ANSWERS; manner++) {
                int client = begin(manner, true);

                stop();
                turn_for(200 * NS_PER_MS);
                assert_int_equal(listeners_cut(&listeners), manner == ENDS);
                assert_null(listeners.ends.on_readable);
                end(client);
        }
}

static void test_at_the_very_end_what_is_known_counts(void **state) {
        int client = begin(ENDS, true);

        (void)state;
        stop();
        usleep(50 * 1000);
        listeners_close(&listeners);
        assert_int_equal(listeners_cut(&listeners), 1);
        end(client);
}

/* Nothing that holds up the loop is done in it. */
static void test_a_look_is_done_in_a_child(void **state) {
        int client = begin(ENDS, true);

        (void)state;
        instances.list[0].is_emptying = true;
        listeners_drain(&listeners, &instances.list[0]);
        assert_true(listeners.drains[0].inquiry.is_running);
        assert_int_equal(errands_of(&errands, &listeners.drains[0].inquiry), 1);
        assert_int_equal(listeners_requests(&listeners, NUMBER), 0);
        /* The instance crashes meanwhile: nothing is asked any more. */
        instances.list[0].is_used = false;
        listeners_ended(&listeners, NUMBER);
        assert_false(listeners.drains[0].inquiry.is_running);
        assert_int_equal(facts.count, 0);
        close(go_on);
        end(client);
}

/* The kernel did not tell, and nobody waits for what nobody sees. */
static void test_a_child_that_is_killed_is_an_answer(void **state) {
        int client = begin(ENDS, true);

        (void)state;
        instances.list[0].is_emptying = true;
        listeners_drain(&listeners, &instances.list[0]);
        for (size_t i = 0; i < errands.places; i++)
                kill(errands.list[i].child.pid, SIGKILL);
        for (int64_t limit_ns = time_now_ns() + 30 * NS_PER_S; !facts.count && time_now_ns() < limit_ns;)
                turn_for(NS_PER_MS);
        /* or it was faster, and the request is still there */
        if (listeners_requests(&listeners, NUMBER) == 0)
                assert_int_equal(facts.count, 1);
        close(go_on);
        end(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_request_without_an_answer_was_cut),
                cmocka_unit_test(test_one_that_is_answered_before_the_end_was_not),
                cmocka_unit_test(test_a_connection_that_somebody_else_holds_was_not),
                cmocka_unit_test(test_where_nobody_has_looked_it_is_counted_too),
                cmocka_unit_test(test_at_the_very_end_what_is_known_counts),
                cmocka_unit_test(test_a_look_is_done_in_a_child),
                cmocka_unit_test(test_a_child_that_is_killed_is_an_answer),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
