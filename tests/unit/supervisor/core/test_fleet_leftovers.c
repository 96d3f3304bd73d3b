/* What an instance leaves behind keeps its place until it is gone: rotations, restarts, the end. */

#include "tests/unit/fleet_script.h"

static void exited_with_leftovers(uint64_t instance, int32_t status) {
        tell((struct fleet_event){
                .kind = FLEET_EXITED, .instance = instance, .status = status, .has_leftovers = true});
}

static void cleared(uint64_t instance) {
        tell((struct fleet_event){.kind = FLEET_CLEARED, .instance = instance});
}

static void test_the_new_one_is_started_when_nothing_of_the_old_one_is_left(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1");
        exited_with_leftovers(1, 0);
        later(60 * S);
        expect("");
        cleared(1);
        expect("spawn 2 g2");
}

static void test_a_handoff_is_not_done_before_nothing_of_the_old_one_is_left(void **state) {
        struct fleet_settings settings = settings_handoff(1);
        (void)state;
        tells_steps = true;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        expect("load 2 (rollout g2) spawn 2 g2 stop 1");
        tells_steps = true;
        exited_with_leftovers(1, 0);
        expect("");
        cleared(1);
        expect("(stopped 1) (committed g2) drop g1");
}

static void test_a_crash_restart_waits_for_what_is_left(void **state) {
        struct fleet_settings settings = settings_handoff(1);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        later(100 * S);
        exited_with_leftovers(1, 1);
        expect("(failed 1 exited 1) (restart 1)");
        later(60 * S);
        expect("");
        cleared(1);
        expect("spawn 2 g1");
}

static void test_other_replicas_go_on_meanwhile(void **state) {
        struct fleet_settings settings = settings_handoff(2);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        later(100 * S);
        exited_with_leftovers(1, 1);
        trace[0] = '\0';
        exited(2, 1);
        expect("(failed 2 exited 1) (restart 2) spawn 3 g1@1");
}

static void test_the_fleet_ends_without_waiting_for_leftovers(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        exited_with_leftovers(1, 7);
        expect("(failed 1 exited 7) (ended 1 7) exit 7");
}

static void test_a_stop_does_not_wait_for_leftovers(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited_with_leftovers(1, 0);
        trace[0] = '\0';
        stop();
        expect("(stopping) exit 143"); /* nobody runs who could say more */
}

static void test_an_emergency_leaves_leftovers_no_more_time_than_an_instance(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited_with_leftovers(1, 0);
        trace[0] = '\0';
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(3, 'c');
        trace[0] = '\0';
        later(1 * S);
        expect("kill 1");
        later(60 * S);
        expect(""); /* said once: who ends them goes on by itself */
        cleared(1);
        expect("spawn 2 g3 sweep g3 drop g1");
}

/* Nobody is left whose end would have it searched for. */
static void test_an_emergency_has_everything_swept_that_former_ones_left(void **state) {
        struct fleet_settings settings = settings_handoff(1);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        later(100 * S);
        exited(1, 1);
        expect("(failed 1 exited 1) (restart 1) spawn 2 g1");
        spawn_fails(2, 125); /* its successor waits for its time */
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        trace[0] = '\0';
        loaded(2, 'b');
        expect("(rollout g2) spawn 3 g2 sweep g2 drop g1");
        swept(2);
        ready(3);
        later(1 * S);
        expect("(committed g2)");
}

static void test_an_emergency_is_not_done_before_it_is_swept(void **state) {
        struct fleet_settings settings = settings_handoff(1);
        (void)state;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1 spawn 2 g2");
        ready(2);
        later(1 * S);
        expect("(stop timeout 1) kill 1 sweep g2"); /* it cannot be waited for for ever */
        exited(1, 9);
        expect("drop g1");
        swept(1);
        later(60 * S);
        expect("");
        swept(2);
        expect("(committed g2)");
}

/* Its instances are of no emergency, but newer than it. */
static void test_what_supersedes_an_emergency_is_not_done_before_that_either(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        exited(1, 0);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 sweep g2 drop g1");
        reload();
        loaded(3, 'c');
        expect("load 3 (superseded g2) (rollout g3) stop 2");
        exited(2, 0);
        expect("spawn 3 g3 drop g2");
        ready(3);
        later(1 * S);
        expect("");
        swept(2);
        expect("(committed g3)");
}

static void test_a_hard_stop_kills_leftovers_as_well(void **state) {
        struct fleet_settings settings = settings_handoff(2);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        exited_with_leftovers(1, 1);
        trace[0] = '\0';
        stop_hard();
        expect("(stopping) kill 1 kill 2");
        exited(2, 137);
        expect("exit 1");
}

static void test_a_further_exit_and_an_unknown_clearing_change_nothing(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        cleared(1);
        cleared(99);
        expect("");
        reload();
        loaded(2, 'b');
        exited_with_leftovers(1, 0);
        trace[0] = '\0';
        exited(1, 0);
        later(1 * S);
        expect("");
        cleared(1);
        expect("spawn 2 g2");
}

static void test_it_is_shown_as_clearing(void **state) {
        struct fleet_settings settings = settings_restart();
        const struct fleet_instance *instance;
        struct fleet_cursor cursor = {0};
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited_with_leftovers(1, 0);
        instance = fleet_instance_next(&fleet, &cursor);
        assert_non_null(instance);
        assert_int_equal(instance->number, 1);
        assert_string_equal(instance_state_name(instance->state), "clearing");
}

static void test_a_way_back_that_leads_nowhere_is_no_success(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        exited(2, 0); /* reverted: the old one is started again */
        trace[0] = '\0';
        exited(3, 0);
        expect("(failed 3 exited) (ended 3 125) exit 125");
}

static void exited_detached(uint64_t instance, int32_t status) {
        tell((struct fleet_event){
                .kind = FLEET_EXITED, .instance = instance, .status = status, .is_detached = true});
}

static void begin_ready(const struct fleet_settings *settings) {
        fleet_begin(settings);
        start();
        loaded(1, 'a');
        ready(1);
        expect("load 1 spawn 1 g1");
}

static void test_an_end_in_the_background_is_no_success_before_it_is_available(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        begin_ready(&settings);
        exited_detached(1, 0);
        expect("(failed 1 went into the background 125) (ended 1 125) exit 125");
        settings.restart = FLEET_RESTART_ON_FAILURE;
        begin_ready(&settings);
        exited_detached(1, 0);
        expect("(failed 1 went into the background 125) (restart 1 later)");
}

static void test_what_was_available_may_leave_something_behind_unless_it_is_a_daemon(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        begin_ready(&settings);
        later(1 * S);
        expect("(started g1)");
        exited_detached(1, 0);
        expect("(failed 1 exited) (ended 1) exit 0");
        settings.is_daemon = true;
        begin_ready(&settings);
        later(1 * S);
        expect("(started g1)");
        exited_detached(1, 0);
        expect("(failed 1 went into the background 125) (ended 1 125) exit 125");
}

static void test_another_status_and_an_end_that_was_asked_for_stay_what_they_are(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        settings.is_daemon = true;
        begin_ready(&settings);
        exited_detached(1, 3);
        expect("(failed 1 exited 3) (ended 1 3) exit 3");
        begin_ready(&settings);
        stop();
        expect("(stopping) stop 1");
        exited_detached(1, 0);
        expect("exit 0");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_new_one_is_started_when_nothing_of_the_old_one_is_left),
                cmocka_unit_test(test_a_handoff_is_not_done_before_nothing_of_the_old_one_is_left),
                cmocka_unit_test(test_a_crash_restart_waits_for_what_is_left),
                cmocka_unit_test(test_other_replicas_go_on_meanwhile),
                cmocka_unit_test(test_the_fleet_ends_without_waiting_for_leftovers),
                cmocka_unit_test(test_a_stop_does_not_wait_for_leftovers),
                cmocka_unit_test(test_an_emergency_leaves_leftovers_no_more_time_than_an_instance),
                cmocka_unit_test(test_an_emergency_has_everything_swept_that_former_ones_left),
                cmocka_unit_test(test_an_emergency_is_not_done_before_it_is_swept),
                cmocka_unit_test(test_what_supersedes_an_emergency_is_not_done_before_that_either),
                cmocka_unit_test(test_a_hard_stop_kills_leftovers_as_well),
                cmocka_unit_test(test_a_further_exit_and_an_unknown_clearing_change_nothing),
                cmocka_unit_test(test_it_is_shown_as_clearing),
                cmocka_unit_test(test_a_way_back_that_leads_nowhere_is_no_success),
                cmocka_unit_test(test_an_end_in_the_background_is_no_success_before_it_is_available),
                cmocka_unit_test(test_what_was_available_may_leave_something_behind_unless_it_is_a_daemon),
                cmocka_unit_test(test_another_status_and_an_end_that_was_asked_for_stay_what_they_are),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
