/* The fleet with one replica, as it is wired: reload by stop and start, and the way back from what fails. */

#include "tests/unit/fleet_script.h"

/* ---- reload -------------------------------------------------------------------------------------------- */

static void test_an_equal_digest_restarts_nothing(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'a');
        expect("load 2 (unchanged g1) drop g2");
        assert_int_equal(wakes_in(), NS_FOREVER);
        force();
        loaded(3, 'a');
        expect("load 3 (rollout g3) stop 1");
}

static void test_new_secrets_stop_the_old_start_the_new_and_drop_the_old(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1");
        assert_int_equal(wakes_in(), 10 * S);
        signalled(1, 15);
        expect("spawn 2 g2");
        ready(2);
        expect("");
        later(1 * S);
        expect("(committed g2) drop g1");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_a_failed_load_touches_nothing(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        load_fails(65);
        expect("load 2 (load failed 65 never)");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_an_old_app_that_ignores_the_stop_signal_is_killed(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        trace[0] = '\0';
        later(10 * S - 1);
        expect("");
        later(1);
        expect("(stop timeout 1) kill 1");
        later(10 * S);
        expect("(stuck 1) kill 1");
        signalled(1, 9);
        expect("spawn 2 g2");
}

static void test_a_hundred_reloads_in_one_load_are_one_more_load(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        for (int i = 0; i < 100; i++)
                reload();
        expect("load 2");
        loaded(2, 'b');
        expect("(rollout g2) load 3 stop 1");
        loaded(3, 'c');
        expect("(superseded g2) (rollout g3) drop g2");
        exited(1, 0);
        expect("spawn 2 g3");
}

static void test_a_newer_bundle_replaces_one_that_is_still_starting(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        reload();
        loaded(3, 'c');
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 load 3 (superseded g2) (rollout g3) stop 2");
        exited(2, 0);
        expect("spawn 3 g3 drop g2");
        exited(3, 1);
        expect("(failed 3 exited 1) (reverted g3 exited 1) spawn 4 g1 drop g3");
}

static void test_the_old_content_again_calls_the_rollout_off(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        reload();
        loaded(3, 'a');
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 load 3 (cancelled g2) drop g3 stop 2");
        exited(2, 0);
        expect("spawn 3 g1 drop g2");
        ready(3);
        later(1 * S);
        expect("(restored g1)");
        reload();
        loaded(4, 'b');
        expect("load 4 (rollout g4) stop 3");
}

static void test_a_crash_while_a_load_runs_restarts_the_old_generation(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        exited(1, 1);
        expect("load 2 (failed 1 exited 1) (restart 1) spawn 2 g1");
        loaded(2, 'b');
        expect("(rollout g2) stop 2");
}

static void test_a_new_generation_does_not_wait_for_the_failures_of_the_old(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_delay_ns = 10 * S;
        fleet_up(&settings);
        exited(1, 1);
        reload();
        loaded(2, 'b');
        expect("(failed 1 exited 1) (restart 1 later) load 2 (rollout g2) spawn 2 g2");
}

/* ---- revert -------------------------------------------------------------------------------------------- */

static void test_a_new_instance_that_exits_brings_the_old_generation_back(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        exited(2, 1);
        expect("(failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 drop g2");
        ready(3);
        later(1 * S);
        expect("(restored g1)");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_a_new_instance_that_dies_soon_after_ready_is_reverted(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        ready(2);
        later(1 * S - 1);
        exited(2, 0);
        expect("(failed 2 exited) (reverted g2 exited) spawn 3 g1 drop g2");
}

static void test_a_new_instance_that_hangs_or_is_unhealthy_is_reverted(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        later(30 * S);
        expect("(failed 2 not ready in time) (reverted g2 not ready in time) stop 2");
        exited(2, 0);
        expect("spawn 3 g1 drop g2");
        reload_to_second(&settings);
        ready(2);
        unhealthy(2);
        expect("(failed 2 unhealthy) (reverted g2 unhealthy) stop 2");
}

static void test_after_commit_a_crash_is_a_crash(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        reload_to_second(&settings);
        ready(2);
        later(1 * S);
        expect("(committed g2) drop g1");
        exited(2, 1);
        expect("(failed 2 exited 1) (restart 2) spawn 3 g2");
}

static void test_rejected_content_is_refused_until_forced_or_changed(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        exited(2, 1);
        ready(3);
        later(1 * S);
        trace[0] = '\0';
        reload();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
        force();
        loaded(4, 'b');
        expect("load 4 (rollout g4) stop 3");
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect("spawn 4 g4 (committed g4) drop g1");
        reload();
        loaded(5, 'c');
        exited(4, 0);
        reload();
        loaded(6, 'b');
        expect("load 5 (rollout g5) stop 4 spawn 5 g5 load 6 (cancelled g5) drop g6 stop 5");
}

static void test_the_memory_of_rejected_content_is_bounded(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        uint64_t instance = 1;
        uint64_t generation = 1;
        for (int content = 'b'; content <= 'b' + FLEET_REJECTED_MAX; content++) {
                reload();
                loaded(++generation, (char)content);
                exited(instance, 0);
                exited(instance + 1, 1);
                instance += 2;
                ready(instance);
                later(1 * S);
        }
        trace[0] = '\0';
        reload();
        loaded(++generation, 'c');
        expect("load 11 (refused g11) drop g11");
        reload();
        loaded(++generation, 'b');
        expect("load 12 (rollout g12) stop 19");
}

static void test_allowed_failures_are_tried_again_with_a_delay(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.failures_max = 2;
        reload_to_second(&settings);
        exited(2, 1);
        expect("(failed 2 exited 1) (retry 2 later)");
        later(1 * S);
        expect("spawn 3 g2");
        exited(3, 1);
        expect("(failed 3 exited 1) (retry 3) spawn 4 g2");
        exited(4, 1);
        expect("(failed 4 exited 1) (reverted g2 exited 1) spawn 5 g1 drop g2");
}

static void test_what_cannot_be_executed_is_not_tried_twice(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.failures_max = 5;
        reload_to_second(&settings);
        spawn_fails(2, 126);
        expect("(failed 2 could not be started 126) (reverted g2 could not be started 126) spawn 3 g1 drop "
               "g2");
}

static void test_a_fork_that_is_refused_is_not_the_fault_of_the_secrets(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        spawn_fails(2, 125);
        ready(3);
        later(1 * S);
        trace[0] = '\0';
        reload();
        loaded(3, 'b');
        expect("load 3 (rollout g3) stop 3");
}

static void test_when_the_old_generation_fails_too_the_policy_decides(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        exited(2, 1);
        exited(3, 4);
        expect("(failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 drop g2 (failed 3 exited 4) (ended 3 "
               "4) exit 4");
        settings.restart = FLEET_RESTART_ALWAYS;
        reload_to_second(&settings);
        exited(2, 1);
        exited(3, 4);
        expect("(failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 drop g2 (failed 3 exited 4) (restart 3 "
               "later)");
}

static void test_with_revert_off_nothing_is_left_to_halt_for(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.is_revert_off = true;
        reload_to_second(&settings);
        exited(2, 1);
        expect("(failed 2 exited 1) (halted g2 exited 1) spawn 3 g1 (cancelled g2) drop g2");
}

static void test_a_rollout_that_takes_too_long_is_reverted(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.progress_timeout_ns = 5 * S;
        reload_to_second(&settings);
        later(5 * S - 1);
        expect("");
        later(1);
        expect("(reverted g2 rollout too slow) stop 2");
}

static void test_that_nothing_has_changed_is_quiet_when_nobody_waits_for_it(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload_quietly();
        loaded(2, 'a');
        expect("load 2 (unchanged g1 quietly) drop g2");
        reload();
        loaded(3, 'a');
        expect("load 3 (unchanged g1) drop g3");
}

static void test_one_of_many_who_waits_makes_a_load_loud(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload_quietly();
        reload_quietly();
        reload();
        reload_quietly();
        loaded(2, 'a');
        expect("load 2 (unchanged g1 quietly) drop g2 load 3");
        loaded(3, 'a');
        expect("(unchanged g1) drop g3");
        reload();
        reload_quietly();
        loaded(4, 'a');
        expect("load 4 (unchanged g1) drop g4 load 5");
        loaded(5, 'a');
        expect("(unchanged g1 quietly) drop g5");
}

static void test_a_quiet_emergency_answers_those_whose_load_it_ends(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true, .is_quiet = true});
        loaded(2, 'a');
        expect("load 2 cancel 2 load 3 (unchanged g1) drop g2");
}

static void test_what_a_rollback_has_called_off_makes_nothing_loud(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_handoff(1);
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        reload_quietly();
        reload();
        rollback();
        expect("load 2 (rollout g2) spawn 2 g2 load 3 (load cancelled) cancel 3 (cancelled g2) stop 2");
        reload_quietly();
        loaded(3, 'a');
        expect("load 4 (unchanged g1 quietly) drop g3");
}

static void test_what_is_refused_is_said_although_nobody_waits(void **state) {
        const struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        exited(2, 1);
        ready(3);
        later(1 * S);
        trace[0] = '\0';
        reload_quietly();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_equal_digest_restarts_nothing),
                cmocka_unit_test(test_new_secrets_stop_the_old_start_the_new_and_drop_the_old),
                cmocka_unit_test(test_a_failed_load_touches_nothing),
                cmocka_unit_test(test_an_old_app_that_ignores_the_stop_signal_is_killed),
                cmocka_unit_test(test_a_hundred_reloads_in_one_load_are_one_more_load),
                cmocka_unit_test(test_a_newer_bundle_replaces_one_that_is_still_starting),
                cmocka_unit_test(test_the_old_content_again_calls_the_rollout_off),
                cmocka_unit_test(test_a_crash_while_a_load_runs_restarts_the_old_generation),
                cmocka_unit_test(test_a_new_generation_does_not_wait_for_the_failures_of_the_old),
                cmocka_unit_test(test_a_new_instance_that_exits_brings_the_old_generation_back),
                cmocka_unit_test(test_a_new_instance_that_dies_soon_after_ready_is_reverted),
                cmocka_unit_test(test_a_new_instance_that_hangs_or_is_unhealthy_is_reverted),
                cmocka_unit_test(test_after_commit_a_crash_is_a_crash),
                cmocka_unit_test(test_rejected_content_is_refused_until_forced_or_changed),
                cmocka_unit_test(test_the_memory_of_rejected_content_is_bounded),
                cmocka_unit_test(test_allowed_failures_are_tried_again_with_a_delay),
                cmocka_unit_test(test_what_cannot_be_executed_is_not_tried_twice),
                cmocka_unit_test(test_a_fork_that_is_refused_is_not_the_fault_of_the_secrets),
                cmocka_unit_test(test_when_the_old_generation_fails_too_the_policy_decides),
                cmocka_unit_test(test_with_revert_off_nothing_is_left_to_halt_for),
                cmocka_unit_test(test_a_rollout_that_takes_too_long_is_reverted),
                cmocka_unit_test(test_that_nothing_has_changed_is_quiet_when_nobody_waits_for_it),
                cmocka_unit_test(test_one_of_many_who_waits_makes_a_load_loud),
                cmocka_unit_test(test_a_quiet_emergency_answers_those_whose_load_it_ends),
                cmocka_unit_test(test_what_a_rollback_has_called_off_makes_nothing_loud),
                cmocka_unit_test(test_what_is_refused_is_said_although_nobody_waits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
