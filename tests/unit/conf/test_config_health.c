/* The values of [health]: what can be asked, and which statuses are good. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/health.h"

static struct config_probe probe;
static struct error error;

static void parse(const char *text) {
        config_probe_deinit(&probe);
        error = (struct error){0};
        assert_int_equal(config_probe_parse(text, &probe, &error), 0);
}

static void refuse(const char *text, const char *message) {
        struct config_probe refused;

        assert_int_equal(config_probe_parse(text, &refused, &error), -1);
        assert_string_equal(error.text, message);
        assert_null(refused.command.at);
}

static void test_http_probes_are_read(void **state) {
        (void)state;
        parse("http:/");
        assert_int_equal(probe.kind, CONFIG_PROBE_HTTP);
        assert_string_equal(probe.path, "/");
        assert_string_equal(probe.name, "");
        assert_false(probe.has_address);
        parse("http:/health?a=b&c");
        assert_string_equal(probe.path, "/health?a=b&c");
        parse("http://web/health");
        assert_string_equal(probe.name, "web");
        assert_string_equal(probe.path, "/health");
        parse("http://web");
        assert_string_equal(probe.path, "/");
        parse("http://127.0.0.1:8080/x");
        assert_true(probe.has_address && probe.name[0] == '\0');
        assert_string_equal(probe.authority, "127.0.0.1:8080");
        assert_int_equal(socket_address_port(&probe.address), 8080);
        parse("http://[::1]:8080/");
        assert_true(probe.has_address);
}

static void test_tcp_and_exec_probes_are_read(void **state) {
        (void)state;
        parse("tcp:");
        assert_int_equal(probe.kind, CONFIG_PROBE_TCP);
        assert_string_equal(probe.name, "");
        parse("tcp:web-1");
        assert_string_equal(probe.name, "web-1");
        parse("tcp:[::1]:80");
        assert_true(probe.has_address);
        parse("exec:/bin/check 'two words' three");
        assert_int_equal(probe.kind, CONFIG_PROBE_EXEC);
        assert_int_equal(probe.command.count, 3);
        assert_string_equal(probe.command.at[1], "two words");
        assert_null(probe.command.at[3]);
        config_probe_deinit(&probe);
}

static void test_other_probes_are_refused_with_the_reason(void **state) {
        char text[CONFIG_PROBE_PATH_BYTES_MAX + 16] = "http:/";

        (void)state;
        refuse("", "this is no probe: it begins with none of tcp:, http: and exec:");
        refuse("https://web/", "this is no probe: it begins with none of tcp:, http: and exec:");
        refuse("http:healthz", "the path of an http probe begins with a slash");
        refuse("http:///", "http:// is followed by no name");
        refuse("http:/a b", "character 3 of the path cannot stand in a request");
        refuse("http:/a\r\nX: y", "character 3 of the path cannot stand in a request");
        refuse("http:/#part", "character 2 of the path cannot stand in a request");
        refuse("exec: ", "exec: is followed by no command");
        assert_int_equal(config_probe_parse("http://localhost:80/", &probe, &error), -1);
        assert_int_equal(config_probe_parse("tcp:udp:1.2.3.4:53", &probe, &error), -1);
        assert_int_equal(config_probe_parse("exec:'open", &probe, &error), -1);
        memset(text + 6, 'x', sizeof text - 7);
        refuse(text, "the path is longer than 1024 bytes");
}

static void test_statuses_are_read(void **state) {
        struct config_status_range ranges[CONFIG_STATUS_RANGES_MAX];

        (void)state;
        assert_int_equal(config_status_parse(NULL, ranges, &error), 1);
        assert_true(ranges[0].first == 200 && ranges[0].last == 399);
        assert_int_equal(config_status_parse(" 200-299, 401 503,", ranges, &error), 3);
        assert_true(ranges[1].first == 401 && ranges[1].last == 401 && ranges[2].first == 503);
}

static void test_other_statuses_are_refused(void **state) {
        static const char *const wrong[] = {
                "2xx", "99", "600", "300-200", "200-", "-200", "200--300", "200-600", "200.5", "0x100"};
        struct config_status_range ranges[CONFIG_STATUS_RANGES_MAX];

        (void)state;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                assert_int_equal(config_status_parse(wrong[i], ranges, &error), -1);
                assert_non_null(strstr(error.text, "is no status or range of statuses"));
        }
        assert_int_equal(config_status_parse(" , ", ranges, &error), -1);
        assert_int_equal(
                config_status_parse("200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200",
                        ranges, &error),
                -1);
        assert_string_equal(error.text, "more than 16 ranges of statuses");
}

static int free_probe(void **state) {
        (void)state;
        config_probe_deinit(&probe);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_http_probes_are_read),
                cmocka_unit_test(test_tcp_and_exec_probes_are_read),
                cmocka_unit_test(test_other_probes_are_refused_with_the_reason),
                cmocka_unit_test(test_statuses_are_read),
                cmocka_unit_test(test_other_statuses_are_refused),
        };

        return cmocka_run_group_tests_name("config_health", tests, NULL, free_probe);
}
