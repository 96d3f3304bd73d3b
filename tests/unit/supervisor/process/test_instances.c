/* The table of instances: places, look-ups, and which generations have processes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "supervisor/process/instances.h"

static struct instances instances;

static struct instance *put(uint64_t number, uint64_t generation) {
        struct instance *instance = instance_unused(&instances);

        assert_non_null(instance);
        *instance = (struct instance){.is_used = true,
                .instances = &instances,
                .pid = (pid_t)(1000 + number),
                .number = number,
                .generation = generation};
        return instance;
}

static void begin(void) {
        memset(&instances, 0, sizeof instances);
}

static void test_an_instance_is_found_by_its_process_and_by_its_number(void **state) {
        const struct instance *first, *second;

        (void)state;
        begin();
        assert_null(instance_by_number(&instances, 0)); /* nobody is all zero */
        assert_null(instance_by_pid(&instances, 0));
        first = put(1, 1);
        second = put(2, 1);
        assert_ptr_equal(instance_by_number(&instances, 2), second);
        assert_ptr_equal(instance_by_pid(&instances, 1001), first);
        assert_null(instance_by_number(&instances, 3));
        assert_null(instance_by_pid(&instances, 1));
}

static void test_one_that_has_ended_is_not_found_and_its_place_is_used_again(void **state) {
        struct instance *first, *third;

        (void)state;
        begin();
        first = put(1, 1);
        put(2, 1);
        first->is_used = false;
        assert_null(instance_by_number(&instances, 1));
        assert_null(instance_by_pid(&instances, 1001));
        third = put(3, 2);
        assert_ptr_equal(third, first);
        assert_int_equal(instance_place(third), 0);
        assert_int_equal(instances.places, 2);
}

static void test_a_place_that_is_prepared_is_neither_free_nor_found(void **state) {
        struct instance *ahead;

        (void)state;
        begin();
        ahead = put(1, 5);
        ahead->is_used = false;
        ahead->is_prepared = true;
        assert_ptr_not_equal(instance_unused(&instances), ahead);
        assert_null(instance_by_number(&instances, 1));
        assert_null(instance_by_pid(&instances, 1001));
        assert_null(instance_from(&instances, 0));
        assert_true(instances_have(&instances, 5)); /* but there is a process */
}

static void test_a_full_table_has_no_place_until_somebody_leaves(void **state) {
        (void)state;
        begin();
        for (uint64_t number = 1; number <= FLEET_INSTANCES_MAX; number++)
                assert_int_equal(instance_place(put(number, 1)), number - 1);
        assert_null(instance_unused(&instances));
        instances.list[FLEET_INSTANCES_MAX - 1].is_used = false;
        assert_ptr_equal(instance_unused(&instances), &instances.list[FLEET_INSTANCES_MAX - 1]);
}

static void test_a_walk_meets_each_one_that_runs_once(void **state) {
        struct instance *instance;
        uint64_t met = 0;
        size_t next = 0;

        (void)state;
        begin();
        for (uint64_t number = 1; number <= 5; number++)
                put(number, 1);
        instances.list[0].is_used = instances.list[3].is_used = false;
        while ((instance = instance_from(&instances, next))) {
                next = instance_place(instance) + 1;
                met = met * 10 + instance->number;
        }
        assert_int_equal(met, 235);
        assert_null(instance_from(&instances, FLEET_INSTANCES_MAX));
}

static void test_a_generation_is_there_until_its_last_process_has_gone(void **state) {
        struct instance *first, *second;

        (void)state;
        begin();
        first = put(1, 7);
        second = put(2, 7);
        second->is_ending = true; /* told to stop: it may accept yet */
        assert_true(instances_have(&instances, 7));
        assert_false(instances_have(&instances, 0));
        first->is_used = false;
        assert_true(instances_have(&instances, 7));
        second->is_used = false;
        assert_false(instances_have(&instances, 7));
}

static void test_a_seat_is_taken_by_its_own_generation_in_its_own_slot(void **state) {
        const struct seat seat = {.generation = 7, .slot = 2}, elsewhere = {.generation = 7, .slot = 1},
                          older = {.generation = 6, .slot = 2};
        struct instance *instance;

        (void)state;
        begin();
        instance = put(1, 7);
        instance->slot = 2;
        assert_true(instances_have_seat(&instances, &seat));
        assert_false(instances_have_seat(&instances, &elsewhere));
        assert_false(instances_have_seat(&instances, &older));
        instance->is_used = false;
        assert_false(instances_have_seat(&instances, &seat));
        instance->is_prepared = true;
        assert_true(instances_have_seat(&instances, &seat));
}

static void test_one_is_emptying_until_it_is_told_to_stop_or_has_gone(void **state) {
        struct instance *instance, *other;

        (void)state;
        begin();
        instance = put(1, 7);
        other = put(2, 7);
        assert_false(instance_is_emptying(&instances, 1));
        instance->is_emptying = true;
        assert_true(instance_is_emptying(&instances, 1));
        assert_false(instance_is_emptying(&instances, 2));
        other->is_emptying = true;
        instance->is_ending = true;
        assert_false(instance_is_emptying(&instances, 1));
        assert_true(instance_is_emptying(&instances, 2));
        other->is_used = false;
        assert_false(instance_is_emptying(&instances, 2));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_instance_is_found_by_its_process_and_by_its_number),
                cmocka_unit_test(test_one_that_has_ended_is_not_found_and_its_place_is_used_again),
                cmocka_unit_test(test_a_place_that_is_prepared_is_neither_free_nor_found),
                cmocka_unit_test(test_a_full_table_has_no_place_until_somebody_leaves),
                cmocka_unit_test(test_a_walk_meets_each_one_that_runs_once),
                cmocka_unit_test(test_a_generation_is_there_until_its_last_process_has_gone),
                cmocka_unit_test(test_a_seat_is_taken_by_its_own_generation_in_its_own_slot),
                cmocka_unit_test(test_one_is_emptying_until_it_is_told_to_stop_or_has_gone),
        };

        return cmocka_run_group_tests_name("instances", tests, NULL, NULL);
}
