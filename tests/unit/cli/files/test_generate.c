/* Made-up values: their forms, their lengths, and that a wrong form is not repeated in the message. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "cli/files/generate.h"

static struct arena arena;
static struct error error;

static int arena_make(void **state) {
        (void)state;
        error = (struct error){0};
        return sodium_init() < 0 ? -1 : arena_init(&arena, (size_t)1024 * 1024, &error);
}

static int arena_end(void **state) {
        (void)state;
        arena_deinit(&arena);
        return 0;
}

/* Make a value that must have `length` characters, all of them of `letters`. */
static struct secret_bytes value_make(const char *form, size_t length, const char *letters) {
        struct secret_bytes value = {0};

        assert_int_equal(value_generate(form, &arena, &value, &error), 0);
        assert_int_equal(value.length, length);
        for (size_t i = 0; i < length; i++)
                assert_non_null(memchr(letters, value.at[i], strlen(letters)));
        return value;
}

#define DIGITS "0123456789"
#define ALNUM  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS

static void every_form_has_its_length_and_letters(void **state) {
        (void)state;
        value_make("hex:1", 2, DIGITS "abcdef");
        value_make("hex:32", 64, DIGITS "abcdef");
        value_make("alnum:1", 1, ALNUM);
        value_make("alnum:4096", 4096, ALNUM);
        value_make("base64url:1", 2, ALNUM "-_");
        value_make("base64url:32", 43, ALNUM "-_");
        value_make("base64url:4096", 5462, ALNUM "-_");
}

static void two_values_differ(void **state) {
        struct secret_bytes one = value_make("hex:16", 32, DIGITS "abcdef"),
                            other = value_make("hex:16", 32, DIGITS "abcdef");

        (void)state;
        assert_memory_not_equal(one.at, other.at, one.length);
}

static void what_is_no_form_is_refused_and_not_repeated(void **state) {
        static const char *const wrong[] = {"", "hunter2", "hex", "hex:", "hex:0", "hex:4097", "hex:-1",
                "hex:1x", "hex: 1", "HEX:1", "alnum:99999999999999999999"};

        (void)state;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                struct secret_bytes value = {0};

                error = (struct error){0};
                assert_int_equal(value_generate(wrong[i], &arena, &value, &error), -1);
                assert_int_equal(error.status, EXIT_STATUS_USAGE);
                assert_null(strstr(error.text, "hunter2"));
                assert_null(strstr(error.hint, "hunter2"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_form_has_its_length_and_letters, arena_make, arena_end),
                cmocka_unit_test_setup_teardown(two_values_differ, arena_make, arena_end),
                cmocka_unit_test_setup_teardown(
                        what_is_no_form_is_refused_and_not_repeated, arena_make, arena_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
