/* Who gets which connection: clients by the shares of the generations, probes the one that they ask for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>

#include "tests/unit/supervisor/sockets/wire.h"

static void check_steering(const char *bound, const char *const *hosts) {
        registry_start(bound);
        descriptor_of(1);
        for (const char *const *host = hosts; *host; host++)
                assert_all_land(*host, 20, 1);
        assert_int_not_equal(descriptor_of(1), descriptor_of(2));
        for (const char *const *host = hosts; *host; host++) {
                steer(1, 1, 0, 0);
                for (int i = 0; i < 20; i++) {
                        assert_int_equal(probe_lands(2), 2);
                        assert_int_equal(client_lands(*host), 1);
                        assert_int_equal(probe_lands(1), 1);
                }
                steer(2, 1, 0, 0);
                assert_all_land(*host, 50, 2);
                assert_int_equal(probe_lands(1), 1);
                assert_int_equal(probe_lands(2), 2);
        }
        registry_end();
}

static const char *const only4[] = {"127.0.0.1", NULL}, *const only6[] = {"[::1]", NULL},
                         *const both[] = {"127.0.0.1", "[::1]", NULL};

static void check_all_families(void) {
        check_steering("127.0.0.1", only4);
        check_steering("0.0.0.0", only4);
        check_steering("[::1]", only6);
        check_steering("*", both);
}

static void test_clients_go_by_the_shares_and_probes_to_whom_they_ask_for(void **state) {
        (void)state;
        check_all_families();
}

static void test_the_same_holds_without_any_right(void **state) {
        pid_t pid;
        int status;

        (void)state;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
                        _exit(3);
                check_all_families();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_canary_gets_about_its_share(void **state) {
        unsigned canary = 0;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 90, 2, 10);
        for (int i = 0; i < 2000; i++)
                canary += client_lands("127.0.0.1") == 2;
        assert_in_range(canary, 120, 290); /* 200 are expected, six standard deviations around them */
        registry_end();
}

static uint16_t port_of(int fd) {
        struct socket_address address;

        assert_true(socket_address_of(fd, &address));
        return socket_address_port(&address);
}

static void test_every_probe_comes_from_a_port_of_its_own(void **state) {
        struct error error = {0};
        int first, second;

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        descriptor_of(2);
        assert_int_equal(listeners_probe(&listeners, SEAT(1), "web", &first, &error), 0);
        assert_int_equal(accept_one(), 1);
        assert_int_equal(listeners_probe(&listeners, SEAT(1), "web", &second, &error), 0);
        assert_int_equal(accept_one(), 1);
        assert_int_not_equal(port_of(first), port_of(second));
        close(first);
        close(second);
        assert_int_equal(listeners_probe(&listeners, SEAT(7), "web", &second, &error), LISTENERS_UNKNOWN);
        assert_int_equal(listeners_probe(&listeners, SEAT(1), "other", &second, &error), LISTENERS_UNKNOWN);
        registry_end();
}

static int accept_now(void) {
        struct pollfd poll_fd = {.fd = web()->members[0].fd, .events = POLLIN};
        int fd;

        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        fd = accept(poll_fd.fd, NULL, NULL);
        assert_true(fd >= 0);
        return fd;
}

/* TIME_WAIT on its side, on ours, FIN_WAIT2 on ours. */
enum order { SERVER_FIRST, CLIENT_FIRST, CLIENT_ALONE, ORDERS };

static void probe_and_end(enum order order, int *out_server) {
        struct pollfd poll_fd = {.events = POLLIN};
        struct error error = {0};
        char byte;
        int fd;

        if (listeners_probe(&listeners, SEAT(1), NULL, &fd, &error) != 0)
                fail_msg("%s", error.text);
        *out_server = accept_now();
        if (order == SERVER_FIRST)
                assert_int_equal(shutdown(*out_server, SHUT_WR), 0);
        else
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
        poll_fd.fd = order == SERVER_FIRST ? fd : *out_server;
        assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
        assert_int_equal(recv(poll_fd.fd, &byte, 1, MSG_DONTWAIT), 0);
        close(fd);
        if (order != CLIENT_ALONE)
                fd_cleanup(out_server);
}

static void timestamps_set(const char *digit) {
        CLEANUP_FD int fd = open("/proc/sys/net/ipv4/tcp_timestamps", O_WRONLY | O_CLOEXEC);

        if (has_own_network && fd >= 0)
                assert_int_equal(write(fd, digit, 1), 1);
}

/* Whatever is left of it in the kernel, and also where that does not let a port in TIME_WAIT be used
 * again. */
static void test_a_probe_follows_another_at_once_whoever_closes_first(void **state) {
        static int servers[ORDERS * 100];

        (void)state;
        registry_start("127.0.0.1");
        descriptor_of(1);
        timestamps_set("0");
        for (unsigned i = 0; i < sizeof servers / sizeof *servers; i++)
                probe_and_end((enum order)(i % ORDERS), &servers[i]);
        timestamps_set("1");
        for (unsigned i = 0; i < sizeof servers / sizeof *servers; i++)
                fd_close(servers[i]);
        registry_end();
}

/* From another machine the port of a probe is any port; options in the header change nothing. */
static void test_a_stranger_on_the_port_of_the_probe_is_a_client(void **state) {
        int wire = wire_open();

        (void)state;
        if (wire < 0)
                skip();
        registry_start("*");
        descriptor_of(1);
        descriptor_of(2);
        steer(1, 1, 0, 0);
        assert_int_equal(probe_lands(2), 2);
        for (size_t words = 5; words <= 8; words++) {
                uint16_t port = listener_member_of(web(), SEAT(2))->probe_port;

                client_address++;
                segment_send(wire, words, port, FLAG_SYN, 0);
                segment_send(wire, words, port, FLAG_ACK, answer_await(wire, port));
                assert_int_equal(accept_one(), 1);
        }
        registry_end();
        close(wire);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clients_go_by_the_shares_and_probes_to_whom_they_ask_for),
                cmocka_unit_test(test_the_same_holds_without_any_right),
                cmocka_unit_test(test_a_canary_gets_about_its_share),
                cmocka_unit_test(test_every_probe_comes_from_a_port_of_its_own),
                cmocka_unit_test(test_a_probe_follows_another_at_once_whoever_closes_first),
                cmocka_unit_test(test_a_stranger_on_the_port_of_the_probe_is_a_client),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
