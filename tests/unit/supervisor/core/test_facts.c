/* The queue of facts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/core/facts.h"

static struct facts facts;

static void push(uint64_t number) {
        facts_push(
                &facts, (int64_t)number * 10, (struct fleet_event){.kind = FLEET_READY, .instance = number});
}

static void assert_next(uint64_t number) {
        struct fleet_event event = {0};

        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_READY);
        assert_int_equal(event.instance, number);
        assert_int_equal(event.now_ns, number * 10);
}

static void assert_empty(void) {
        struct fleet_event event = {.instance = 77};

        assert_false(facts_take(&facts, &event));
        assert_int_equal(event.instance, 77);
}

static void test_what_was_seen_first_is_told_first(void **state) {
        (void)state;
        facts = (struct facts){0};
        assert_empty();
        push(1);
        push(2);
        push(3);
        assert_next(1);
        push(4); /* while others are waiting */
        assert_next(2);
        assert_next(3);
        assert_next(4);
        assert_empty();
}

static void test_the_time_is_when_it_was_seen_whatever_the_event_says(void **state) {
        struct fleet_event event = {.kind = FLEET_TICK, .now_ns = 1};

        (void)state;
        facts = (struct facts){0};
        facts_push(&facts, 99, event);
        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.now_ns, 99);
}

static void test_all_that_there_is_room_for_comes_out_in_order_from_any_beginning(void **state) {
        (void)state;
        for (uint64_t begin = 0; begin < FACTS_MAX; begin++) {
                facts = (struct facts){0};
                push(0);
                for (uint64_t number = 1; number <= begin; number++) { /* never empty: so the ring goes on */
                        push(number);
                        assert_next(number - 1);
                }
                for (uint64_t number = begin + 1; number < begin + FACTS_MAX; number++)
                        push(number);
                assert_int_equal(facts.count, FACTS_MAX);
                for (uint64_t number = begin; number < begin + FACTS_MAX; number++)
                        assert_next(number);
                assert_empty();
        }
}

static void test_a_quiet_queue_stays_where_it_began(void **state) {
        (void)state;
        facts = (struct facts){0};
        for (uint64_t number = 1; number < 3 * FACTS_MAX; number++) {
                push(number);
                assert_int_equal(facts.first, 0);
                assert_next(number);
        }
}

static void test_what_is_forgotten_never_comes(void **state) {
        (void)state;
        facts = (struct facts){0};
        push(1);
        push(2);
        facts_forget(&facts);
        assert_empty();
        push(3);
        assert_next(3);
        assert_empty();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_was_seen_first_is_told_first),
                cmocka_unit_test(test_the_time_is_when_it_was_seen_whatever_the_event_says),
                cmocka_unit_test(test_all_that_there_is_room_for_comes_out_in_order_from_any_beginning),
                cmocka_unit_test(test_a_quiet_queue_stays_where_it_began),
                cmocka_unit_test(test_what_is_forgotten_never_comes),
        };

        return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
