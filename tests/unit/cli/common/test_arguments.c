/* Values on a command line: what is taken for one, and that nothing of it stays there or in a message. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cli/common/secret_verb.h"

static void an_assignment_begins_with_a_variables_name(void **state) {
        static const char *const is[] = {"A=", "PASSWORD=x", "_a1=b=c", "a=/path"};
        static const char *const is_not[] = {
                "", "=", "=x", "1A=x", "name", "./A=x", "a-b=x", "secrets.env=x", "A "};

        (void)state;
        for (size_t i = 0; i < sizeof is / sizeof *is; i++)
                assert_true(argument_is_assignment(is[i]));
        for (size_t i = 0; i < sizeof is_not / sizeof *is_not; i++)
                assert_false(argument_is_assignment(is_not[i]));
}

static void a_refused_assignment_keeps_its_name_alone(void **state) {
        char argument[] = "PASSWORD=hunter2";
        struct error error = {0};

        (void)state;
        assert_int_equal(argument_refuse_assignment(argument, &error), -1);
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        assert_memory_equal(argument, "PASSWORD\0\0\0\0\0\0\0\0", sizeof argument);
        assert_non_null(strstr(error.hint, "PASSWORD"));
        assert_null(strstr(error.text, "hunter2"));
        assert_null(strstr(error.hint, "hunter2"));
}

static void every_argument_but_the_verb_is_wiped(void **state) {
        char verb[] = "set", file[] = "file", value[] = "hunter2";
        char *argv[] = {verb, file, value, NULL};

        (void)state;
        arguments_wipe(argv);
        assert_string_equal(verb, "set");
        assert_memory_equal(file, "\0\0\0\0", sizeof file);
        assert_memory_equal(value, "\0\0\0\0\0\0\0", sizeof value);
}

static void wiping_keeps_within_the_argument(void **state) {
        char text[] = "short\0next";

        (void)state;
        argument_wipe(text, 100);
        assert_memory_equal(text, "short\0next", sizeof text);
        argument_wipe(text, 2);
        assert_memory_equal(text, "sh\0\0\0\0next", sizeof text);
        arguments_wipe((char *[]){NULL});
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_assignment_begins_with_a_variables_name),
                cmocka_unit_test(a_refused_assignment_keeps_its_name_alone),
                cmocka_unit_test(every_argument_but_the_verb_is_wiped),
                cmocka_unit_test(wiping_keeps_within_the_argument),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
