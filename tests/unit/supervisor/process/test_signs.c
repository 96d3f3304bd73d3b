/* Signs of readiness: when all that are wanted have come, and how often that is said. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/log.h"
#include "supervisor/process/instances.h"

static struct instances instances;
static struct instance *instance;
static unsigned times;

static void on_complete(void *owner, struct instance *complete) {
        assert_ptr_equal(owner, &times);
        assert_ptr_equal(complete, instance);
        times++;
}

static void begin(unsigned wanted) {
        memset(&instances, 0, sizeof instances);
        instances.on_complete = on_complete;
        instances.owner = &times;
        instance = instance_unused(&instances);
        *instance = (struct instance){.is_used = true, .instances = &instances, .signs.wanted = wanted};
        times = 0;
}

static void test_the_last_of_the_wanted_signs_completes_them_in_any_order(void **state) {
        const unsigned wanted =
                sign_bit(READINESS_EXEC) | sign_bit(READINESS_NOTIFY) | sign_bit(READINESS_PROBE);
        static const enum readiness orders[][3] = {
                {READINESS_EXEC, READINESS_NOTIFY, READINESS_PROBE},
                {READINESS_PROBE, READINESS_NOTIFY, READINESS_EXEC},
                {READINESS_NOTIFY, READINESS_EXEC, READINESS_PROBE},
        };

        (void)state;
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
                begin(wanted);
                signs_begin(instance);
                signs_note(instance, orders[i][0]);
                signs_note(instance, orders[i][0]); /* twice is once */
                signs_note(instance, orders[i][1]);
                assert_int_equal(times, 0);
                signs_note(instance, orders[i][2]);
                assert_int_equal(times, 1);
        }
}

static void test_it_is_said_once_whatever_comes_later(void **state) {
        (void)state;
        begin(sign_bit(READINESS_LISTEN));
        signs_begin(instance);
        signs_note(instance, READINESS_LISTEN);
        signs_note(instance, READINESS_LISTEN);
        signs_note(instance, READINESS_NOTIFY);
        signs_begin(instance);
        assert_int_equal(times, 1);
        assert_true(instance->signs.is_complete);
}

static void test_signs_that_come_early_count_from_the_first_instruction_on(void **state) {
        (void)state;
        begin(sign_bit(READINESS_NOTIFY) | sign_bit(READINESS_FD));
        signs_note(instance, READINESS_NOTIFY);
        signs_note(instance, READINESS_FD);
        assert_int_equal(times, 0);
        signs_begin(instance);
        assert_int_equal(times, 1);
}

static void test_a_sign_that_nobody_waits_for_changes_nothing(void **state) {
        (void)state;
        begin(sign_bit(READINESS_DELAY));
        signs_begin(instance);
        signs_note(instance, READINESS_EXEC);
        signs_note(instance, READINESS_NOTIFY);
        assert_int_equal(times, 0);
        assert_false(instance->signs.is_complete);
}

static void test_without_anybody_to_tell_it_is_only_kept(void **state) {
        (void)state;
        begin(sign_bit(READINESS_EXEC));
        instances.on_complete = NULL;
        signs_begin(instance);
        signs_note(instance, READINESS_EXEC);
        assert_true(instance->signs.is_complete);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_last_of_the_wanted_signs_completes_them_in_any_order),
                cmocka_unit_test(test_it_is_said_once_whatever_comes_later),
                cmocka_unit_test(test_signs_that_come_early_count_from_the_first_instruction_on),
                cmocka_unit_test(test_a_sign_that_nobody_waits_for_changes_nothing),
                cmocka_unit_test(test_without_anybody_to_tell_it_is_only_kept),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("signs", tests, NULL, NULL);
}
