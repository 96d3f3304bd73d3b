/* The fleet with one replica, as it is wired: start, the end of the app, restart, stop, and events at the
 * wrong time. */

#include "tests/unit/fleet_script.h"

/* ---- start --------------------------------------------------------------------------------------------- */

static void test_start_loads_then_spawns_then_sleeps_for_ever(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        expect("load 1");
        loaded(1, 'a');
        expect("spawn 1 g1");
        ready(1);
        expect("");
        assert_int_equal(wakes_in(), 1 * S);
        later(1 * S);
        expect("(started g1)");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_without_a_source_the_given_generation_is_spawned_at_once(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        tell((struct fleet_event){.kind = FLEET_START, .has_generation = true, .generation = 0});
        expect("spawn 1 g0");
        start();
        expect("");
        exited(1, 0);
        expect("(failed 1 exited) (ended 1) exit 0");
}

static void test_a_first_load_that_fails_ends_with_its_status(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        load_fails(66);
        expect("load 1 (load failed 66 never) (gave up 66) (stopping) exit 66");
}

static void test_a_first_load_that_fails_is_tried_again_under_restart_always(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_limit = 2;
        fleet_begin(&settings);
        start();
        load_fails(66);
        expect("load 1 (load failed 66 later)");
        later(1 * S);
        expect("load 2");
        load_fails(66);
        expect("(load failed 66 later)");
        reload();
        expect("load 3");
        load_fails(66);
        expect("(load failed 66 never) (gave up 66) (stopping) exit 66");
}

static void test_bad_secrets_at_first_start_do_not_block_a_reload(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_begin(&settings);
        start();
        reload();
        load_fails(65);
        expect("load 1 (load failed 65) load 2");
        loaded(1, 'a');
        exited(1, 1);
        expect("spawn 1 g1 (failed 1 exited 1) (restart 1 later)");
        reload();
        loaded(2, 'b');
        expect("load 3 (superseded g1) (rollout g2) spawn 2 g2 drop g1");
        ready(2);
        later(1 * S);
        expect("(started g2)");
}

static void test_what_cannot_be_executed_at_first_ends_under_every_policy(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        spawn_fails(1, 127);
        expect("load 1 spawn 1 g1 (failed 1 could not be started 127) (gave up 127) (stopping) exit 127");
}

static void test_a_fork_refused_at_first_start_ends_with_its_own_code(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        spawn_fails(1, 125);
        expect("load 1 spawn 1 g1 (failed 1 could not be started 125) (ended 1 125) exit 125");
}

static void test_an_app_that_is_never_ready_is_stopped_and_fails(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        expect("load 1 spawn 1 g1");
        later(30 * S);
        expect("(failed 1 not ready in time) (ended 1) stop 1");
        exited(1, 0);
        expect("exit 125");
}

static void test_an_instance_may_ask_for_more_time_to_become_ready(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        trace[0] = '\0';
        later(29 * S);
        tell((struct fleet_event){.kind = FLEET_EXTEND, .instance = 1, .delay_ns = 20 * S});
        assert_int_equal(wakes_in(), 20 * S);
        tell((struct fleet_event){.kind = FLEET_EXTEND, .instance = 1, .delay_ns = 1 * S});
        assert_int_equal(wakes_in(), 20 * S);
        later(20 * S);
        expect("(failed 1 not ready in time) (ended 1) stop 1");
}

static void test_a_load_that_hangs_is_cancelled(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        later(20 * S);
        expect("load 2 cancel 2 (load failed 125 never)");
        loaded(2, 'b');
        expect("drop g2");
        loaded(2, 'b');
        expect("");
}

/* ---- the app ends by itself ---------------------------------------------------------------------------- */

static void test_without_restart_the_status_is_passed_on(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        exited(1, 3);
        expect("(failed 1 exited 3) (ended 1 3) exit 3");
        reload();
        stop();
        expect("");
        fleet_up(&settings);
        signalled(1, 9);
        expect("(failed 1 exited 137) (ended 1 137) exit 137");
}

static void test_on_failure_restarts_failures_only(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ON_FAILURE;
        fleet_up(&settings);
        exited(1, 1);
        expect("(failed 1 exited 1) (restart 1) spawn 2 g1");
        ready(2);
        signalled(2, 15);
        expect("(failed 2 exited 143) (restart 2 later)");
        later(1 * S);
        expect("spawn 3 g1");
        exited(3, 0);
        expect("(failed 3 exited) (ended 3) exit 0");
}

static void test_an_app_that_had_been_up_is_restarted_at_once_without_a_load(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        later(5 * S);
        exited(1, 0);
        expect("(failed 1 exited) (restart 1) spawn 2 g1");
}

/* The delay that a crash at once gets, in ms, for the nth in a row. */
static int64_t crash_delay_ms(uint64_t instance) {
        exited(instance, 1);
        const int64_t delay_ns = actions.list[1].delay_ns;
        assert_int_equal(actions.list[1].report, FLEET_REPORT_RESTART);
        assert_int_equal(wakes_in(), delay_ns);
        later(delay_ns);
        return delay_ns / MS;
}

static void test_the_delay_doubles_is_capped_jittered_and_starts_anew(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_delay_max_ns = 1 * S;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        int64_t nominal_ms = 100;
        int64_t least_ms = INT64_MAX;
        int64_t most_ms = 0;
        for (uint64_t instance = 1; instance <= 20; instance++) {
                const int64_t delay_ms = crash_delay_ms(instance);
                assert_in_range(delay_ms, nominal_ms * 87 / 100, nominal_ms * 1125 / 1000);
                if (nominal_ms == 1000) {
                        least_ms = delay_ms < least_ms ? delay_ms : least_ms;
                        most_ms = delay_ms > most_ms ? delay_ms : most_ms;
                }
                nominal_ms = nominal_ms * 2 > 1000 ? 1000 : nominal_ms * 2;
        }
        assert_true(most_ms - least_ms > 50);
        ready(21);
        later(60 * S);
        exited(21, 1);
        assert_in_range(crash_delay_ms(22), 2 * 87, 225);
}

static void test_the_delay_is_counted_from_start_to_start(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_delay_ns = 10 * S;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        later(4 * S);
        exited(1, 1);
        assert_in_range(wakes_in(), 8 * S + 749 * MS - 4 * S, 11 * S + 251 * MS - 4 * S);
}

static void test_after_too_many_restarts_in_a_row_the_status_is_passed_on(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_limit = 3;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        for (uint64_t instance = 1; instance <= 3; instance++)
                crash_delay_ms(instance);
        trace[0] = '\0';
        exited(4, 7);
        expect("(failed 4 exited 7) (gave up 7) (stopping) exit 7");
}

static void test_a_start_that_fails_later_is_tried_again_under_every_policy(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        exited(2, 1);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2 (failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 "
               "drop g2");
        spawn_fails(3, 127);
        expect("(failed 3 could not be started 127) (restart 3 later)");
        later(1 * S);
        expect("spawn 4 g1");
}

static void test_an_unhealthy_app_is_restarted_where_the_policy_says_so(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        unhealthy(1);
        unhealthy(1);
        expect("(unhealthy 1)");
        settings.restart = FLEET_RESTART_ON_FAILURE;
        fleet_up(&settings);
        unhealthy(1);
        expect("(failed 1 unhealthy) (restart 1) stop 1");
        exited(1, 0);
        expect("spawn 2 g1");
}

/* ---- stop ---------------------------------------------------------------------------------------------- */

static void test_stop_before_anything_ran_exits_with_the_signal(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        start();
        stop();
        expect("load 1 cancel 1 (stopping) exit 143");
        loaded(1, 'a');
        expect("");
}

static void test_stop_passes_on_the_status_of_the_app(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        stop();
        expect("(stopping) stop 1");
        exited(1, 0);
        expect("exit 0");
        fleet_up(&settings);
        stop();
        signalled(1, 15);
        expect("(stopping) stop 1 exit 143");
}

static void test_stop_wins_while_a_reload_is_under_way(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        reload();
        stop();
        expect("load 2 (rollout g2) stop 1 load 3 cancel 3 (stopping)");
        later(1 * S);
        exited(1, 5);
        expect("exit 5");
        reload_to_second(&settings);
        stop();
        expect("(stopping) stop 2");
        reload();
        exited(2, 1);
        expect("exit 1");
}

static void test_stop_wins_while_waiting_to_restart(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.restart = FLEET_RESTART_ALWAYS;
        settings.restart_delay_ns = 10 * S;
        fleet_up(&settings);
        exited(1, 9);
        stop();
        expect("(failed 1 exited 9) (restart 1 later) (stopping) exit 9");
}

static void test_a_second_stop_moves_no_clock(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        stop();
        later(6 * S);
        stop();
        expect("(stopping) stop 1 (stop again) stop 1");
        assert_int_equal(wakes_in(), 4 * S);
        later(4 * S);
        expect("(stop timeout 1) kill 1");
        stop();
        expect("(stop again)");
        signalled(1, 9);
        expect("exit 137");
}

static void test_a_hard_stop_kills_at_once(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        stop_hard();
        expect("(stopping) kill 1");
        fleet_up(&settings);
        stop();
        stop_hard();
        stop_hard();
        expect("(stopping) stop 1 (stop again) kill 1 (stop again)");
        signalled(1, 9);
        expect("exit 137");
}

static void test_stop_ends_the_wait_for_an_app_that_was_stopped_already(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(6 * S);
        stop();
        expect("load 2 (rollout g2) stop 1 (stopping)");
        assert_int_equal(wakes_in(), 4 * S);
}

/* ---- what comes at the wrong time ---------------------------------------------------------------------- */

static void test_events_about_what_is_gone_change_nothing(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        const struct fleet before = fleet;
        ready(1);
        unhealthy(1);
        exited(1, 1);
        spawn_fails(1, 127);
        load_fails(65);
        queue_empty(1);
        ready(99);
        expect("");
        assert_memory_equal(&before, &fleet, sizeof fleet);
}

static void test_a_clock_that_goes_back_is_taken_as_standing_still(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        reload_to_second(&settings);
        now_ns -= 500 * S;
        ready(2);
        now_ns += 500 * S;
        assert_int_equal(wakes_in(), 1 * S);
}

static void test_nothing_but_stop_is_heard_before_start(void **state) {
        (void)state;
        const struct fleet_settings settings = settings_restart();
        fleet_begin(&settings);
        reload();
        rollback();
        expect("(no previous)");
        stop();
        expect("(stopping) exit 143");
}

static void test_settings_that_make_no_sense_are_clamped(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.replicas = 0;
        settings.unavailable_max = 0;
        settings.restart_delay_ns = 0;
        settings.restart_delay_max_ns = 0;
        fleet_begin(&settings);
        assert_int_equal(fleet.settings.replicas, 1);
        assert_int_equal(fleet.settings.unavailable_max, 1);
        assert_int_equal(fleet.settings.restart_delay_ns, 10 * MS);
        assert_int_equal(fleet.settings.restart_delay_max_ns, 10 * MS);
        settings.replicas = 1000;
        settings.surge_max = 1000;
        fleet_begin(&settings);
        assert_int_equal(fleet.settings.replicas, FLEET_REPLICAS_MAX);
        assert_int_equal(fleet.settings.surge_max, FLEET_REPLICAS_MAX);
}

static void test_endless_times_never_wake(void **state) {
        (void)state;
        struct fleet_settings settings = settings_restart();
        settings.stop_timeout_ns = NS_FOREVER;
        settings.ready_timeout_ns = 0;
        settings.load_timeout_ns = 0;
        fleet_begin(&settings);
        start();
        assert_int_equal(wakes_in(), NS_FOREVER);
        loaded(1, 'a');
        assert_int_equal(wakes_in(), NS_FOREVER);
        stop();
        assert_int_equal(wakes_in(), NS_FOREVER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start_loads_then_spawns_then_sleeps_for_ever),
                cmocka_unit_test(test_without_a_source_the_given_generation_is_spawned_at_once),
                cmocka_unit_test(test_a_first_load_that_fails_ends_with_its_status),
                cmocka_unit_test(test_a_first_load_that_fails_is_tried_again_under_restart_always),
                cmocka_unit_test(test_bad_secrets_at_first_start_do_not_block_a_reload),
                cmocka_unit_test(test_what_cannot_be_executed_at_first_ends_under_every_policy),
                cmocka_unit_test(test_a_fork_refused_at_first_start_ends_with_its_own_code),
                cmocka_unit_test(test_an_app_that_is_never_ready_is_stopped_and_fails),
                cmocka_unit_test(test_an_instance_may_ask_for_more_time_to_become_ready),
                cmocka_unit_test(test_a_load_that_hangs_is_cancelled),
                cmocka_unit_test(test_without_restart_the_status_is_passed_on),
                cmocka_unit_test(test_on_failure_restarts_failures_only),
                cmocka_unit_test(test_an_app_that_had_been_up_is_restarted_at_once_without_a_load),
                cmocka_unit_test(test_the_delay_doubles_is_capped_jittered_and_starts_anew),
                cmocka_unit_test(test_the_delay_is_counted_from_start_to_start),
                cmocka_unit_test(test_after_too_many_restarts_in_a_row_the_status_is_passed_on),
                cmocka_unit_test(test_a_start_that_fails_later_is_tried_again_under_every_policy),
                cmocka_unit_test(test_an_unhealthy_app_is_restarted_where_the_policy_says_so),
                cmocka_unit_test(test_stop_before_anything_ran_exits_with_the_signal),
                cmocka_unit_test(test_stop_passes_on_the_status_of_the_app),
                cmocka_unit_test(test_stop_wins_while_a_reload_is_under_way),
                cmocka_unit_test(test_stop_wins_while_waiting_to_restart),
                cmocka_unit_test(test_a_second_stop_moves_no_clock),
                cmocka_unit_test(test_a_hard_stop_kills_at_once),
                cmocka_unit_test(test_stop_ends_the_wait_for_an_app_that_was_stopped_already),
                cmocka_unit_test(test_events_about_what_is_gone_change_nothing),
                cmocka_unit_test(test_a_clock_that_goes_back_is_taken_as_standing_still),
                cmocka_unit_test(test_nothing_but_stop_is_heard_before_start),
                cmocka_unit_test(test_settings_that_make_no_sense_are_clamped),
                cmocka_unit_test(test_endless_times_never_wake),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
