/* The fleet with new beside old: handoff, steering, and what an observer sees. */

#include "tests/unit/fleet_script.h"

/* ---- new beside old ------------------------------------------------------------------------------------ */

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

/* ---- steering ------------------------------------------------------------------------------------------ */

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
        expect("steer g2 empty 1 g1");
        assert_int_equal(wakes_in(), 5 * S);
        queue_empty(2);
        expect("");
        queue_empty(1);
        expect("stop 1");
        exited(1, 0);
        expect("(committed g2) drop g1");
}

static void test_one_of_three_that_leaves_gets_nothing_while_the_others_serve(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(3);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(4);
        trace[0] = '\0';
        later(1 * S);
        expect("steer g2@0 g1@1 g1@2 empty 1 g1");
        queue_empty(2);
        expect("");
        queue_empty(1);
        expect("stop 1");
        exited(1, 0);
        expect("spawn 5 g2@1");
        ready(5);
        later(1 * S);
        expect("steer g2@0 g2@1 g1@2 empty 2 g1");
}

static void test_each_of_several_that_leave_is_stopped_when_its_own_queue_is_empty(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(3);
        settings.surge_max = 3;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(4);
        ready(5);
        trace[0] = '\0';
        later(1 * S);
        expect("steer g2@0 g2@1 g1@2 empty 1 g1 empty 2 g1");
        queue_empty(2);
        expect("stop 2");
        queue_empty(1);
        expect("stop 1");
}

static void test_one_that_crashes_gets_nothing_until_it_serves_again(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(3);
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        trace[0] = '\0';
        exited(2, 1);
        expect("steer g1@0 g1@2 (failed 2 exited 1) (restart 2) spawn 4 g1@1");
        ready(4);
        expect("steer g1@0 g1@1 g1@2");
        exited(1, 1);
        exited(3, 1);
        trace[0] = '\0';
        exited(4, 1); /* nobody serves: who comes waits where the others start */
        expect("steer g1@0 g1@2 (failed 4 exited 1) (restart 4 later)");
}

static void test_when_all_have_crashed_who_comes_waits_for_each_of_them(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(2);
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        exited(1, 1);
        exited(3, 1);
        trace[0] = '\0';
        exited(2, 1);
        exited(4, 1);
        expect("(failed 2 exited 1) (restart 2) spawn 4 g1@1 steer g1@0 g1@1 (failed 4 exited 1) (restart 4 "
               "later)");
}

static void test_a_queue_that_does_not_empty_is_not_waited_for_without_end(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(6 * S);
        expect("load 2 (rollout g2) spawn 2 g2 steer g2 empty 1 g1 stop 1");
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
        expect("steer g1 (failed 2 exited 1) (reverted g2 exited 1) recall 1 g1 (restored g1) drop g2");
}

static void test_one_that_drains_and_is_unhealthy_is_not_taken_back(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(1);
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        trace[0] = '\0';
        unhealthy(1);
        exited(2, 1);
        expect("stop 1 steer g1 (failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 drop g2");
}

static void test_one_that_empties_to_make_room_is_not_taken_back(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(1);
        settings.unavailable_max = 1;
        settings.failures_max = 1;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        expect("load 2 (rollout g2) spawn 2 g2");
        unhealthy(2);
        expect("(failed 2 unhealthy) (retry 2 later) stop 2");
        later(500 * MS);
        expect("steer g2 empty 1 g1");
        queue_empty(1);
        expect("stop 1");
        exited(2, 0);
        expect("spawn 3 g2");
}

static void test_one_that_is_taken_back_does_not_hold_up_the_other_slots(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(2);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        exited(1, 0);
        ready(4);
        later(1 * S);
        expect("load 2 (rollout g2) spawn 3 g2@0 steer g2@0 g1@1 empty 1 g1 spawn 4 g2@1 steer g2@0 g2@1 "
               "empty 2 g1");
        rollback();
        expect("steer g2@0 g1@1 (cancelled g2) recall 2 g1 empty 4 g2");
        exited(4, 0);
        expect("spawn 5 g1@0");
}

static void test_one_that_drains_is_needed_when_its_own_successor_fails(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(2);
        settings.surge_max = 2;
        settings.failures_max = 1;
        settings.hold_ns = 2 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(4);
        later(3 * S);
        exited(2, 0);
        reload();
        loaded(3, 'c');
        exited(3, 0);
        trace[0] = '\0';
        ready(5);
        later(1 * S);
        ready(6);
        later(2 * S);
        expect("steer g1@0 g3@1 steer g3@0 g3@1 empty 4 g2");
        /* slot 0 has two that are available, so nobody is missed but in slot 1 */
        exited(5, 1);
        expect("steer g3@0 g2@1 (failed 5 exited 1) (retry 5) recall 4 g2 spawn 7 g3@1");
}

static void test_shares_follow_the_replicas_of_each_generation(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_steered(2);
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        expect("load 1 steer g1@0 g1@1 spawn 1 g1@0 spawn 2 g1@1");
        ready(1);
        expect("steer g1@0");
        ready(2);
        expect("steer g1@0 g1@1");
        later(1 * S);
        reload();
        loaded(2, 'b');
        ready(3);
        later(1 * S);
        expect("(started g1) load 2 (rollout g2) spawn 3 g2@0 steer g2@0 g1@1 empty 1 g1");
        exited(3, 1);
        expect("steer g1@0 g1@1 (failed 3 exited 1) (reverted g2 exited 1) recall 1 g1 (restored g1) drop "
               "g2");
}

static void test_one_that_drains_comes_back_instead_of_a_second_one(void **state) {
        (void)state;
        struct fleet_settings settings = settings_steered(1);
        settings.unavailable_max = 1;
        settings.is_revert_off = true;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        trace[0] = '\0';
        exited(2, 1);
        expect("steer g1 (failed 2 exited 1) (halted g2 exited 1) recall 1 g1 (cancelled g2) (restored g1) "
               "drop g2");
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

static void test_an_observer_walks_over_the_instances_that_live(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(3);
        struct fleet_cursor cursor = {0};
        fleet_begin(&settings);
        assert_null(fleet_instance_next(&fleet, &cursor));
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(2, 0);
        cursor = (struct fleet_cursor){0};
        assert_int_equal(fleet_instance_next(&fleet, &cursor)->number, 1);
        assert_true(cursor.slot == 0 && cursor.place == 0);
        assert_int_equal(fleet_instance_next(&fleet, &cursor)->number, 4);
        assert_true(cursor.slot == 0 && cursor.place == 1);
        assert_int_equal(fleet_instance_next(&fleet, &cursor)->number, 3);
        assert_true(cursor.slot == 2 && cursor.place == 0);
        assert_null(fleet_instance_next(&fleet, &cursor));
        assert_null(fleet_instance_next(&fleet, &cursor));
}

static void test_an_observer_knows_the_number_of_the_next_load(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        assert_int_equal(fleet_load_next(&fleet), 1);
        start();
        expect("load 1");
        assert_int_equal(fleet_load_next(&fleet), 2);
        reload();
        assert_int_equal(fleet_load_next(&fleet), 2);
        loaded(1, 'a');
        expect("load 2 spawn 1 g1");
        assert_int_equal(fleet_load_next(&fleet), 3);
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
                cmocka_unit_test(test_connections_are_steered_away_before_the_old_is_stopped),
                cmocka_unit_test(test_one_of_three_that_leaves_gets_nothing_while_the_others_serve),
                cmocka_unit_test(test_each_of_several_that_leave_is_stopped_when_its_own_queue_is_empty),
                cmocka_unit_test(test_one_that_crashes_gets_nothing_until_it_serves_again),
                cmocka_unit_test(test_when_all_have_crashed_who_comes_waits_for_each_of_them),
                cmocka_unit_test(test_a_queue_that_does_not_empty_is_not_waited_for_without_end),
                cmocka_unit_test(test_an_old_one_that_drains_is_the_fastest_way_back),
                cmocka_unit_test(test_one_that_drains_and_is_unhealthy_is_not_taken_back),
                cmocka_unit_test(test_one_that_empties_to_make_room_is_not_taken_back),
                cmocka_unit_test(test_one_that_is_taken_back_does_not_hold_up_the_other_slots),
                cmocka_unit_test(test_one_that_drains_is_needed_when_its_own_successor_fails),
                cmocka_unit_test(test_shares_follow_the_replicas_of_each_generation),
                cmocka_unit_test(test_one_that_drains_comes_back_instead_of_a_second_one),
                cmocka_unit_test(test_names_are_never_missing),
                cmocka_unit_test(test_an_observer_walks_over_the_instances_that_live),
                cmocka_unit_test(test_an_observer_knows_the_number_of_the_next_load),
                cmocka_unit_test(test_an_observer_sees_the_phases_and_the_instances),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
