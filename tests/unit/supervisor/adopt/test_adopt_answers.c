/* What an instance's own bind and listen are answered: real children under the filter, and a supervisor's
 * loop that is turned here. */

#include "tests/unit/supervisor/adopt/answering.h"

#include <netinet/tcp.h>

static int bound(int type, const struct sockaddr_in *where) {
        int fd = socket(AF_INET, type, 0);

        return bind(fd, (const struct sockaddr *)where, sizeof *where) == 0 ? fd : -1;
}

static int option_of(int fd, int level, int name) {
        int value = 0;
        socklen_t length = sizeof value;

        return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

static bool is_ready(void) {
        return instances.list[0].signs.is_complete;
}

static int binds_and_listens(void) {
        int fd = bound(SOCK_STREAM, &wanted);

        if (fd < 0)
                return 1;
        if (!option_of(fd, SOL_SOCKET, SO_ACCEPTCONN)) /* ours listens since it was made */
                return 2;
        if (fcntl(fd, F_GETFD) != 0)
                return 3;
        return listen(fd, 1) == 0 ? 0 : 4;
}

static unsigned queue_limit(int fd) {
        struct tcp_info info = {0};
        socklen_t length = sizeof info;

        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
        return info.tcpi_sacked; /* of a socket that listens */
}

static void test_a_bind_gets_the_generations_socket_and_its_listen_is_the_sign(void **state) {
        struct launch_descriptor descriptors[LISTENERS_MAX];
        struct error error = {0};
        size_t count;

        (void)state;
        begin();
        assert_int_equal(child_run(binds_and_listens), 0);
        assert_true(is_ready());
        assert_int_equal(listeners.count, 1);
        assert_int_equal(listeners.list[0].members[0].seat.generation, 1);
        assert_true(queue_limit(listeners.list[0].members[0].fd) > 1); /* whatever it asked for */
        assert_int_equal(listeners_descriptors(
                                 &listeners, &(struct seat){.generation = 1}, descriptors, &count, &error),
                0);
        assert_int_equal(count, 0); /* it was not declared, and is not handed over at the next start */
        assert_int_equal(child_run_as(binds_and_listens, 2), 0); /* beside the first */
        assert_int_equal(listeners.list[0].member_count, 2);
        end();
}

static int binds_only(void) {
        return bound(SOCK_STREAM, &wanted) >= 0 ? 0 : 1;
}

static int listens_elsewhere(void) {
        int fd = bound(SOCK_STREAM, &other);

        if (fd < 0 || option_of(fd, SOL_SOCKET, SO_ACCEPTCONN))
                return 1;
        return listen(fd, 1) == 0 && option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) ? 0 : 2;
}

static void test_other_addresses_are_the_apps_own_and_no_sign(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(listens_elsewhere), 0);
        assert_int_equal(listeners.count, 0);
        assert_int_equal(adopt.trees[0].unnamed_count, 1); /* what explains a failure */
        assert_int_equal(socket_address_port(&adopt.trees[0].unnamed[0]), ntohs(other.sin_port));
        assert_true(adopt.has_told);
        assert_int_equal(child_run(binds_only), 0);
        assert_false(is_ready());
        end();
}

/* As a client does, or a server that tells its port to others. */
static int binds_any_port(void) {
        const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fds[2] = {bound(SOCK_STREAM, &any), bound(SOCK_DGRAM, &other)};

        return fds[0] >= 0 && fds[1] >= 0 ? 0 : 1;
}

static void test_binds_of_clients_and_of_datagrams_explain_nothing(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(binds_any_port), 0);
        assert_int_equal(adopt.trees[0].unnamed_count, 0);
        assert_false(adopt.has_told);
        end();
}

static int binds_datagrams(void) {
        int fd = bound(SOCK_DGRAM, &wanted);

        return fd >= 0 && option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM ? 0 : 1;
}

static void test_a_datagram_socket_of_that_address_is_the_apps_own(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(binds_datagrams), 0);
        assert_int_equal(listeners.count, 0);
        assert_int_equal(adopt.trees[0].unnamed_count, 0);
        end();
}

static int binds_twice(void) {
        int first = bound(SOCK_STREAM, &wanted);

        if (first < 0)
                return 1;
        if (bound(SOCK_STREAM, &wanted) >= 0 || errno != EADDRINUSE)
                return 2;
        if (bind(first, (struct sockaddr *)&wanted, sizeof wanted) == 0 || errno != EINVAL)
                return 3;
        close(first);
        return bound(SOCK_STREAM, &wanted) >= 0 ? 0 : 4;
}

static void test_an_address_is_bound_once_at_a_time_as_in_the_kernel(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(binds_twice), 0);
        end();
}

static int reuses(bool by_both) {
        int fds[2];
        const int on = 1;

        for (int i = 0; i < 2; i++) {
                fds[i] = socket(AF_INET, SOCK_STREAM, 0);
                if ((i == 0 || by_both) && setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
                        return 9;
                if (bind(fds[i], (struct sockaddr *)&wanted, sizeof wanted) < 0)
                        return i + 1;
        }
        return 0;
}

static int reuses_by_both(void) {
        return reuses(true);
}

static int reuses_by_one(void) {
        return reuses(false);
}

static void test_two_sockets_share_an_address_when_both_say_so(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(reuses_by_both), 0);
        assert_int_equal(child_run(reuses_by_one), 2);
        end();
}

static int sets_options(void) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1, bytes = 50000;
        int asked;

        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        asked = option_of(fd, SOL_SOCKET, SO_RCVBUF);
        if (bind(fd, (struct sockaddr *)&wanted, sizeof wanted) < 0)
                return 1;
        if (option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 1)
                return 2;
        if (option_of(fd, SOL_SOCKET, SO_RCVBUF) != asked)
                return 3;
        if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
                return 4;
        return fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 5;
}

static void test_what_the_app_had_set_is_set_on_the_socket_that_it_gets(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(sets_options), 0);
        end();
}

static void test_who_listens_on_all_addresses_is_ready_and_not_before(void **state) {
        (void)state;
        begin();
        rules.adopt_count = 2;
        assert_true(socket_address_set(&addresses[1], SOCK_STREAM, (struct sockaddr *)&other, sizeof other));
        assert_int_equal(child_run(binds_and_listens), 0);
        assert_false(is_ready());
        end();
}

static int binds_short_or_badly(void) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (bind(fd, (struct sockaddr *)&wanted, 1) == 0 || errno != EINVAL)
                return 1;
        if (bind(fd, NULL, sizeof wanted) == 0 || errno != EFAULT)
                return 2;
        return bind(-1, (struct sockaddr *)&wanted, sizeof wanted) < 0 && errno == EBADF ? 0 : 3;
}

static void test_a_bad_call_gets_the_error_that_it_always_got(void **state) {
        (void)state;
        begin();
        assert_int_equal(child_run(binds_short_or_badly), 0);
        assert_int_equal(listeners.count, 0);
        end();
}

/* The process says so by a byte, and goes on when it gets one. */
static int ends[2];

static int binds_after_the_drop(void) {
        char byte;
        int fd;

        if (read(ends[0], &byte, 1) != 1)
                return 1;
        fd = bound(SOCK_STREAM, &wanted);
        return fd >= 0 && !option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) ? 0 : 2;
}

static void drop_on_due(struct loop_timer *timer) {
        struct adopt_tree *tree = &adopt.trees[0];

        adopt_drop(&adopt, 1);
        assert_true(tree->is_dropped);
        assert_int_equal(write(ends[1], "x", 1), 1);
        (void)timer;
}

static void test_of_a_generation_that_was_dropped_a_bind_is_its_own(void **state) {
        struct loop_timer timer = {.on_due = drop_on_due};

        (void)state;
        begin();
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        loop_timer_set(&loop, &timer, time_now_ns());
        assert_int_equal(child_run(binds_after_the_drop), 0);
        assert_int_equal(listeners.count, 0);
        fd_cleanup(&ends[0]);
        fd_cleanup(&ends[1]);
        end();
}

/* Turn after turn until what the test waits for is there; then the generation is dropped. */
static void drop_when(struct loop_timer *timer, bool is_time) {
        if (is_time)
                adopt_drop(&adopt, 1);
        else
                loop_timer_set(&loop, timer, time_now_ns());
}

static void drop_while_looking(struct loop_timer *timer) {
        drop_when(timer, adopt.trees[0].is_looking);
}

static int binds_its_own(void) {
        int fd = bound(SOCK_STREAM, &wanted);

        return fd >= 0 && !option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) ? 0 : 1;
}

static void test_a_bind_that_is_looked_at_when_its_generation_goes_is_its_own(void **state) {
        struct loop_timer timer = {.on_due = drop_while_looking};

        (void)state;
        begin();
        loop_timer_set(&loop, &timer, time_now_ns());
        assert_int_equal(child_run(binds_its_own), 0);
        assert_true(adopt.trees[0].is_dropped);
        assert_int_equal(listeners.count, 0);
        end();
}

static int listens_after_the_drop(void) {
        int fd = bound(SOCK_STREAM, &wanted);
        char byte;

        if (fd < 0 || read(ends[0], &byte, 1) != 1)
                return 1;
        return listen(fd, 1) == 0 ? 0 : 2;
}

static void drop_when_bound(struct loop_timer *timer) {
        drop_when(timer, adopt.trees[0].socket_count > 0);
        if (adopt.trees[0].is_dropped)
                assert_int_equal(write(ends[1], "x", 1), 1);
}

static void test_of_a_generation_that_was_dropped_a_listen_is_no_sign(void **state) {
        struct loop_timer timer = {.on_due = drop_when_bound};

        (void)state;
        begin();
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        loop_timer_set(&loop, &timer, time_now_ns());
        assert_int_equal(child_run(listens_after_the_drop), 0);
        assert_false(is_ready());
        fd_cleanup(&ends[0]);
        fd_cleanup(&ends[1]);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_bind_gets_the_generations_socket_and_its_listen_is_the_sign),
                cmocka_unit_test(test_other_addresses_are_the_apps_own_and_no_sign),
                cmocka_unit_test(test_binds_of_clients_and_of_datagrams_explain_nothing),
                cmocka_unit_test(test_a_datagram_socket_of_that_address_is_the_apps_own),
                cmocka_unit_test(test_an_address_is_bound_once_at_a_time_as_in_the_kernel),
                cmocka_unit_test(test_two_sockets_share_an_address_when_both_say_so),
                cmocka_unit_test(test_what_the_app_had_set_is_set_on_the_socket_that_it_gets),
                cmocka_unit_test(test_who_listens_on_all_addresses_is_ready_and_not_before),
                cmocka_unit_test(test_a_bad_call_gets_the_error_that_it_always_got),
                cmocka_unit_test(test_of_a_generation_that_was_dropped_a_bind_is_its_own),
                cmocka_unit_test(test_a_bind_that_is_looked_at_when_its_generation_goes_is_its_own),
                cmocka_unit_test(test_of_a_generation_that_was_dropped_a_listen_is_no_sign),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("adopt_answers", tests, NULL, NULL);
}
