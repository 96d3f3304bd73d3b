/* Declared sockets: [socket NAME], --listen, and what the two may say together. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/config.h"

static char path[] = "/tmp/tacet-sockets-XXXXXX";

static int read_text(struct config *config, const char *text, struct error *error) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
        config_init(config);
        return config_read_file(config, path, NULL, NULL, error);
}

/* Read and check; expect "PATH:LINE: text". */
static void expect_refusal(const char *file, unsigned line, const char *text) {
        struct config CLEANUP_CONFIG config;
        struct error error = {0};
        char expected[ERROR_TEXT_BYTES];

        assert_int_equal(read_text(&config, file, &error) < 0 || config_check(&config, false, &error) < 0, 1);
        snprintf(expected, sizeof expected, "%s:%u: %s", path, line, text);
        assert_string_equal(error.text, expected);
        assert_int_equal(error.status, EXIT_STATUS_CONFIG);
}

static const char *address_of(const struct config *config, size_t n) {
        static char text[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(&config->sockets[n].listen, text);
        return text;
}

static void test_a_socket_has_its_keys_and_its_defaults(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(read_text(&config,
                                 "[socket http]\nlisten = 8080\n"
                                 "[socket admin]\nlisten = /run/app.sock\nbacklog = 16\nmode = 0660\n"
                                 "user = www-data\ngroup = 33\nshared = yes\n"
                                 "[socket six]\nlisten = [::]:80\nipv6_only = no\n"
                                 "[service]\nsocket_protocols = systemd, einhorn server-starter\n",
                                 &error),
                0);
        assert_int_equal(config_check(&config, false, &error), 0);
        assert_int_equal(config.socket_count, 3);
        assert_string_equal(config.sockets[0].name, "http");
        assert_string_equal(address_of(&config, 0), "*:8080");
        assert_int_equal(config.sockets[0].backlog, 4096);
        assert_int_equal(config.sockets[0].mode, CONFIG_UNSET);
        assert_int_equal(config.sockets[0].ipv6_only, CONFIG_IPV6_ONLY_AUTO);
        assert_false(config.sockets[0].shared);
        assert_false(config.sockets[0].free_bind);
        assert_int_equal(config.sockets[1].backlog, 16);
        assert_int_equal(config.sockets[1].mode, 0660);
        assert_string_equal(config.sockets[1].user, "www-data");
        assert_string_equal(config.sockets[1].group, "33");
        assert_true(config.sockets[1].shared);
        assert_int_equal(config.sockets[2].ipv6_only, CONFIG_IPV6_ONLY_NO);
        assert_int_equal(config.service.socket_protocols, 7);
}

static void test_the_default_protocol_is_that_of_systemd(void **state) {
        struct config CLEANUP_CONFIG config;

        (void)state;
        config_init(&config);
        assert_int_equal(config.service.socket_protocols, CONFIG_PROTOCOL_SYSTEMD);
}

static void test_wrong_values_name_line_and_reason(void **state) {
        (void)state;
        expect_refusal("[socket a]\nlisten = localhost:80\n", 2,
                "listen: 'localhost:80' is no address to listen on: names are not looked up");
        expect_refusal("[socket a]\nlisten = 0\n", 2,
                "listen: '0' is no address to listen on: the port must be a number from 1 to 65535");
        expect_refusal(
                "[socket a]\nlisten = 80\nbacklog = 0\n", 3, "backlog = 0 is not a number from 1 to 65535");
        expect_refusal("[socket a]\nlisten = /a\nmode = rw\n", 3,
                "mode = rw is not an octal number such as 022 or 0660");
        expect_refusal("[service]\nsocket_protocols = inetd\n", 2,
                "socket_protocols = inetd is not one or more of systemd, server-starter and einhorn");
        expect_refusal("[service]\nsocket_protocols = ,\n", 2,
                "socket_protocols = , is not one or more of systemd, server-starter and einhorn");
        expect_refusal("[socket a]\nlisten = 80\nlisten = 81\n", 3,
                "listen is given a second time; the first is in line 2");
}

static void test_a_socket_needs_an_address_of_its_own(void **state) {
        (void)state;
        expect_refusal("[socket a]\nbacklog = 5\n", 1, "[socket a] has no 'listen'");
        expect_refusal("[socket a]\nlisten = 127.0.0.1:80\n[socket b]\nlisten = tcp:127.0.0.1:080\n", 4,
                "socket 'b' listens on 127.0.0.1:80, as socket 'a' does");
        expect_refusal("[socket a]\nlisten = 0.0.0.0:80\n[socket b]\nlisten = 80\n", 4,
                "socket 'b' listens on *:80, as socket 'a' does");
        expect_refusal("[socket a]\nlisten = 80\n[socket b]\nlisten = [::]:80\n", 4,
                "socket 'b' listens on [::]:80, as socket 'a' does");
}

static void test_the_same_port_may_serve_other_families_and_types(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(read_text(&config,
                                 "[socket a]\nlisten = 0.0.0.0:53\n[socket b]\nlisten = [::]:53\n"
                                 "[socket c]\nlisten = udp:53\n[socket d]\nlisten = 127.0.0.1:53\n",
                                 &error),
                0);
        assert_int_equal(config_check(&config, false, &error), 0);
}

static void test_keys_of_files_and_of_ipv6_need_such_an_address(void **state) {
        (void)state;
        expect_refusal("[socket a]\nlisten = 80\nmode = 0600\n", 3,
                "mode has no meaning for '*:80': only the path of a unix socket is a file");
        expect_refusal("[socket a]\nuser = root\nlisten = @name\n", 2,
                "user has no meaning for '@name': only the path of a unix socket is a file");
        expect_refusal("[socket a]\nlisten = 80\n[socket b]\ngroup = root\nlisten = udp:81\n", 4,
                "group has no meaning for 'udp:*:81': only the path of a unix socket is a file");
        expect_refusal("[socket a]\nlisten = 0.0.0.0:80\nipv6_only = yes\n", 3,
                "ipv6_only has no meaning for '0.0.0.0:80': it is no IPv6 address");
        expect_refusal("[socket a]\nlisten = 80\nipv6_only = yes\n", 3,
                "ipv6_only has no meaning for '*:80': a port alone takes both families; write [::]:PORT for "
                "IPv6");
}

static void test_only_one_address_may_be_missing(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        expect_refusal("[socket a]\nlisten = 80\nfree_bind = yes\n", 3,
                "free_bind has no meaning for '*:80': it is every address, now and later");
        expect_refusal("[socket a]\nlisten = 0.0.0.0:80\nfree_bind = yes\n", 3,
                "free_bind has no meaning for '0.0.0.0:80': it is every address, now and later");
        expect_refusal("[socket a]\nlisten = /a\nfree_bind = yes\n", 3,
                "free_bind has no meaning for '/a': it is no address of an interface");
        assert_int_equal(read_text(&config,
                                 "[socket a]\nlisten = 192.0.2.1:53\nfree_bind = yes\n"
                                 "[socket b]\nlisten = udp:[2001:db8::1]:53\nfree_bind = yes\n",
                                 &error),
                0);
        assert_int_equal(config_check(&config, false, &error), 0);
        assert_true(config.sockets[0].free_bind && config.sockets[1].free_bind);
}

static void test_a_name_is_one_that_fits_into_listen_fdnames(void **state) {
        char file[400], name[257];
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        memset(name, 'n', sizeof name - 1);
        name[256] = '\0';
        snprintf(file, sizeof file, "[socket %s]\nlisten = 80\n", name);
        expect_refusal(file, 1, "the name in [socket NAME] is longer than 255 bytes");
        expect_refusal("[socket a:b]\n", 1,
                "the name in [socket NAME] may hold visible ASCII characters without ':' only");
        expect_refusal("[socket a b]\n", 1,
                "the name in [socket NAME] may hold visible ASCII characters without ':' only");
        expect_refusal("[socket \xc3\xa4]\n", 1,
                "the name in [socket NAME] may hold visible ASCII characters without ':' only");
        expect_refusal("[socket]\n", 1, "[socket] needs a name");
        name[255] = '\0';
        snprintf(file, sizeof file, "[socket %s]\nlisten = 80\n", name);
        assert_int_equal(read_text(&config, file, &error), 0);
        assert_string_equal(config.sockets[0].name, name);
}

static void test_a_second_section_with_the_name_is_refused(void **state) {
        char text[200];

        (void)state;
        snprintf(text, sizeof text, "[socket a] stands a second time; the first is %s:1", path);
        expect_refusal("[socket a]\nlisten = 80\n[socket a]\nlisten = 81\n", 3, text);
}

static void test_listen_options_have_a_name_or_get_one(void **state) {
        static const struct {
                const char *text, *name, *address;
        } options[] = {
                {"8080", "listen", "*:8080"},
                {"http=127.0.0.1:80", "http", "127.0.0.1:80"},
                {"[::1]:81", "listen-2", "[::1]:81"},
                {"/run/a=b.sock", "listen-3", "/run/a=b.sock"},
                {"@c=d", "listen-4", "@c=d"},
                {"unix:/run/e=f", "listen-5", "/run/e=f"},
                {"log=unix-dgram:/run/g=h", "log", "unix-dgram:/run/g=h"},
        };
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
                assert_int_equal(config_add_socket(&config, options[i].text, &error), 0);
                assert_string_equal(config.sockets[i].name, options[i].name);
                assert_string_equal(address_of(&config, i), options[i].address);
                assert_int_equal(config.sockets[i].backlog, 4096);
        }
        assert_int_equal(config_check(&config, false, &error), 0);
}

static void test_a_listen_option_wins_over_the_file_and_never_over_another_option(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        assert_int_equal(read_text(&config, "[socket http]\nlisten = 80\nbacklog = 7\n", &error), 0);
        assert_int_equal(config_add_socket(&config, "http=81", &error), 0);
        assert_int_equal(config.socket_count, 1);
        assert_string_equal(address_of(&config, 0), "*:81");
        assert_int_equal(config.sockets[0].backlog, 7);
        assert_int_equal(config_add_socket(&config, "http=82", &error), -1);
        assert_string_equal(error.text, "--listen: the name 'http' is given a second time");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        assert_string_equal(address_of(&config, 0), "*:81");
}

static void test_a_wrong_listen_option_is_a_usage_error(void **state) {
        static const struct {
                const char *text, *why;
        } bad[] = {
                {"", "--listen: the argument is empty"},
                {"http", "--listen: listen: 'http' is no address to listen on: there is no port"},
                {"http=", "--listen: listen: '' is no address to listen on: it is empty"},
                {"=80", "--listen: listen: '=80' is no address to listen on: there is no port"},
        };
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(config_add_socket(&config, bad[i].text, &error), -1);
                assert_string_equal(error.text, bad[i].why);
                assert_int_equal(error.status, EXIT_STATUS_USAGE);
        }
}

static void test_two_options_with_one_address_are_refused(void **state) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        (void)state;
        config_init(&config);
        assert_int_equal(config_add_socket(&config, "80", &error), 0);
        assert_int_equal(config_add_socket(&config, "b=*:80", &error), 0);
        assert_int_equal(config_check(&config, false, &error), -1);
        assert_string_equal(error.text, "--listen: socket 'b' listens on *:80, as socket 'listen' does");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

static int make_path(void **state) {
        int fd = mkstemp(path);

        (void)state;
        return fd < 0 || close(fd) < 0 ? -1 : 0;
}

static int remove_path(void **state) {
        (void)state;
        return unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_socket_has_its_keys_and_its_defaults),
                cmocka_unit_test(test_the_default_protocol_is_that_of_systemd),
                cmocka_unit_test(test_wrong_values_name_line_and_reason),
                cmocka_unit_test(test_a_socket_needs_an_address_of_its_own),
                cmocka_unit_test(test_the_same_port_may_serve_other_families_and_types),
                cmocka_unit_test(test_keys_of_files_and_of_ipv6_need_such_an_address),
                cmocka_unit_test(test_only_one_address_may_be_missing),
                cmocka_unit_test(test_a_name_is_one_that_fits_into_listen_fdnames),
                cmocka_unit_test(test_a_second_section_with_the_name_is_refused),
                cmocka_unit_test(test_listen_options_have_a_name_or_get_one),
                cmocka_unit_test(test_a_listen_option_wins_over_the_file_and_never_over_another_option),
                cmocka_unit_test(test_a_wrong_listen_option_is_a_usage_error),
                cmocka_unit_test(test_two_options_with_one_address_are_refused),
        };

        return cmocka_run_group_tests_name("sockets of the configuration", tests, make_path, remove_path);
}
