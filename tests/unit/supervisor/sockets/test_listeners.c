/* What the configuration declares, opened: which sockets are shared, those that were given, unix sockets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/unit/supervisor/sockets/registry.h"

/* Nobody has the addresses for documentation. */
static void check_free_bind(const char *host) {
        struct error error = {0};

        registry_begin();
        declare_free(host);
        assert_int_equal(listeners_open(&listeners, &rooms, &settings, &error), -1);
        assert_int_equal(error.code, EADDRNOTAVAIL);
        assert_non_null(strstr(error.hint, "free_bind"));
        registry_end();

        registry_begin();
        declare_free(host)->is_free = true;
        registry_open();
        assert_int_not_equal(descriptor_of(1), descriptor_of(2));
        assert_true(listener_is_listening(web()->members[1].fd));
        registry_end();
}

static void test_an_address_that_is_not_there_yet_can_be_bound_freely(void **state) {
        (void)state;
        check_free_bind("192.0.2.1");
        check_free_bind("[2001:db8::1]");
}

static void assert_shared(const char *why) {
        struct error error = {0};
        struct listener_view view;
        int fd;

        assert_int_equal(descriptor_of(1), descriptor_of(2));
        assert_true(listeners_look(&listeners, 0, &view));
        assert_non_null(view.why_shared);
        assert_non_null(strstr(view.why_shared, why));
        assert_false(listeners_look(&listeners, 1, &view));
        assert_int_equal(listeners_probe(&listeners, SEAT(1), NULL, &fd, &error), LISTENERS_SHARED);
        assert_false(listeners_are_steered(&listeners));
        assert_false(listeners_can_probe(&settings, &rules, "web"));
        listeners_drop(&listeners, 1);
        assert_true(fcntl(descriptor_of(2), F_GETFD) >= 0);
}

static void test_what_cannot_have_a_group_is_shared(void **state) {
        (void)state;
        registry_begin();
        declare_free("127.0.0.1")->is_shared = true;
        registry_open();
        assert_shared("configuration");
        assert_int_equal(client_lands("127.0.0.1"), 0);
        registry_end();

        registry_begin();
        fleet_settings.is_signalled = true;
        fleet_settings.replicas = 2;
        declare_free("127.0.0.1");
        registry_open();
        assert_shared("live on");
        registry_end();

        registry_begin();
        declare_free("udp:127.0.0.1");
        registry_open();
        assert_shared("stream");
        registry_end();

        registry_begin();
        declare("web", "@tacet-test-listeners");
        registry_open();
        assert_shared("unix");
        registry_end();
}

static void test_where_one_instance_runs_at_a_time_each_has_a_socket_of_its_own(void **state) {
        struct pollfd poll_fd = {.events = POLLOUT};
        struct error error = {0};
        const char *const hosts[] = {"127.0.0.1", "[::1]", "*"};

        (void)state;
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
                registry_begin();
                fleet_settings.surge_max = 0;
                declare_free(hosts[i]);
                assert_true(listeners_can_probe(&settings, &rules, "web"));
                registry_open();
                assert_int_not_equal(descriptor_of(1), descriptor_of(2));
                assert_true(listeners_are_steered(&listeners));
                assert_int_equal(listeners_probe(&listeners, SEAT(2), NULL, &poll_fd.fd, &error), 0);
                assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
                accept_one();
                close(poll_fd.fd);
                fleet_settings.replicas = 2; /* then there are more */
                assert_false(rules_are_single(&rules));
                registry_end();
        }
}

static void declare_inherited(int fd) {
        struct listener_settings *listener = declare_free("127.0.0.1");

        listener->inherited_fd = fd;
        assert_true(socket_address_of(fd, &listener->address));
}

static void test_a_socket_given_without_reuse_is_shared(void **state) {
        (void)state;
        registry_begin();
        declare_inherited(inherited_open(false));
        registry_open();
        assert_shared("SO_REUSEPORT");
        assert_int_equal(client_lands("127.0.0.1"), 0);
        registry_end();
}

/* Whoever gave it keeps a copy: it never leaves the group, so it serves every second generation. */
static void test_a_socket_given_with_reuse_is_steered_and_never_closed(void **state) {
        int given = inherited_open(true), copy = dup(given);

        (void)state;
        registry_begin();
        declare_inherited(given);
        assert_true(listeners_can_probe(&settings, &rules, "web"));
        registry_open();
        assert_int_equal(descriptor_of(1), given);
        for (uint64_t generation = 2; generation < 8; generation++) {
                assert_int_equal(descriptor_of(generation) == given, generation % 2);
                assert_int_equal(probe_lands(generation), generation);
                steer(generation, 1, 0, 0);
                listeners_drop(&listeners, generation - 1);
                assert_all_land("127.0.0.1", 10, generation);
        }
        assert_true(listener_is_listening(copy));
        registry_end();
        close(copy);
}

static char folder[64];

static struct listener_settings *declare_local(const char *prefix) {
        static char address[128];

        snprintf(address, sizeof address, "%s%s/s", prefix, folder);
        return declare("web", address);
}

static void test_a_unix_socket_has_its_mode_and_goes_with_us(void **state) {
        struct listener_settings *listener;
        struct stat status;
        char path[96];

        (void)state;
        snprintf(path, sizeof path, "%s/s", folder);
        for (int round = 0; round < 2; round++) {
                registry_begin();
                listener = declare_local(round ? "unix-dgram:" : "");
                listener->has_mode = true;
                listener->mode = 0620;
                registry_open();
                assert_int_equal(stat(path, &status), 0);
                assert_int_equal(status.st_mode & 07777, 0620);
                registry_end();
                assert_int_equal(stat(path, &status), -1);
        }
}

static void test_a_unix_socket_that_nobody_has_is_replaced(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct error error = {0};
        struct stat status;
        int stranger = socket(AF_UNIX, SOCK_STREAM, 0);

        (void)state;
        snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
        assert_int_equal(bind(stranger, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(stranger, 1), 0);
        registry_begin();
        declare_local("");
        assert_int_equal(listeners_open(&listeners, &rooms, &settings, &error), -1);
        assert_int_equal(error.code, EADDRINUSE);
        registry_end();
        close(stranger);
        registry_begin();
        declare_local("");
        registry_open();
        /* Somebody has taken our place: that file is not ours to remove. */
        unlink(address.sun_path);
        stranger = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(stranger, (struct sockaddr *)&address, sizeof address), 0);
        registry_end();
        assert_int_equal(stat(address.sun_path, &status), 0);
        close(stranger);
        unlink(address.sun_path);
}

static void test_a_file_that_is_no_socket_is_left_alone(void **state) {
        struct error error = {0};
        char path[96];
        struct stat status;

        (void)state;
        snprintf(path, sizeof path, "%s/s", folder);
        close(creat(path, 0600));
        registry_begin();
        declare_local("");
        assert_int_equal(listeners_open(&listeners, &rooms, &settings, &error), -1);
        assert_non_null(strstr(error.text, path));
        registry_end();
        assert_int_equal(stat(path, &status), 0);
        unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_address_that_is_not_there_yet_can_be_bound_freely),
                cmocka_unit_test(test_what_cannot_have_a_group_is_shared),
                cmocka_unit_test(test_where_one_instance_runs_at_a_time_each_has_a_socket_of_its_own),
                cmocka_unit_test(test_a_socket_given_without_reuse_is_shared),
                cmocka_unit_test(test_a_socket_given_with_reuse_is_steered_and_never_closed),
                cmocka_unit_test(test_a_unix_socket_has_its_mode_and_goes_with_us),
                cmocka_unit_test(test_a_unix_socket_that_nobody_has_is_replaced),
                cmocka_unit_test(test_a_file_that_is_no_socket_is_left_alone),
        };
        int failed;

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        snprintf(folder, sizeof folder, "/tmp/tacet-listeners-XXXXXX");
        if (!mkdtemp(folder))
                return 1;
        failed = cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
        (void)rmdir(folder);
        return failed;
}
