/* The fleet with several replicas: limits, order, halts, and generations that overtake each other. */

#include "tests/unit/fleet_script.h"

/* ---- several replicas ---------------------------------------------------------------------------------- */

static void test_replicas_are_replaced_one_by_one_with_one_more(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(3);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) spawn 4 g2@0");
        ready(4);
        later(1 * S);
        expect("stop 1");
        exited(1, 0);
        expect("spawn 5 g2@1");
        ready(5);
        later(1 * S);
        exited(2, 0);
        expect("stop 2 spawn 6 g2@2");
        ready(6);
        later(1 * S);
        expect("stop 3");
        exited(3, 0);
        expect("(committed g2) drop g1");
}

static void test_replicas_are_replaced_two_at_a_time_when_two_may_be_missing(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = 4;
        settings.unavailable_max = 2;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1 stop 2");
        exited(2, 0);
        expect("spawn 5 g2@1");
        ready(5);
        later(1 * S);
        expect("stop 3");
        exited(1, 0);
        exited(3, 0);
        expect("spawn 6 g2@0 spawn 7 g2@2");
        ready(6);
        later(1 * S);
        expect("stop 4");
}

static void test_an_instance_on_its_way_out_counts_as_live(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(2);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        expect("load 2 (rollout g2) spawn 3 g2@0 stop 1");
        later(9 * S);
        expect("");
        later(1 * S);
        expect("(stop timeout 1) kill 1");
        signalled(1, 9);
        expect("spawn 4 g2@1");
}

static void test_a_crashed_replica_is_filled_with_the_new_generation_once_that_works(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(3);
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(3, 1);
        expect("load 2 (rollout g2) spawn 4 g2@0 (failed 3 exited 1) (restart 3) spawn 5 g1@2");
        ready(4);
        later(1 * S);
        exited(2, 1);
        expect("stop 5 (failed 2 exited 1) (restart 2) spawn 6 g2@1");
}

static void test_a_failure_in_the_last_slot_takes_every_slot_back(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(2);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        expect("load 2 (rollout g2) spawn 3 g2@0 stop 1 spawn 4 g2@1");
        exited(4, 1);
        expect("(failed 4 exited 1) (reverted g2 exited 1) spawn 5 g1@0");
        ready(5);
        later(1 * S);
        expect("stop 3");
        exited(3, 0);
        expect("(restored g1) drop g2");
}

static void test_with_revert_off_the_mix_is_halted_and_keeps_serving(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.is_revert_off = true;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        trace[0] = '\0';
        exited(4, 1);
        expect("(failed 4 exited 1) (halted g2 exited 1)");
        assert_int_equal(wakes_in(), NS_FOREVER);
        reload();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
        rollback();
        expect("(cancelled g2) spawn 5 g1@0");
}

static void test_a_halted_mix_moves_on_with_new_content(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.is_revert_off = true;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        exited(4, 1);
        trace[0] = '\0';
        reload();
        loaded(3, 'c');
        expect("load 3 (superseded g2) (rollout g3) spawn 5 g3@0");
        ready(5);
        later(1 * S);
        exited(3, 0);
        expect("stop 3 spawn 6 g3@1 drop g2");
}

static void test_a_way_back_that_fails_halts_and_keeps_what_serves(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(2);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        exited(4, 1);
        trace[0] = '\0';
        exited(5, 1);
        expect("(failed 5 exited 1) (halted g1 exited 1)");
        assert_int_equal(wakes_in(), NS_FOREVER);
        struct fleet_view view;
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_HALTED);
        assert_int_equal(view.ready, 2);
        later(10 * S);
        reload();
        loaded(3, 'a');
        expect("load 3 (unchanged g1) drop g3 (resumed g1) spawn 6 g1@0");
        ready(6);
        later(1 * S);
        exited(3, 0);
        expect("stop 3 (restored g1) drop g2");
}

static void test_the_fleet_ends_when_its_last_replica_has_ended(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = 3;
        fleet_up(&settings);
        exited(1, 0);
        exited(3, 4);
        expect("(failed 1 exited) (ended 1) (failed 3 exited 4) (ended 3 4)");
        reload();
        loaded(2, 'b');
        exited(2, 0);
        expect("load 2 (rollout g2) stop 2 spawn 4 g2@1");
        ready(4);
        later(1 * S);
        exited(4, 5);
        expect("(committed g2) drop g1 (failed 4 exited 5) (ended 4 5) exit 5");
}

static void test_an_unhealthy_replica_does_not_hold_up_a_rollout(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(3);
        fleet_up(&settings);
        unhealthy(3);
        reload();
        loaded(2, 'b');
        expect("(unhealthy 3) load 2 (rollout g2) spawn 4 g2@2");
        ready(4);
        later(1 * S);
        expect("stop 3");
}

static void test_giving_up_stops_the_other_replicas_first(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = 2;
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_limit = 1;
        fleet_up(&settings);
        exited(1, 1);
        exited(3, 2);
        expect("(failed 1 exited 1) (restart 1) spawn 3 g1@0 (failed 3 exited 2) (gave up 2) (stopping) stop "
               "2");
        exited(2, 0);
        expect("exit 2");
}

static void test_a_third_generation_replaces_the_second_before_the_first(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(3);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(4);
        later(1 * S);
        exited(1, 0);
        expect("load 2 (rollout g2) spawn 4 g2@0 stop 1 spawn 5 g2@1");
        reload();
        loaded(3, 'c');
        expect("load 3 (superseded g2) (rollout g3) stop 5");
        exited(5, 0);
        expect("spawn 6 g3@0");
}

static void test_loads_wait_while_too_many_generations_are_held(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = FLEET_GENERATIONS_MAX;
        settings.unavailable_max = FLEET_GENERATIONS_MAX;
        settings.stop_timeout_ns = NS_FOREVER;
        fleet_up(&settings);
        /* every generation leaves one instance behind that does not stop */
        for (uint64_t generation = 2; generation <= FLEET_GENERATIONS_MAX; generation++) {
                reload();
                loaded(generation, (char)('a' + generation));
                exited(generation - 1, 0);
        }
        trace[0] = '\0';
        reload();
        expect("");
        exited(FLEET_GENERATIONS_MAX + 1, 0);
        expect("spawn 16 g8@0 drop g2");
        later(1);
        tell((struct fleet_event){.kind = FLEET_TICK});
        expect("load 9");
}

static void test_replicas_that_were_starting_with_superseded_secrets_all_go_at_once(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = 3;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        trace[0] = '\0';
        reload();
        loaded(2, 'b');
        expect("load 2 (superseded g1) (rollout g2) stop 1 stop 2 stop 3");
}

static void test_the_old_one_serves_while_the_next_try_waits(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.surge_max = 2;
        settings.failures_max = 1;
        settings.restart_delay_ns = 10 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        trace[0] = '\0';
        exited(3, 1);
        expect("(failed 3 exited 1) (retry 3 later) spawn 5 g1@0");
}

static void test_of_two_superseded_by_a_third_the_one_that_serves_stays(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.surge_max = 2;
        settings.hold_ns = 60 * S;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(4);
        later(1 * S);
        ready(3);
        exited(1, 1);
        expect("load 2 (rollout g2) spawn 3 g2@0 spawn 4 g2@1 (failed 1 exited 1) (restart 1) spawn 5 g1@0");
        reload();
        loaded(3, 'c');
        expect("load 3 (superseded g2) (rollout g3) stop 5");
}

static void test_a_try_that_failed_beside_the_old_passes_the_turn_on(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.failures_max = 1;
        settings.restart_delay_ns = 10 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(3, 1);
        expect("load 2 (rollout g2) spawn 3 g2@0 (failed 3 exited 1) (retry 3 later) spawn 4 g2@1");
}

static void test_a_superseded_instance_that_ends_is_no_end_of_its_slot(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(2);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        reload();
        loaded(3, 'c');
        exited(4, 0);
        trace[0] = '\0';
        exited(3, 1);
        expect("(failed 3 exited 1) spawn 6 g1@0 drop g2");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replicas_are_replaced_one_by_one_with_one_more),
                cmocka_unit_test(test_replicas_are_replaced_two_at_a_time_when_two_may_be_missing),
                cmocka_unit_test(test_an_instance_on_its_way_out_counts_as_live),
                cmocka_unit_test(test_a_crashed_replica_is_filled_with_the_new_generation_once_that_works),
                cmocka_unit_test(test_a_failure_in_the_last_slot_takes_every_slot_back),
                cmocka_unit_test(test_with_revert_off_the_mix_is_halted_and_keeps_serving),
                cmocka_unit_test(test_a_halted_mix_moves_on_with_new_content),
                cmocka_unit_test(test_a_way_back_that_fails_halts_and_keeps_what_serves),
                cmocka_unit_test(test_the_fleet_ends_when_its_last_replica_has_ended),
                cmocka_unit_test(test_an_unhealthy_replica_does_not_hold_up_a_rollout),
                cmocka_unit_test(test_giving_up_stops_the_other_replicas_first),
                cmocka_unit_test(test_a_third_generation_replaces_the_second_before_the_first),
                cmocka_unit_test(test_loads_wait_while_too_many_generations_are_held),
                cmocka_unit_test(test_replicas_that_were_starting_with_superseded_secrets_all_go_at_once),
                cmocka_unit_test(test_the_old_one_serves_while_the_next_try_waits),
                cmocka_unit_test(test_of_two_superseded_by_a_third_the_one_that_serves_stays),
                cmocka_unit_test(test_a_try_that_failed_beside_the_old_passes_the_turn_on),
                cmocka_unit_test(test_a_superseded_instance_that_ends_is_no_end_of_its_slot),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
