/* What one start is given: collected in order, and what was for the app alone is closed afterwards. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "supervisor/process/gear.h"

static void test_variables_stand_in_their_order_and_end_with_null(void **state) {
        static char own[] = "A=1";
        struct gear gear = {0};

        (void)state;
        gear_variable(&gear, own);
        gear_text(&gear, "TACET_NUMBER=%d", 7);
        gear_text(&gear, "TACET_NAME=%s", "web");
        assert_int_equal(gear.variable_count, 3);
        assert_ptr_equal(gear.variables[0], own);
        assert_string_equal(gear.variables[1], "TACET_NUMBER=7");
        assert_string_equal(gear.variables[2], "TACET_NAME=web");
        assert_null(gear.variables[3]);
}

static void test_all_that_there_is_room_for_fits_and_still_ends_with_null(void **state) {
        static char one[] = "A=1";
        struct gear gear = {0};

        (void)state;
        for (int i = 0; i < GEAR_TEXTS_MAX; i++)
                gear_text(&gear, "T%d=%d", i, i);
        for (int i = GEAR_TEXTS_MAX; i < GEAR_VARIABLES_MAX; i++)
                gear_variable(&gear, one);
        assert_string_equal(gear.variables[GEAR_TEXTS_MAX - 1], "T7=7");
        assert_ptr_equal(gear.variables[GEAR_VARIABLES_MAX - 1], one);
        assert_null(gear.variables[GEAR_VARIABLES_MAX]);
}

static void test_a_text_that_is_too_long_is_cut_and_ends(void **state) {
        struct gear gear = {0};

        (void)state;
        gear_text(&gear, "LONG=%0200d", 0);
        assert_int_equal(gear.variables[0][GEAR_TEXT_BYTES - 1], '\0');
        assert_int_equal(gear.variables[0][GEAR_TEXT_BYTES - 2], '0');
}

static void test_the_end_of_a_start_closes_what_was_for_the_app_alone(void **state) {
        struct gear gear = {0};
        int ends[2];

        (void)state;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        gear_descriptor(&gear, (struct launch_descriptor){.fd = ends[0], .name = "kept"});
        gear_descriptor(&gear, (struct launch_descriptor){.fd = ends[1], .name = "ready", .number = 7});
        gear_temporary(&gear, ends[1]);
        assert_int_equal(gear.descriptor_count, 2);
        assert_int_equal(gear.descriptors[1].number, 7);
        gear_release(&gear);
        assert_true(fcntl(ends[0], F_GETFD) >= 0);
        assert_int_equal(fcntl(ends[1], F_GETFD), -1);
        assert_int_equal(errno, EBADF);
        assert_int_equal(dup2(ends[0], ends[1]), ends[1]); /* the number is somebody else's now */
        gear_release(&gear);
        assert_true(fcntl(ends[1], F_GETFD) >= 0);
        close(ends[0]);
        close(ends[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_variables_stand_in_their_order_and_end_with_null),
                cmocka_unit_test(test_all_that_there_is_room_for_fits_and_still_ends_with_null),
                cmocka_unit_test(test_a_text_that_is_too_long_is_cut_and_ends),
                cmocka_unit_test(test_the_end_of_a_start_closes_what_was_for_the_app_alone),
        };

        return cmocka_run_group_tests_name("gear", tests, NULL, NULL);
}
