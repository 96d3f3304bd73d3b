/* The numbers of a start in its words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/expand.h"

static const struct launch_expansion numbers = {.arguments = 1, .generation = UINT64_MAX, .replica = 31};

static void expect_text(const char *text, const char *expanded) {
        char *out = expand_text(text, &numbers);

        assert_string_equal(out, expanded);
        free(out);
}

static void test_a_text_gets_its_numbers(void **state) {
        (void)state;
        expect_text("", "");
        expect_text("plain", "plain");
        expect_text("/run/g-%g.pid", "/run/g-18446744073709551615.pid");
        expect_text("%r", "31");
        expect_text("%g%r%g", "184467440737095516153118446744073709551615");
        expect_text("100%%", "100%");
        expect_text("%%g", "%g");
        expect_text("%%%g", "%18446744073709551615");
        /* Refused before, and harmless all the same. */
        expect_text("%x", "%x");
        expect_text("%", "%");
}

static void test_of_a_list_only_the_first_are_expanded(void **state) {
        char *list[] = {(char[]){"a%r"}, (char[]){"b%r"}, (char[]){"c%r"}, NULL};
        char **out = expand_list(list, 2, &numbers);

        (void)state;
        assert_string_equal(out[0], "a31");
        assert_string_equal(out[1], "b31");
        assert_ptr_equal(out[2], list[2]);
        assert_null(out[3]);
        free(out[0]);
        free(out[1]);
        free(out);
}

static void test_nothing_is_wanted_by_default(void **state) {
        (void)state;
        assert_false(expansion_is_wanted(&(struct launch_expansion){.generation = 1}));
        assert_true(expansion_is_wanted(&(struct launch_expansion){.settings = 1}));
        assert_true(expansion_is_wanted(&(struct launch_expansion){.has_directory = true}));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_text_gets_its_numbers),
                cmocka_unit_test(test_of_a_list_only_the_first_are_expanded),
                cmocka_unit_test(test_nothing_is_wanted_by_default),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
