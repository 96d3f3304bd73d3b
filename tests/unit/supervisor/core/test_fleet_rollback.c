/* The fleet in an emergency, and going back on request. */

#include "tests/unit/fleet_script.h"

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
        expect("sweep g2 drop g1");
        swept(2);
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
        expect("spawn 2 g3 sweep g3 drop g1");
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
        expect("load 2 (rollout g2) spawn 2 g2 load 3 (load cancelled) cancel 3 (cancelled g2) stop 2");
        exited(2, 0);
        expect("(restored g1) drop g2");
}

static struct fleet_view view_of_fleet(void) {
        struct fleet_view view;

        fleet_look(&fleet, &view);
        return view;
}

static void test_what_was_left_is_refused_until_it_changes_or_is_forced(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.previous_keep_ns = 600 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 (committed g2)");
        assert_int_equal(view_of_fleet().left, 0);
        rollback();
        assert_int_equal(view_of_fleet().left, 2);
        exited(2, 0);
        ready(3);
        later(1 * S);
        expect("(rollout g1) stop 2 spawn 3 g1 (committed g1)");
        assert_int_equal(view_of_fleet().left, 2);
        reload();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
        reload();
        loaded(4, 'c');
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect("load 4 (rollout g4) stop 3 spawn 4 g4 (committed g4) drop g2");
        assert_int_equal(view_of_fleet().left, 0);
        force();
        loaded(5, 'b');
        expect("load 5 (rollout g5) stop 4");
}

static void test_a_second_rollback_goes_forward_again(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.previous_keep_ns = 600 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
        rollback();
        exited(2, 0);
        ready(3);
        later(1 * S);
        rollback();
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 (committed g2) (rollout g1) stop 2 spawn 3 g1 "
               "(committed g1) (rollout g2) stop 3");
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect("spawn 4 g2 (committed g2)");
        assert_int_equal(view_of_fleet().left, 0);
}

static void test_a_rollout_that_is_called_off_is_left_too(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(3 * S);
        rollback();
        assert_int_equal(view_of_fleet().left, 2);
        assert_true(view_of_fleet().left_ns > 0);
        exited(2, 0);
        expect("load 2 (rollout g2) spawn 2 g2 (cancelled g2) stop 2 (restored g1) drop g2");
        reload();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
}

static struct fleet_settings settings_kept(void) {
        struct fleet_settings settings = settings_restart();
        settings.previous_keep_ns = 60 * S;
        return settings;
}

/* Generation 2 of content 'b' runs, generation 1 of 'a' is kept for a minute. */
static void second_is_up(const struct fleet_settings *settings) {
        fleet_up(settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 (committed g2)");
}

static void test_a_reload_during_a_rollback_does_not_undo_it(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        second_is_up(&settings);
        rollback();
        reload();
        loaded(3, 'b');
        expect("(rollout g1) stop 2 load 3 (refused g3) drop g3");
        reload();
        loaded(4, 'a');
        expect("load 4 (unchanged g1) drop g4");
}

static void test_a_second_rollback_during_the_first_calls_it_off(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        second_is_up(&settings);
        rollback();
        reload();
        rollback();
        expect("(rollout g1) stop 2 load 3 (load cancelled) cancel 3 (cancelled g1) drop g1");
        exited(2, 0);
        ready(3);
        later(1 * S);
        expect("spawn 3 g2 (restored g2)");
        rollback();
        expect("(no previous)");
}

static void test_a_rollback_that_fails_is_reverted_and_not_tried_again(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        second_is_up(&settings);
        rollback();
        exited(2, 0);
        exited(3, 1);
        expect("(rollout g1) stop 2 spawn 3 g1 (failed 3 exited 1) (reverted g1 exited 1) spawn 4 g2 drop "
               "g1");
        rollback();
        expect("(resumed g2)");
        ready(4);
        later(1 * S);
        expect("(restored g2)");
        reload();
        loaded(3, 'b');
        expect("load 3 (unchanged g2) drop g3");
        reload();
        loaded(4, 'a');
        expect("load 4 (refused g4) drop g4");
}

static void test_a_rollback_to_the_same_content_is_not_undone(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        fleet_up(&settings);
        force();
        loaded(2, 'a');
        exited(1, 0);
        ready(2);
        later(1 * S);
        trace[0] = '\0';
        rollback();
        exited(2, 0);
        ready(3);
        later(1 * S);
        expect("(rollout g1) stop 2 spawn 3 g1 (committed g1)");
        reload();
        loaded(3, 'a');
        expect("load 3 (unchanged g1) drop g3");
}

static void test_what_somebody_goes_back_to_is_forgiven(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        second_is_up(&settings);
        rollback();
        exited(2, 0);
        ready(3);
        later(1 * S);
        rollback();
        assert_int_equal(view_of_fleet().left, 2); /* not there yet */
        exited(3, 0);
        ready(4);
        later(1 * S);
        trace[0] = '\0';
        reload();
        loaded(3, 'c');
        exited(4, 0);
        ready(5);
        later(1 * S);
        expect("load 3 (rollout g3) stop 4 spawn 5 g3 (committed g3) drop g1");
        reload();
        loaded(4, 'b');
        expect("load 4 (rollout g4) stop 5");
}

static void test_an_emergency_is_not_rolled_back(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_kept();
        second_is_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(3, 'c');
        rollback();
        expect("load 3 (rollout g3) stop 2 drop g1 (no previous)");
        exited(2, 0);
        swept(3);
        ready(3);
        later(1 * S);
        rollback();
        expect("spawn 3 g3 sweep g3 drop g2 (committed g3) (no previous)");
}

static void test_an_observer_sees_what_has_failed_and_since_when(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        exited(2, 1);
        const int64_t left_ns = now_ns;
        assert_int_equal(view_of_fleet().left, 2);
        later(1 * S);
        ready(3);
        later(1 * S);
        reload();
        loaded(3, 'b');
        assert_int_equal(view_of_fleet().left, 2);
        assert_int_equal(view_of_fleet().left_ns, left_ns);
}

static void test_with_nothing_to_go_back_to_a_load_goes_on(void **state) {
        const struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        expect("load 2");
        rollback();
        expect("(no previous)");
        loaded(2, 'b');
        expect("(rollout g2) stop 1");
}

static void test_the_load_of_an_emergency_is_not_given_up(void **state) {
        const struct fleet_settings settings = settings_restart();
        (void)state;
        reload_to_second(&settings);
        ready(2);
        later(1 * S);
        trace[0] = '\0';
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        expect("load 3");
        rollback();
        expect("(no previous)");
        loaded(3, 'c');
        expect("(rollout g3) stop 2");
}

static void test_a_rollback_on_the_way_back_goes_no_further(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        settings.previous_keep_ns = 3600 * S;
        reload_to_second(&settings);
        ready(2);
        later(1 * S);
        reload();
        loaded(3, 'c');
        exited(2, 0);
        exited(3, 1); /* going back to 2, with 1 before it */
        trace[0] = '\0';
        rollback();
        expect("(resumed g2)");
        ready(4);
        later(1 * S);
        expect("(restored g2)");
}

static void test_after_a_rollback_that_failed_nothing_newer_is_left(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        settings.previous_keep_ns = 3600 * S;
        reload_to_second(&settings);
        ready(2);
        later(1 * S);
        rollback();
        exited(2, 0);
        assert_int_equal(view_of_fleet().left, 2);
        exited(3, 1); /* the one before does not run any more */
        ready(4);
        later(1 * S);
        assert_int_equal(view_of_fleet().stable, 2);
        assert_int_equal(view_of_fleet().left, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_emergency_replaces_all_at_once_and_keeps_no_old_value),
                cmocka_unit_test(test_an_emergency_does_not_wait_for_a_load_or_a_stop_under_way),
                cmocka_unit_test(test_a_stop_in_an_emergency_has_the_ordinary_time),
                cmocka_unit_test(test_rollback_returns_to_the_generation_before_while_it_is_kept),
                cmocka_unit_test(test_rollback_calls_off_a_rollout_and_a_load),
                cmocka_unit_test(test_what_was_left_is_refused_until_it_changes_or_is_forced),
                cmocka_unit_test(test_a_second_rollback_goes_forward_again),
                cmocka_unit_test(test_a_rollout_that_is_called_off_is_left_too),
                cmocka_unit_test(test_a_reload_during_a_rollback_does_not_undo_it),
                cmocka_unit_test(test_a_second_rollback_during_the_first_calls_it_off),
                cmocka_unit_test(test_a_rollback_that_fails_is_reverted_and_not_tried_again),
                cmocka_unit_test(test_a_rollback_to_the_same_content_is_not_undone),
                cmocka_unit_test(test_what_somebody_goes_back_to_is_forgiven),
                cmocka_unit_test(test_an_emergency_is_not_rolled_back),
                cmocka_unit_test(test_an_observer_sees_what_has_failed_and_since_when),
                cmocka_unit_test(test_with_nothing_to_go_back_to_a_load_goes_on),
                cmocka_unit_test(test_the_load_of_an_emergency_is_not_given_up),
                cmocka_unit_test(test_a_rollback_on_the_way_back_goes_no_further),
                cmocka_unit_test(test_after_a_rollback_that_failed_nothing_newer_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
