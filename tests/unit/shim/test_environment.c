/* Building the app's environment out of inherited strings, settings and sealed secrets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shim/environment.h"

/* A writable string: lists of environment strings and arguments are not const in C's own interfaces. */
#define WORD(text) ((char[]){text})

static char *const inherited[] = {WORD("PATH=/bin"), WORD("HOME=/root"), WORD("LC_ALL=C"), WORD("LC_TIME=C"),
        WORD("PASSWORD=old"), NULL};
static char secret_strings[] = "API_KEY=0123456789abcdef\0PASSWORD=new-and-longer\0PIN=1234567\0";
static const struct bundle_view secrets = {
        .strings = secret_strings, .count = 3, .bytes = sizeof secret_strings - 1};

static const char *value_of(const struct environment *environment, const char *name) {
        const char *string = environment_find(environment->strings, name, strlen(name));

        return string ? string + strlen(name) + 1 : NULL;
}

static void test_secrets_come_after_what_is_inherited(void **state) {
        struct environment_spec spec = {.inherited = inherited};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, &secrets, &environment, NULL), 0);
        assert_int_equal(environment.count, 7);
        assert_null(environment.strings[7]);
        assert_string_equal(value_of(&environment, "API_KEY"), "0123456789abcdef");
        assert_string_equal(value_of(&environment, "HOME"), "/root");
        environment_deinit(&environment);
}

static void test_the_persons_variables_take_the_place_of_the_callers(void **state) {
        char *caller[] = {WORD("USER=root"), WORD("HOME=/root"), WORD("A=1"), WORD("LOGNAME=root"),
                WORD("HOME=/twice"), NULL};
        char *person[] = {WORD("HOME=/"), WORD("USER"), WORD("LOGNAME"), WORD("SHELL=/bin/sh"), NULL};
        char *settings[] = {WORD("SHELL=/bin/false"), NULL};
        struct environment_spec spec = {.inherited = caller, .person = person, .settings = settings};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 3);
        assert_string_equal(value_of(&environment, "HOME"), "/");
        assert_string_equal(value_of(&environment, "A"), "1");
        assert_string_equal(value_of(&environment, "SHELL"), "/bin/false");
        environment_deinit(&environment);
}

static void test_a_value_is_pointed_at_and_never_copied(void **state) {
        struct environment_spec spec = {.inherited = inherited};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, &secrets, &environment, NULL), 0);
        assert_ptr_equal(environment_find(environment.strings, "API_KEY", 7), secret_strings);
        environment_deinit(&environment);
}

static void test_each_conflict_policy_does_what_it_says(void **state) {
        struct environment_spec spec = {.inherited = inherited};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, &secrets, &environment, NULL), 0);
        assert_int_equal(environment.conflict_count, 1);
        assert_string_equal(value_of(&environment, "PASSWORD"), "new-and-longer");
        environment_deinit(&environment);

        spec.on_conflict = ENVIRONMENT_KEEP;
        assert_int_equal(environment_build(&spec, &secrets, &environment, NULL), 0);
        assert_int_equal(environment.conflict_count, 1);
        assert_string_equal(value_of(&environment, "PASSWORD"), "old");
        environment_deinit(&environment);
}

static void test_a_cleared_environment_lets_patterns_through(void **state) {
        char *const patterns[] = {WORD("PATH"), WORD("LC_*"), NULL}, *const none[] = {NULL},
                    *const prefix_of_name[] = {WORD("PAT"), NULL};
        struct environment_spec spec = {.inherited = inherited, .pass_patterns = patterns};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 3);
        assert_null(value_of(&environment, "HOME"));
        environment_deinit(&environment);

        spec.pass_patterns = none;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 0);
        environment_deinit(&environment);

        spec.pass_patterns = prefix_of_name;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 0);
        environment_deinit(&environment);
}

static void test_a_setting_replaces_an_inherited_variable(void **state) {
        char *const settings[] = {WORD("HOME=/srv"), WORD("MODE=a"), WORD("MODE=b"), NULL};
        struct environment_spec spec = {.inherited = inherited, .settings = settings};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 6);
        assert_string_equal(value_of(&environment, "HOME"), "/srv");
        assert_string_equal(value_of(&environment, "MODE"), "b");
        environment_deinit(&environment);
}

static void test_a_name_that_stands_twice_is_replaced_everywhere(void **state) {
        char *const twice[] = {WORD("PASSWORD=old"), WORD("HOME=/root"), WORD("PASSWORD=older"), WORD("A=1"),
                WORD("HOME=/tmp"), NULL};
        char *const settings[] = {WORD("HOME=/srv"), NULL};
        struct environment_spec spec = {.inherited = twice, .settings = settings};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, &secrets, &environment, NULL), 0);
        assert_int_equal(environment.count, 5);
        assert_null(environment.strings[5]);
        assert_string_equal(environment.strings[0], "PASSWORD=new-and-longer");
        assert_string_equal(environment.strings[1], "HOME=/srv");
        assert_string_equal(environment.strings[2], "A=1");
        environment_deinit(&environment);
}

static void test_a_value_of_eight_bytes_is_found_in_an_argument(void **state) {
        char *const with[] = {WORD("app"), WORD("--url=x0123456789abcdefx"), NULL}, *const without[] = {
                                                                                            WORD("app"),
                                                                                            WORD("1234567"),
                                                                                            NULL};
        size_t index = 0;

        (void)state;
        assert_ptr_equal(environment_find_in_arguments(&secrets, with, &index), secret_strings);
        assert_int_equal(index, 1);
        assert_null(environment_find_in_arguments(&secrets, without, &index));
}

static void test_a_string_over_the_kernels_limit_is_named(void **state) {
        static char large[131074];
        char *const long_list[] = {large, NULL};
        struct environment_spec spec = {.inherited = long_list};
        struct environment environment;

        (void)state;
        memset(large, 'x', sizeof large - 1);
        memcpy(large, "BIG=", 4);
        large[131071] = '\0';
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_null(environment_longest_refused(&environment));
        large[131071] = 'x';
        large[131072] = '\0';
        assert_ptr_equal(environment_longest_refused(&environment), large);
        environment_deinit(&environment);
}

static void test_what_is_removed_never_passes_but_a_setting_of_that_name_does(void **state) {
        char *const removed[] = {WORD("HOME"), WORD("LC_*"), NULL};
        char *const patterns[] = {WORD("HOME"), WORD("PATH"), NULL};
        char *const settings[] = {WORD("LC_ALL=de"), NULL};
        struct environment_spec spec = {.inherited = inherited, .removed = removed, .settings = settings};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_int_equal(environment.count, 3);
        assert_null(value_of(&environment, "HOME"));
        assert_string_equal(value_of(&environment, "LC_ALL"), "de");
        environment_deinit(&environment);
        spec.pass_patterns = patterns;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        assert_null(value_of(&environment, "HOME"));
        environment_deinit(&environment);
}

static void test_a_string_is_put_in_the_place_of_all_of_its_name_or_behind(void **state) {
        char *const twice[] = {WORD("A=1"), WORD("B=2"), WORD("A=3"), NULL};
        struct environment_spec spec = {.inherited = twice, .spare = 1};
        struct environment environment;

        (void)state;
        assert_int_equal(environment_build(&spec, NULL, &environment, NULL), 0);
        environment_put(&environment, WORD("A=4"));
        environment_put(&environment, WORD("C=5"));
        assert_int_equal(environment.count, 3);
        assert_string_equal(value_of(&environment, "A"), "4");
        assert_string_equal(value_of(&environment, "C"), "5");
        environment_remove(&environment, "A");
        environment_remove(&environment, "D");
        assert_int_equal(environment.count, 2);
        assert_null(environment.strings[2]);
        assert_null(value_of(&environment, "A"));
        environment_deinit(&environment);
}

/* The usual room serves one environment; the second, and one that is larger, are on the heap. */
static void test_environments_beside_each_other_and_large_ones_are_whole(void **state) {
        static char texts[600][16];
        static char *many[601];
        struct environment_spec spec = {.inherited = inherited}, large = {.inherited = many};
        struct environment first, second, third;

        (void)state;
        for (size_t i = 0; i < 600; i++) {
                snprintf(texts[i], sizeof texts[i], "NAME_%zu=%zu", i, i);
                many[i] = texts[i];
        }
        assert_int_equal(environment_build(&spec, &secrets, &first, NULL), 0);
        assert_int_equal(environment_build(&spec, NULL, &second, NULL), 0);
        assert_int_equal(environment_build(&large, &secrets, &third, NULL), 0);
        assert_string_equal(value_of(&first, "PASSWORD"), "new-and-longer");
        assert_string_equal(value_of(&second, "PASSWORD"), "old");
        assert_int_equal(third.count, 603);
        assert_string_equal(value_of(&third, "NAME_599"), "599");
        assert_string_equal(value_of(&third, "PIN"), "1234567");
        environment_deinit(&first);
        environment_deinit(&third);
        assert_int_equal(environment_build(&spec, &secrets, &first, NULL), 0);
        assert_string_equal(value_of(&second, "PASSWORD"), "old");
        assert_string_equal(value_of(&first, "API_KEY"), "0123456789abcdef");
        environment_deinit(&second);
        environment_deinit(&first);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_secrets_come_after_what_is_inherited),
                cmocka_unit_test(test_the_persons_variables_take_the_place_of_the_callers),
                cmocka_unit_test(test_a_value_is_pointed_at_and_never_copied),
                cmocka_unit_test(test_each_conflict_policy_does_what_it_says),
                cmocka_unit_test(test_a_cleared_environment_lets_patterns_through),
                cmocka_unit_test(test_a_setting_replaces_an_inherited_variable),
                cmocka_unit_test(test_a_name_that_stands_twice_is_replaced_everywhere),
                cmocka_unit_test(test_a_value_of_eight_bytes_is_found_in_an_argument),
                cmocka_unit_test(test_a_string_over_the_kernels_limit_is_named),
                cmocka_unit_test(test_what_is_removed_never_passes_but_a_setting_of_that_name_does),
                cmocka_unit_test(test_a_string_is_put_in_the_place_of_all_of_its_name_or_behind),
                cmocka_unit_test(test_environments_beside_each_other_and_large_ones_are_whole),
        };

        return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
