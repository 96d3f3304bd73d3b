/* Words of a command: systemd's quotes and escapes, nothing of a shell. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/words.h"

static void expect_words(const char *text, const char *const *expected) {
        struct config_words words = {0};
        struct error error;
        size_t count = 0;

        assert_int_equal(words_split(&words, text, &error), 0);
        for (; expected[count]; count++) {
                assert_true(count < words.count);
                assert_string_equal(words.at[count], expected[count]);
        }
        assert_int_equal(words.count, count);
        if (words.at)
                assert_null(words.at[count]);
        words_deinit(&words);
}
#define EXPECT_WORDS(text, ...) expect_words(text, (const char *const[]){__VA_ARGS__, NULL})

static void expect_refusal(const char *text, const char *message) {
        struct config_words words = {0};
        struct error error;

        assert_int_equal(words_add(&words, "kept", &error), 0);
        assert_int_equal(words_split(&words, text, &error), -1);
        assert_string_equal(error.text, message);
        assert_int_equal(words.count, 1);
        assert_string_equal(words.at[0], "kept");
        assert_null(words.at[1]);
        words_deinit(&words);
}

static void test_blanks_separate(void **state) {
        (void)state;
        EXPECT_WORDS("a", "a");
        EXPECT_WORDS("  a \t b  ", "a", "b");
        expect_words("", (const char *const[]){NULL});
        expect_words(" \t ", (const char *const[]){NULL});
}

static void test_quotes_hold_blanks_and_may_stand_anywhere(void **state) {
        (void)state;
        EXPECT_WORDS("'a b' \"c d\"", "a b", "c d");
        EXPECT_WORDS("--name='a b'x", "--name=a bx");
        EXPECT_WORDS("'' \"\"", "", "");
        EXPECT_WORDS("\"it's\" 'say \"x\"'", "it's", "say \"x\"");
        EXPECT_WORDS("a''b", "ab");
}

static void test_escapes_are_those_of_systemd(void **state) {
        (void)state;
        EXPECT_WORDS("\\a\\b\\f\\n\\r\\s\\t\\v\\\\\\\"\\'", "\a\b\f\n\r \t\v\\\"'");
        EXPECT_WORDS("a\\sb 'c\\x41' \"\\101\\x7e\"", "a b", "cA", "A~");
        EXPECT_WORDS("\\xc3\\xA9\\377", "\xc3\xa9\xff");
}

static void test_a_shell_is_nowhere(void **state) {
        (void)state;
        EXPECT_WORDS("$HOME ${X} %i ; a && b | c > d * ~ # e `f`", "$HOME", "${X}", "%i", ";", "a", "&&", "b",
                "|", "c", ">", "d", "*", "~", "#", "e", "`f`");
}

static void test_what_means_nothing_is_refused_with_its_column(void **state) {
        (void)state;
        expect_refusal("ab 'cd", "an opened quote that is never closed, opened at character 4 of the value");
        expect_refusal("a\\", "a backslash with nothing behind it at character 2 of the value");
        expect_refusal("a b \\q", "an escape that means nothing at character 5 of the value");
        expect_refusal("\\x4", "an escape that means nothing at character 1 of the value");
        expect_refusal("\\xg0", "an escape that means nothing at character 1 of the value");
        expect_refusal("\\18", "an escape that means nothing at character 1 of the value");
        expect_refusal("\\1", "an escape that means nothing at character 1 of the value");
        expect_refusal("\\x00", "an escape that no argument can hold at character 1 of the value");
        expect_refusal("\\000", "an escape that no argument can hold at character 1 of the value");
        expect_refusal("\\777", "an escape that no argument can hold at character 1 of the value");
}

static void test_a_list_grows_to_its_limit_and_not_beyond(void **state) {
        struct config_words words = {0};
        struct error error;

        (void)state;
        for (int i = 0; i < CONFIG_WORDS_MAX; i++)
                assert_int_equal(words_add(&words, "w", &error), 0);
        assert_int_equal(words_add(&words, "w", &error), -1);
        assert_string_equal(error.text, "more than 4096 words");
        assert_int_equal(words_split(&words, "more", &error), -1);
        words_truncate(&words, 3);
        assert_int_equal(words_split(&words, "a b c d e f g h", &error), 0);
        assert_int_equal(words.count, 11);
        assert_string_equal(words.at[10], "h");
        words_deinit(&words);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blanks_separate),
                cmocka_unit_test(test_quotes_hold_blanks_and_may_stand_anywhere),
                cmocka_unit_test(test_escapes_are_those_of_systemd),
                cmocka_unit_test(test_a_shell_is_nowhere),
                cmocka_unit_test(test_what_means_nothing_is_refused_with_its_column),
                cmocka_unit_test(test_a_list_grows_to_its_limit_and_not_beyond),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
