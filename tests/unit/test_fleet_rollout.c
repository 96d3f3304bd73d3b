/* The fleet with several replicas, or with new beside old: limits, order, halt, emergency, rollback, steering. */

#include "tests/unit/fleet_script.h"

/* ---- new beside old ----------------------------------------------------------------------------------------------- */

static void test_handoff_stops_the_old_only_when_the_new_has_proved_itself(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) spawn 2 g2");
        ready(2);
        later(1 * S - 1);
        expect("");
        later(1);
        expect("stop 1");
        exited(1, 0);
        expect("(committed g2) drop g1");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_a_new_instance_that_fails_beside_the_old_touches_nothing(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(2, 1);
        expect("load 2 (rollout g2) spawn 2 g2 (failed 2 exited 1) (reverted g2 exited 1) (restored g1) drop "
               "g2");
}

static void test_the_old_stands_by_for_the_time_of_hold(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(1);
        settings.hold_ns = 5 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        expect("load 2 (rollout g2) spawn 2 g2");
        assert_int_equal(wakes_in(), 5 * S);
        exited(2, 1);
        expect("(failed 2 exited 1) (reverted g2 exited 1) (restored g1) drop g2");
        reload();
        loaded(3, 'c');
        ready(3);
        later(6 * S);
        expect("load 3 (rollout g3) spawn 3 g3 stop 1");
}

static void test_an_old_one_that_crashes_comes_back_while_the_new_one_starts(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(1);
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 1);
        expect("load 2 (rollout g2) spawn 2 g2 (failed 1 exited 1) (restart 1) spawn 3 g1");
        ready(2);
        later(1 * S);
        expect("stop 3");
        exited(3, 0);
        expect("(committed g2) drop g1");
}

static void test_an_old_one_that_ends_for_good_leaves_the_slot_to_the_new_one(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        expect("load 2 (rollout g2) spawn 2 g2 (failed 1 exited) (ended 1)");
        ready(2);
        later(1 * S);
        expect("(committed g2) drop g1");
        exited(2, 6);
        expect("(failed 2 exited 6) (ended 2 6) exit 6");
}

static void test_stop_during_a_handoff_stops_both_and_reports_the_one_that_served(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        stop();
        expect("load 2 (rollout g2) spawn 2 g2 (stopping) stop 1 stop 2");
        exited(1, 0);
        expect("");
        signalled(2, 15);
        expect("exit 0");
}

/* ---- several replicas ----------------------------------------------------------------------------------------------- */

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

/* ---- emergency, rollback ---------------------------------------------------------------------------------------------- */

static void test_an_emergency_replaces_all_at_once_and_keeps_no_old_value(void **state) {
        (void)state;
        struct fleet_settings settings = settings_handoff(2);
        settings.previous_keep_ns = 60 * S;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1 stop 2 spawn 3 g2@0");
        later(1 * S);
        expect("(stop timeout 1) kill 1 (stop timeout 2) kill 2");
        signalled(1, 9);
        expect("spawn 4 g2@1");
        signalled(2, 9);
        expect("drop g1");
        ready(3);
        ready(4);
        later(1 * S);
        expect("(committed g2)");
        reload();
        loaded(3, 'a');
        expect("load 3 (refused g3) drop g3");
}

static void test_an_emergency_does_not_wait_for_a_load_or_a_stop_under_way(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        reload();
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        expect("load 2 (rollout g2) stop 1 load 3 cancel 3 load 4");
        loaded(3, 'c');
        expect("(superseded g2) (rollout g3) drop g2");
        assert_int_equal(wakes_in(), 1 * S);
        exited(1, 0);
        expect("spawn 2 g3 drop g1");
        exited(2, 1);
        expect("(failed 2 exited 1) (ended 2 1) exit 1");
}

static void test_a_stop_in_an_emergency_has_the_ordinary_time(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        exited(1, 0);
        stop();
        assert_int_equal(wakes_in(), 10 * S);
}

static void test_rollback_returns_to_the_generation_before_while_it_is_kept(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.previous_keep_ns = 60 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 (committed g2)");
        assert_int_equal(wakes_in(), 60 * S);
        rollback();
        expect("(rollout g1) stop 2");
        exited(2, 0);
        ready(3);
        later(1 * S);
        expect("spawn 3 g1 (committed g1)");
        later(60 * S);
        expect("drop g2");
        rollback();
        expect("(no previous)");
}

static void test_rollback_calls_off_a_rollout_and_a_load(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        reload();
        rollback();
        expect("load 2 (rollout g2) spawn 2 g2 load 3 cancel 3 (cancelled g2) stop 2");
        exited(2, 0);
        expect("(restored g1) drop g2");
}

/* ---- steering ----------------------------------------------------------------------------------------------------------- */

static struct fleet_settings settings_steered(uint32_t replicas) {
        struct fleet_settings settings = settings_handoff(replicas);
        settings.is_steered = true;
        settings.queue_timeout_ns = 5 * S;
        return settings;
}

static void test_connections_are_steered_away_before_the_old_is_stopped(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        expect("load 2 (rollout g2) spawn 2 g2");
        later(1 * S);
        expect("steer g2:1");
        assert_int_equal(wakes_in(), 5 * S);
        queue_empty(2);
        expect("");
        queue_empty(1);
        expect("stop 1");
        exited(1, 0);
        expect("(committed g2) drop g1");
}

static void test_a_queue_that_does_not_empty_is_not_waited_for_without_end(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(6 * S);
        expect("load 2 (rollout g2) spawn 2 g2 steer g2:1 stop 1");
}

static void test_an_old_one_that_drains_is_the_fastest_way_back(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        trace[0] = '\0';
        exited(2, 1);
        expect("steer g1:1 (failed 2 exited 1) (reverted g2 exited 1) (restored g1) drop g2");
}

static void test_shares_follow_the_replicas_of_each_generation(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(2);
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        expect("load 1 steer g1:1 spawn 1 g1@0 spawn 2 g1@1");
        ready(1);
        expect("");
        ready(2);
        expect("steer g1:2");
        later(1 * S);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        expect("(started g1) load 2 (rollout g2) spawn 3 g2@0 steer g2:1 g1:1 stop 1");
        exited(3, 1);
        expect("steer g1:1 (failed 3 exited 1) (reverted g2 exited 1) spawn 4 g1@0 drop g2");
}

static void test_names_are_never_missing(void **state) {
        (void)state;
        assert_string_equal(instance_state_name(INSTANCE_AVAILABLE), "available");
        assert_string_equal(instance_state_name((enum instance_state)99), "unknown");
        assert_string_equal(fleet_phase_name(FLEET_PHASE_OVER), "over");
        assert_string_equal(fleet_phase_name((enum fleet_phase)99), "unknown");
        assert_string_equal(fleet_reason_name(FLEET_REASON_TOO_SLOW), "rollout too slow");
        assert_string_equal(fleet_reason_name((enum fleet_reason)99), "unknown");
}

static void test_an_observer_sees_the_phases_and_the_instances(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        struct fleet_view view;
        fleet_begin(&settings);
        start();
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_STARTING);
        assert_true(view.is_loading && !view.has_target);
        loaded(1, 'a');
        ready(1);
        later(1 * S);
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_IDLE);
        assert_true(view.has_stable && view.stable == 1 && view.live == 1 && view.available == 1);
        assert_int_equal(fleet_instance_at(&fleet, 0, 0)->number, 1);
        assert_null(fleet_instance_at(&fleet, 0, 1));
        assert_null(fleet_instance_at(&fleet, 1, 0));
        reload();
        loaded(2, 'b');
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_ROLLING);
        exited(1, 0);
        exited(2, 1);
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_REVERTING);
        stop();
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_STOPPING);
        exited(3, 0);
        fleet_look(&fleet, &view);
        assert_int_equal(view.phase, FLEET_PHASE_OVER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_handoff_stops_the_old_only_when_the_new_has_proved_itself),
                cmocka_unit_test(test_a_new_instance_that_fails_beside_the_old_touches_nothing),
                cmocka_unit_test(test_the_old_stands_by_for_the_time_of_hold),
                cmocka_unit_test(test_an_old_one_that_crashes_comes_back_while_the_new_one_starts),
                cmocka_unit_test(test_an_old_one_that_ends_for_good_leaves_the_slot_to_the_new_one),
                cmocka_unit_test(test_stop_during_a_handoff_stops_both_and_reports_the_one_that_served),
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
                cmocka_unit_test(test_an_emergency_replaces_all_at_once_and_keeps_no_old_value),
                cmocka_unit_test(test_an_emergency_does_not_wait_for_a_load_or_a_stop_under_way),
                cmocka_unit_test(test_a_stop_in_an_emergency_has_the_ordinary_time),
                cmocka_unit_test(test_rollback_returns_to_the_generation_before_while_it_is_kept),
                cmocka_unit_test(test_rollback_calls_off_a_rollout_and_a_load),
                cmocka_unit_test(test_connections_are_steered_away_before_the_old_is_stopped),
                cmocka_unit_test(test_a_queue_that_does_not_empty_is_not_waited_for_without_end),
                cmocka_unit_test(test_an_old_one_that_drains_is_the_fastest_way_back),
                cmocka_unit_test(test_shares_follow_the_replicas_of_each_generation),
                cmocka_unit_test(test_names_are_never_missing),
                cmocka_unit_test(test_an_observer_sees_the_phases_and_the_instances),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
