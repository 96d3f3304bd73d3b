/* The texts of socket addresses, both ways. */

#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/socket_address.h"

static struct socket_address parsed(const char *text) {
        struct socket_address address;
        struct error error = {0};

        if (socket_address_parse(text, &address, &error) < 0)
                fail_msg("%s: %s", text, error.text);
        return address;
}

static void test_every_form_reads_and_is_written_back_in_its_shortest_form(void **state) {
        static const struct {
                const char *text, *shortest;
                int type, family;
        } forms[] = {
                {"8080", "*:8080", SOCK_STREAM, AF_INET6},
                {"*:8080", "*:8080", SOCK_STREAM, AF_INET6},
                {"tcp:1", "*:1", SOCK_STREAM, AF_INET6},
                {"tcp4:65535", "0.0.0.0:65535", SOCK_STREAM, AF_INET},
                {"tcp6:80", "[::]:80", SOCK_STREAM, AF_INET6},
                {"tcp6:*:80", "[::]:80", SOCK_STREAM, AF_INET6},
                {"127.0.0.1:8080", "127.0.0.1:8080", SOCK_STREAM, AF_INET},
                {"tcp:0.0.0.0:8080", "0.0.0.0:8080", SOCK_STREAM, AF_INET},
                {"[::1]:80", "[::1]:80", SOCK_STREAM, AF_INET6},
                {"[::]:80", "[::]:80", SOCK_STREAM, AF_INET6},
                {"[0:0:0:0:0:0:0:1]:080", "[::1]:80", SOCK_STREAM, AF_INET6},
                {"tcp6:[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80", SOCK_STREAM, AF_INET6},
                {"udp:53", "udp:*:53", SOCK_DGRAM, AF_INET6},
                {"udp:127.0.0.1:53", "udp:127.0.0.1:53", SOCK_DGRAM, AF_INET},
                {"udp4:53", "udp:0.0.0.0:53", SOCK_DGRAM, AF_INET},
                {"udp6:[::1]:53", "udp:[::1]:53", SOCK_DGRAM, AF_INET6},
                {"/run/app.sock", "/run/app.sock", SOCK_STREAM, AF_UNIX},
                {"unix:/run/a b:c", "/run/a b:c", SOCK_STREAM, AF_UNIX},
                {"@name", "@name", SOCK_STREAM, AF_UNIX},
                {"unix:@name", "@name", SOCK_STREAM, AF_UNIX},
                {"unix-dgram:/run/log", "unix-dgram:/run/log", SOCK_DGRAM, AF_UNIX},
                {"unix-dgram:@log", "unix-dgram:@log", SOCK_DGRAM, AF_UNIX},
        };
        char text[SOCKET_ADDRESS_TEXT_BYTES];

        (void)state;
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
                struct socket_address address = parsed(forms[i].text), again;

                assert_int_equal(address.type, forms[i].type);
                assert_int_equal(address.generic.sa_family, forms[i].family);
                socket_address_format(&address, text);
                assert_string_equal(text, forms[i].shortest);
                again = parsed(text);
                assert_true(socket_address_equal(&address, &again));
                assert_int_equal(address.is_any, again.is_any);
                assert_int_equal(address.length, again.length);
        }
}

static void test_a_port_alone_is_both_families_but_not_with_a_family_in_front(void **state) {
        (void)state;
        assert_true(parsed("8080").is_any);
        assert_true(parsed("udp:*:53").is_any);
        assert_false(parsed("tcp4:8080").is_any);
        assert_false(parsed("tcp6:8080").is_any);
        assert_false(parsed("[::]:8080").is_any);
        assert_int_equal(socket_address_port(&(struct socket_address){0}), 0);
        assert_int_equal(ntohs(parsed("8080").in6.sin6_port), 8080);
}

static void test_what_is_no_address_is_refused_with_its_reason(void **state) {
        static const struct {
                const char *text, *why;
        } bad[] = {
                {"", "empty"},
                {"0", "from 1 to 65535"},
                {"65536", "from 1 to 65535"},
                {"127.0.0.1:0", "from 1 to 65535"},
                {"127.0.0.1:65536", "from 1 to 65535"},
                {"127.0.0.1:99999999999999999999", "from 1 to 65535"},
                {"127.0.0.1:", "from 1 to 65535"},
                {"127.0.0.1: 80", "from 1 to 65535"},
                {"127.0.0.1:+80", "from 1 to 65535"},
                {"127.0.0.1:80x", "from 1 to 65535"},
                {"127.0.0.1", "no port"},
                {"http", "no port"},
                {":80", "no address"},
                {"localhost:80", "names are not looked up"},
                {"example.org:80", "names are not looked up"},
                {"127.0.0.256:80", "no IPv4 address"},
                {"127.1:80", "no IPv4 address"},
                {"::1:80", "needs brackets"},
                {"fe80::1%lo:80", "needs brackets"},
                {"[::1]", "after the brackets stands no port"},
                {"[::1]80", "after the brackets stands no port"},
                {"[::1", "after the brackets stands no port"},
                {"[", "after the brackets stands no port"},
                {"[]:80", "no IPv6 address"},
                {"[1.2.3.4]:80", "no IPv6 address"},
                {"[localhost]:80", "no IPv6 address"},
                {"[fe80::1%nosuchdevice0]:80", "no network interface"},
                {"[fe80::1%]:80", "no network interface"},
                {"tcp4:[::1]:80", "not of the family"},
                {"tcp6:127.0.0.1:80", "not of the family"},
                {"tcp:", "from 1 to 65535"},
                {"unix:", "begins with /"},
                {"unix:run/app.sock", "begins with /"},
                {"run/app.sock", "no port"},
                {"@", "the name is empty"},
                {"/", "a folder"},
                {"/run/", "a folder"},
                {"unix:8080", "begins with /"},
                {"http://127.0.0.1:80", "names are not looked up"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                struct socket_address address = {.type = 77};
                struct error error = {0};

                assert_int_equal(socket_address_parse(bad[i].text, &address, &error), -1);
                if (!strstr(error.text, bad[i].why))
                        fail_msg("'%s': %s", bad[i].text, error.text);
                assert_non_null(strstr(error.hint, "give an address"));
                assert_int_equal(address.type, 77);
        }
}

static void test_a_scope_is_an_interface_by_name_or_number(void **state) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct socket_address address;

        (void)state;
        if (!if_nametoindex("lo"))
                skip();
        address = parsed("[fe80::1%lo]:80");
        assert_int_equal(address.in6.sin6_scope_id, if_nametoindex("lo"));
        socket_address_format(&address, text);
        assert_string_equal(text, "[fe80::1%lo]:80");
        address = parsed("[fe80::1%4294967295]:80");
        socket_address_format(&address, text);
        assert_string_equal(text, "[fe80::1%4294967295]:80");
        assert_false(socket_address_equal(&address, &(struct socket_address){0}));
}

static void test_a_unix_name_has_exactly_its_length(void **state) {
        size_t offset = offsetof(struct sockaddr_un, sun_path);
        char longest[120];
        struct socket_address address;
        struct error error;

        (void)state;
        assert_int_equal(parsed("@ab").length, offset + 3);
        assert_int_equal(parsed("@ab").local.sun_path[0], 0);
        assert_null(socket_address_path(&(struct socket_address){.length = 3}));
        address = parsed("/ab");
        assert_int_equal(address.length, offset + 4);
        assert_string_equal(socket_address_path(&address), "/ab");
        memset(longest, 'x', sizeof longest);
        longest[0] = '/';
        longest[107] = '\0';
        address = parsed(longest);
        assert_int_equal(address.length, sizeof(struct sockaddr_un));
        longest[107] = 'x';
        longest[108] = '\0';
        assert_int_equal(socket_address_parse(longest, &address, &error), -1);
        longest[0] = '@';
        assert_int_equal(parsed(longest).length, sizeof(struct sockaddr_un));
        longest[108] = 'x';
        longest[109] = '\0';
        assert_int_equal(socket_address_parse(longest, &address, &error), -1);
}

static void test_addresses_differ_in_type_family_port_and_host(void **state) {
        static const char *const all[] = {"80", "81", "0.0.0.0:80", "127.0.0.1:80", "[::1]:80", "udp:80",
                "/a", "/ab", "@a", "unix-dgram:/a"};

        (void)state;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
                        struct socket_address a = parsed(all[i]), b = parsed(all[n]);

                        assert_int_equal(socket_address_equal(&a, &b), i == n);
                }
        assert_true(socket_address_equal(&(struct socket_address[]){parsed("80")}[0],
                &(struct socket_address[]){parsed("[::]:80")}[0]));
}

static void test_an_address_of_the_kernel_equals_the_one_that_was_read(void **state) {
        struct socket_address wanted = parsed("@tacet-test-of-socket-addresses"), got;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), unbound;

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, &wanted.generic, wanted.length), 0);
        assert_true(socket_address_of(fd, &got));
        assert_true(socket_address_equal(&wanted, &got));
        (void)close(fd);
        unbound = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_false(socket_address_of(unbound, &got));
        (void)close(unbound);
        assert_false(socket_address_of(STDIN_FILENO, &got));
}

static void test_an_address_of_an_app_is_checked_before_it_is_believed(void **state) {
        struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(80)};
        struct socket_address wanted = parsed("/run/x"), got = {.type = 77};
        struct sockaddr_storage large = {0};
        size_t offset = offsetof(struct sockaddr_un, sun_path);

        (void)state;
        memcpy(&large, &path, sizeof path);
        /* With its NUL, without it, and as the whole array: one and the same path. */
        assert_true(socket_address_set(&got, SOCK_STREAM, (void *)&path, (socklen_t)(offset + 7)));
        assert_true(socket_address_equal(&wanted, &got));
        assert_true(socket_address_set(&got, SOCK_STREAM, (void *)&path, (socklen_t)(offset + 6)));
        assert_true(socket_address_equal(&wanted, &got));
        assert_true(socket_address_set(&got, SOCK_STREAM, (void *)&path, sizeof path));
        assert_true(socket_address_equal(&wanted, &got));
        assert_true(socket_address_set(&got, SOCK_STREAM, (void *)&in4, sizeof in4));
        assert_int_equal(socket_address_port(&got), 80);

        got.type = 77;
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&path, (socklen_t)offset));
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&large, sizeof path + 1));
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&in4, sizeof in4 - 1));
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&in4, 1));
        assert_false(socket_address_set(&got, SOCK_RAW, (void *)&in4, sizeof in4));
        in4.sin_family = AF_NETLINK;
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&in4, sizeof in4));
        memset(path.sun_path, 'x', sizeof path.sun_path);
        assert_false(socket_address_set(&got, SOCK_STREAM, (void *)&path, sizeof path));
        assert_int_equal(got.type, 77);
}

static void test_an_abstract_name_of_strange_bytes_is_shown_tamely(void **state) {
        struct sockaddr_un strange = {.sun_family = AF_UNIX, .sun_path = "\0a\0b\x1b"};
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct socket_address got;

        (void)state;
        assert_true(socket_address_set(
                &got, SOCK_STREAM, (void *)&strange, offsetof(struct sockaddr_un, sun_path) + 5));
        socket_address_format(&got, text);
        assert_string_equal(text, "@a?b?");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_form_reads_and_is_written_back_in_its_shortest_form),
                cmocka_unit_test(test_a_port_alone_is_both_families_but_not_with_a_family_in_front),
                cmocka_unit_test(test_what_is_no_address_is_refused_with_its_reason),
                cmocka_unit_test(test_a_scope_is_an_interface_by_name_or_number),
                cmocka_unit_test(test_a_unix_name_has_exactly_its_length),
                cmocka_unit_test(test_addresses_differ_in_type_family_port_and_host),
                cmocka_unit_test(test_an_address_of_the_kernel_equals_the_one_that_was_read),
                cmocka_unit_test(test_an_address_of_an_app_is_checked_before_it_is_believed),
                cmocka_unit_test(test_an_abstract_name_of_strange_bytes_is_shown_tamely),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
