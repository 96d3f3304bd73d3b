/* Sockets that an app binds itself, and those of a former life that a service manager has kept for it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "tests/unit/supervisor/sockets/registry.h"

static void test_an_app_that_binds_gets_the_socket_of_its_generation(void **state) {
        const struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct socket_address address;
        struct error error = {0};
        int declared_fd, first, again, second;

        (void)state;
        registry_start("127.0.0.1");
        declared_fd = descriptor_of(1);
        address = web()->address;
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &first, &error), 0);
        assert_int_equal(first, declared_fd);
        listeners_close(&listeners);
        settings.declared_count = 0;
        assert_false(listeners_are_steered(&listeners));
        rules.adopt_count = 1;
        assert_true(listeners_are_steered(&listeners)); /* it may come */
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &first, &error), 0);
        assert_true(listeners_are_steered(&listeners));
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &again, &error), 0);
        assert_int_equal(again, first);
        assert_int_equal(listeners_adopt(&listeners, SEAT(2), &address, &options, &second, &error), 0);
        assert_int_not_equal(second, first);
        assert_int_equal(client_lands("127.0.0.1"), 1);
        steer(2, 1, 0, 0);
        assert_int_equal(client_lands("127.0.0.1"), 2);
        registry_end();
}

static void test_an_address_in_use_is_the_apps_own_error(void **state) {
        const struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct socket_address address;
        struct error error = {0};
        int fd, stranger;
        const int on = 1;

        (void)state;
        registry_start("127.0.0.1");
        address = web()->address;
        registry_end();
        registry_begin();
        registry_open();
        stranger = socket(AF_INET, SOCK_STREAM, 0);
        /* Even one of ours that would share it. */
        setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        assert_int_equal(bind(stranger, &address.generic, address.length), 0);
        assert_int_equal(listen(stranger, 5), 0);
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &fd, &error), -1);
        assert_int_equal(error.code, EADDRINUSE);
        assert_non_null(strstr(error.text, "127.0.0.1:"));
        assert_true(error.hint[0]);
        assert_int_equal(listeners.count, 0);
        close(stranger);
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &fd, &error), 0);
        registry_end();
}

/* A tcp socket that listens, and another descriptor of it, as the manager has one. */
static int kept_open(bool is_reused, int *out_copy) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = is_reused;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&in4, sizeof in4), 0);
        assert_int_equal(listen(fd, 16), 0);
        *out_copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd;
}

static void registry_start_with_kept(struct kept_descriptor *kept, struct socket_address *rule) {
        registry_begin();
        assert_true(socket_address_of(kept->fd, rule));
        rules.adopts = rule;
        rules.adopt_count = 1;
        settings.kept = kept;
        settings.kept_count = 1;
        registry_open();
        listeners_kept_begin(&listeners);
}

static void test_what_was_kept_is_for_the_app_that_binds_its_address(void **state) {
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        struct listener_view view;
        struct error error;
        int copy, fd, client;

        (void)state;
        kept.fd = kept_open(true, &copy);
        registry_start_with_kept(&kept, &address);
        assert_true(listeners_has_kept(&listeners, &address));
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, &address.generic, address.length), 0);
        assert_int_equal(listeners_adopt(&listeners, SEAT(1), &address, &options, &fd, &error), 0);
        assert_int_equal(fd, kept.fd);
        assert_int_equal(listener_waiting(fd), 1);
        assert_false(listeners_has_kept(&listeners, &address));
        assert_true(listeners_look(&listeners, 0, &view));
        assert_true(view.kept_cookie != 0);
        steer(1, 1, 0, 0);
        assert_int_equal(accept_one(), 1);
        assert_int_equal(listeners_adopt(&listeners, SEAT(2), &address, &options, &fd, &error), 0);
        steer(2, 1, 0, 0);
        assert_all_land("127.0.0.1", 20, 2);
        listeners_drop(&listeners, 1); /* although the manager has a copy of it */
        assert_int_equal(web()->member_count, 1);
        assert_all_land("127.0.0.1", 20, 2);
        close(client);
        close(copy);
        registry_end();
}

static void test_what_was_kept_and_cannot_be_joined_is_replaced(void **state) {
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        struct error error;
        int copy, fd;

        (void)state;
        kept.fd = kept_open(false, &copy);
        registry_start_with_kept(&kept, &address);
        if (listeners_adopt(&listeners, SEAT(1), &address, &options, &fd, &error) < 0)
                fail_msg("%s", error.text);
        assert_null(web()->why_shared);
        assert_true(listeners.kept[0].is_unwanted);
        assert_false(listener_is_listening(copy));
        steer(1, 1, 0, 0);
        assert_all_land("127.0.0.1", 5, 1);
        close(copy);
        registry_end();
}

static void test_what_was_kept_yields_to_a_bind_that_nobody_answers(void **state) {
        struct kept_descriptor kept = {.name = "tacet-adopted.x"};
        struct socket_address address;
        int copy;

        (void)state;
        kept.fd = kept_open(true, &copy);
        registry_start_with_kept(&kept, &address);
        listeners_settle(&listeners);
        assert_true(listeners_has_kept(&listeners, &address)); /* nothing has proved itself yet */
        listeners_kept_yield(&listeners, &address);
        assert_false(listeners_has_kept(&listeners, &address));
        assert_false(listener_is_listening(copy));
        close(copy);
        registry_end();
}

static int adopt_at(uint64_t generation, uint32_t slot, const struct socket_address *address) {
        const struct listener_options options = LISTENER_OPTIONS_DEFAULT;
        struct error error = {0};
        int fd;

        if (listeners_adopt(&listeners, SEAT_AT(generation, slot), address, &options, &fd, &error) < 0)
                fail_msg("%s", error.text);
        return fd;
}

/* Only one of three binds it: nobody is sent to a socket that no app will come for. */
static void test_an_address_that_one_instance_alone_binds_is_its_own(void **state) {
        struct socket_address address = {0};
        struct error error = {0};

        (void)state;
        registry_begin();
        registry_open();
        assert_int_equal(socket_address_parse("127.0.0.1:1", &address, &error), 0);
        address.in4.sin_port = 0;
        adopt_at(1, 0, &address);
        address = web()->address;
        steer_to(3, (const struct seat[]){{1, 0}, {1, 1}, {1, 2}});
        assert_int_equal(web()->member_count, 1);
        assert_int_equal(client_lands("127.0.0.1"), 1);
        /* It has crashed: who comes waits for its successor. */
        steer_to(2, (const struct seat[]){{1, 1}, {1, 2}});
        assert_int_equal(web()->member_count, 1);
        /* Of the next generation none has bound it yet; the one that does gets those who have come. */
        steer_to(3, (const struct seat[]){{2, 0}, {2, 1}, {2, 2}});
        int client = client_connect("127.0.0.1"), fd = adopt_at(2, 2, &address);
        assert_int_equal(listeners_waiting(&listeners, SEAT_AT(2, 2)), 1);
        assert_int_not_equal(adopt_at(2, 1, &address), fd);
        assert_null(listener_member_of(web(), SEAT_AT(2, 0)));
        close(client);
        registry_end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_app_that_binds_gets_the_socket_of_its_generation),
                cmocka_unit_test(test_an_address_in_use_is_the_apps_own_error),
                cmocka_unit_test(test_what_was_kept_is_for_the_app_that_binds_its_address),
                cmocka_unit_test(test_what_was_kept_and_cannot_be_joined_is_replaced),
                cmocka_unit_test(test_what_was_kept_yields_to_a_bind_that_nobody_answers),
                cmocka_unit_test(test_an_address_that_one_instance_alone_binds_is_its_own),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        network_make();
        return cmocka_run_group_tests_name("kept", tests, NULL, NULL);
}
