/* UTF-8: every boundary of RFC 3629, section 4, from both sides. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/utf8.h"

static size_t length_of(const char *text) {
        return utf8_character_bytes((const uint8_t *)text, strlen(text));
}

static void test_the_first_and_last_character_of_each_length(void **state) {
        static const struct {
                const char *text;
                size_t length;
        } rows[] = {{"\x01", 1}, {"\x7f", 1}, {"\xc2\x80", 2}, {"\xdf\xbf", 2}, {"\xe0\xa0\x80", 3},
                {"\xed\x9f\xbf", 3}, {"\xee\x80\x80", 3}, {"\xef\xbf\xbf", 3}, {"\xf0\x90\x80\x80", 4},
                {"\xf4\x8f\xbf\xbf", 4}};

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                assert_int_equal(length_of(rows[i].text), rows[i].length);
        assert_int_equal(utf8_character_bytes((const uint8_t *)"", 1), 1); /* NUL is a character */
        assert_int_equal(utf8_character_bytes((const uint8_t *)"", 0), 0);
}

static void test_what_lies_beside_them_is_none(void **state) {
        static const char *const rows[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
                "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                "\xff", "\xc3(", "\xe2\x82(", "\xe2(\xac", "\xf0\x9f\x98(", "\xe0\xa0\xc0",
                "\xf0\x90\x80\xc0"};

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                assert_int_equal(length_of(rows[i]), 0);
}

static void test_a_character_that_is_cut_off_is_none(void **state) {
        static const uint8_t smile[] = "\xf0\x9f\x98\x80";

        (void)state;
        for (size_t left = 0; left < 4; left++)
                assert_int_equal(utf8_character_bytes(smile, left), 0);
        assert_int_equal(utf8_character_bytes(smile, 4), 4);
}

static void test_a_text_is_valid_up_to_its_first_bad_byte(void **state) {
        static const uint8_t text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xff z";

        (void)state;
        assert_int_equal(utf8_valid_bytes(text, 0), 0);
        assert_int_equal(utf8_valid_bytes(text, 10), 10);
        assert_int_equal(utf8_valid_bytes(text, 9), 6); /* before the one that is cut off */
        assert_int_equal(utf8_valid_bytes(text, sizeof text - 1), 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_and_last_character_of_each_length),
                cmocka_unit_test(test_what_lies_beside_them_is_none),
                cmocka_unit_test(test_a_character_that_is_cut_off_is_none),
                cmocka_unit_test(test_a_text_is_valid_up_to_its_first_bad_byte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
