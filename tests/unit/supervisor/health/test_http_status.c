/* The status line of an answer. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/health/http_status.h"

static int read_text(const char *text) {
        return http_status_read(text, strlen(text));
}

static void test_the_status_is_read(void **state) {
        (void)state;
        assert_int_equal(read_text("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 x"), 200);
        assert_int_equal(read_text("HTTP/1.0 503 Service Unavailable\r\n"), 503);
        assert_int_equal(read_text("HTTP/1.1 204\r\n"), 204);
        assert_int_equal(read_text("HTTP/1.1 404\n"), 404);
        assert_int_equal(read_text("HTTP/1.1 599 "), 599);
        assert_int_equal(read_text("HTTP/1.1 101 Switching Protocols\r\n"), 101);
}

static void test_a_part_asks_for_more(void **state) {
        static const char line[] = "HTTP/1.1 200 ";

        (void)state;
        for (size_t i = 0; i < sizeof line - 1; i++)
                assert_int_equal(http_status_read(line, i), HTTP_STATUS_MORE);
        assert_int_equal(http_status_read(line, sizeof line - 1), 200);
}

static void test_answers_before_the_final_one_are_passed_over(void **state) {
        (void)state;
        assert_int_equal(
                read_text("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 \n\nHTTP/1.1 302 F\r\n"),
                302);
        assert_int_equal(read_text("HTTP/1.1 103 Early Hints\r\nLink: x\r\n"), HTTP_STATUS_MORE);
        assert_int_equal(read_text("HTTP/1.1 103 Early Hints\r\n\r\n"), HTTP_STATUS_MORE);
        assert_int_equal(read_text("HTTP/1.1 103 Early Hints\r\n\r\nnothing"), HTTP_STATUS_WRONG);
}

static void test_what_is_no_http_is_told(void **state) {
        static const char *const texts[] = {"SSH-2.0-OpenSSH\r\n", "HTTP/2 200 OK\r\n", "HTTP/1.1 20 \r\n",
                "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 600 x\r\n", "HTTP/1.1 099 x\r\n",
                "http/1.1 200 OK", "HTTP/1.x 200 ", "\n", "HTTP/1.1\n", "HTTP/1.1 20x OK\r\n",
                "HTTP/1.1 200x", "\x15\x03\x01"};

        (void)state;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert_int_equal(read_text(texts[i]), HTTP_STATUS_WRONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_status_is_read),
                cmocka_unit_test(test_a_part_asks_for_more),
                cmocka_unit_test(test_answers_before_the_final_one_are_passed_over),
                cmocka_unit_test(test_what_is_no_http_is_told),
        };

        return cmocka_run_group_tests_name("http_status", tests, NULL, NULL);
}
