/* Connections that end in order, against the kernel: what the other side hears of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "supervisor/health/closing.h"

#define ANSWER_MS 10000

static struct loop loop;
static struct leaving leaving;

static int begin(void **state) {
        struct error error;

        (void)state;
        memset(&leaving, 0, sizeof leaving);
        return loop_init(&loop, &error);
}

static int end(void **state) {
        (void)state;
        for (size_t i = 0; i < LEAVING_MAX; i++)
                if (leaving.list[i].source.owner) {
                        loop_timer_clear(&loop, &leaving.list[i].timer);
                        fd_close(leaving.list[i].source.fd);
                }
        loop_deinit(&loop);
        return 0;
}

/* Two ends of a connection: ours, and the server's. */
static void connection_make(int ends[2]) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof address;
        int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(listening, (struct sockaddr *)&address, length), 0);
        assert_int_equal(listen(listening, 1), 0);
        assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
        ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(ends[0], (struct sockaddr *)&address, length), 0);
        ends[1] = accept(listening, NULL, NULL);
        assert_true(ends[1] >= 0);
        close(listening);
}

static size_t leaving_count(void) {
        size_t count = 0;

        for (size_t i = 0; i < LEAVING_MAX; i++)
                count += leaving.list[i].source.owner != NULL;
        return count;
}

/* Turn until nobody leaves any more. */
static void everybody_has_left(void) {
        int64_t deadline_ns = time_now_ns() + ANSWER_MS * NS_PER_MS;

        while (leaving_count() > 0 && time_now_ns() < deadline_ns)
                loop_wait(&loop, deadline_ns);
        assert_int_equal(leaving_count(), 0);
}

/* What a server reads next: 0 is an end in order, -1 would be a reset. */
static ssize_t server_reads(int fd) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        char byte;

        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        return recv(fd, &byte, 1, MSG_DONTWAIT);
}

static void server_says(int fd, size_t count) {
        char bytes[1000];

        memset(bytes, 'x', sizeof bytes);
        for (; count > 0; count -= sizeof bytes)
                assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

static void test_a_server_that_talks_reads_an_end_and_no_reset(void **state) {
        int ends[2];

        (void)state;
        connection_make(ends);
        server_says(ends[1], 5000); /* a greeting, which nobody has read when we go */
        leaving_begin(&leaving, &loop, ends[0]);
        assert_int_equal(leaving_count(), 1);
        assert_int_equal(server_reads(ends[1]), 0);
        server_says(ends[1], 5000); /* and a farewell */
        loop_wait(&loop, time_now_ns() + NS_PER_S);
        assert_int_equal(leaving_count(), 1);
        assert_int_equal(server_reads(ends[1]), 0);
        close(ends[1]);
        everybody_has_left();
        assert_null(loop.timers);
}

static void test_a_unix_connection_ends_in_the_same_way(void **state) {
        int ends[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        server_says(ends[1], 5000);
        leaving_begin(&leaving, &loop, ends[0]);
        loop_wait(&loop, time_now_ns() + NS_PER_S);
        assert_int_equal(server_reads(ends[1]), 0);
        close(ends[1]);
        everybody_has_left();
}

static void test_a_server_that_does_not_end_is_let_go_without_a_reset(void **state) {
        int ends[2];

        (void)state;
        connection_make(ends);
        leaving_begin(&leaving, &loop, ends[0]);
        assert_true(leaving.list[0].timer.deadline_ns <= time_now_ns() + 5 * NS_PER_S);
        loop_timer_set(&loop, &leaving.list[0].timer, time_now_ns());
        everybody_has_left();
        assert_int_equal(server_reads(ends[1]), 0);
        close(ends[1]);
}

static void test_a_server_that_talks_without_an_end_is_cut(void **state) {
        struct pollfd poll_fd = {.events = POLLOUT};
        static char bytes[65536];
        int64_t deadline_ns = time_now_ns() + ANSWER_MS * NS_PER_MS;
        int ends[2];

        (void)state;
        memset(bytes, 'x', sizeof bytes);
        connection_make(ends);
        leaving_begin(&leaving, &loop, ends[0]);
        poll_fd.fd = ends[1];
        while (leaving_count() > 0 && time_now_ns() < deadline_ns)
                if (poll(&poll_fd, 1, 0) == 1 &&
                        send(ends[1], bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        break;
                else
                        loop_wait(&loop, time_now_ns());
        assert_true(leaving_count() == 0);
        assert_true(leaving.list[0].bytes > 1024 * 1024);
        assert_true(leaving.list[0].bytes < 2 * 1024 * 1024);
        close(ends[1]);
}

static void test_what_is_no_connection_is_closed_at_once(void **state) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        leaving_begin(&leaving, &loop, -1);
        leaving_begin(&leaving, &loop, fd);
        assert_int_equal(leaving_count(), 0);
        assert_int_equal(close(fd), -1);
}

static void test_when_too_many_leave_the_oldest_goes(void **state) {
        int ends[LEAVING_MAX + 2][2];

        (void)state;
        for (size_t i = 0; i < LEAVING_MAX + 2; i++) {
                connection_make(ends[i]);
                leaving_begin(&leaving, &loop, ends[i][0]);
        }
        assert_int_equal(leaving_count(), LEAVING_MAX);
        for (size_t i = 0; i < LEAVING_MAX + 2; i++) {
                assert_int_equal(server_reads(ends[i][1]), 0);
                close(ends[i][1]);
        }
        everybody_has_left();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_a_server_that_talks_reads_an_end_and_no_reset, begin, end),
                cmocka_unit_test_setup_teardown(test_a_unix_connection_ends_in_the_same_way, begin, end),
                cmocka_unit_test_setup_teardown(
                        test_a_server_that_does_not_end_is_let_go_without_a_reset, begin, end),
                cmocka_unit_test_setup_teardown(test_a_server_that_talks_without_an_end_is_cut, begin, end),
                cmocka_unit_test_setup_teardown(test_what_is_no_connection_is_closed_at_once, begin, end),
                cmocka_unit_test_setup_teardown(test_when_too_many_leave_the_oldest_goes, begin, end),
        };

        return cmocka_run_group_tests_name("leaving", tests, NULL, NULL);
}
