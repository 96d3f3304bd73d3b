/* The time to finish before the stop signal: who gets it, and what cuts it short. And the reports of single
 * steps. */

#include "tests/unit/fleet_script.h"

static struct fleet_settings settings_drain(void) {
        struct fleet_settings settings = settings_restart();
        settings.drain_ns = 5 * S;
        return settings;
}

static void test_one_that_serves_drains_and_is_killed_after_both_times(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) drain-and-stop 1");
        later(14 * S);
        expect("");
        later(1 * S);
        expect("(stop timeout 1) kill 1");
}

static void test_one_that_does_not_serve_has_nothing_to_finish(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_begin(&settings);
        start();
        loaded(1, 'a');
        expect("load 1 spawn 1 g1");
        stop();
        expect("(stopping) stop 1");
        later(10 * S);
        expect("(stop timeout 1) kill 1");
}

static void test_one_that_is_unhealthy_has_nothing_to_finish(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        unhealthy(1);
        expect("(failed 1 unhealthy) (restart 1) stop 1");
}

static void test_a_stop_drains_and_an_impatient_one_does_not(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        stop();
        expect("(stopping) drain-and-stop 1");
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 2, .is_at_once = true});
        expect("(stopping) stop 1");
        later(10 * S);
        expect("(stop timeout 1) kill 1");
}

static void test_an_impatient_stop_ends_the_draining_of_a_rotation(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        trace[0] = '\0';
        later(1 * S);
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 2, .is_at_once = true});
        expect("(stopping) stop 1");
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 2, .is_at_once = true});
        expect("(stop again) stop 1");
        later(14 * S); /* the earlier deadline */
        expect("(stop timeout 1) kill 1");
}

static void test_a_patient_stop_lets_it_drain_on(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        trace[0] = '\0';
        stop();
        expect("(stopping)");
}

static void test_a_further_stop_ends_draining_and_moves_no_deadline(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        stop();
        expect("(stopping) drain-and-stop 1");
        later(1 * S);
        stop();
        expect("(stop again) stop 1");
        stop();
        expect("(stop again) stop 1");
        assert_int_equal(wakes_in(), 14 * S);
        later(14 * S);
        expect("(stop timeout 1) kill 1");
        stop();
        expect("(stop again)");
}

static void test_a_further_stop_at_the_deadline_is_a_kill(void **state) {
        struct fleet_settings settings = settings_restart();
        (void)state;
        fleet_up(&settings);
        stop();
        trace[0] = '\0';
        now_ns += 10 * S;
        stop();
        expect("(stop again) (stop timeout 1) kill 1");
}

static void test_an_emergency_does_not_drain(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1");
        later(1 * S);
        expect("(stop timeout 1) kill 1");
}

static void test_an_emergency_ends_the_draining_of_a_rotation(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        trace[0] = '\0';
        loaded(3, 'c');
        expect("(superseded g2) (rollout g3) stop 1 drop g2");
        later(1 * S);
        expect("(stop timeout 1) kill 1");
}

static void test_what_the_terminal_has_delivered_is_not_sent_again(void **state) {
        struct fleet_settings settings = settings_drain();
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 2, .is_delivered = true});
        expect("(stopping) stop 1 delivered");
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 2, .is_delivered = true});
        expect("(stop again)");
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 15});
        expect("(stop again) stop 1");
        signalled(1, 2);
        expect("exit 130");
}

static void test_every_step_of_a_rollout_is_told(void **state) {
        struct fleet_settings settings = settings_handoff(1);
        (void)state;
        settings.is_steered = true;
        settings.queue_timeout_ns = 1 * S;
        fleet_up(&settings);
        tells_steps = true;
        reload();
        loaded(2, 'b');
        ready(2);
        expect("load 2 (rollout g2) spawn 2 g2 (ready 2)");
        later(1 * S);
        expect("steer g2 (available 2) empty 1 g1");
        queue_empty(1);
        expect("(emptied 1) stop 1");
        exited(1, 0);
        expect("(stopped 1) (committed g2) drop g1");
        reload();
        loaded(3, 'c');
        ready(3);
        later(2 * S);
        expect("load 3 (rollout g3) spawn 3 g3 (ready 3) steer g3 (available 3) empty 2 g2 (queue timeout "
               "2) stop 2");
        exited(2, 0);
        exited(3, 0);
        expect("(stopped 2) (committed g3) drop g2 (failed 3 exited) (ended 3) exit 0");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_that_serves_drains_and_is_killed_after_both_times),
                cmocka_unit_test(test_one_that_does_not_serve_has_nothing_to_finish),
                cmocka_unit_test(test_one_that_is_unhealthy_has_nothing_to_finish),
                cmocka_unit_test(test_a_stop_drains_and_an_impatient_one_does_not),
                cmocka_unit_test(test_an_impatient_stop_ends_the_draining_of_a_rotation),
                cmocka_unit_test(test_a_patient_stop_lets_it_drain_on),
                cmocka_unit_test(test_a_further_stop_ends_draining_and_moves_no_deadline),
                cmocka_unit_test(test_a_further_stop_at_the_deadline_is_a_kill),
                cmocka_unit_test(test_an_emergency_does_not_drain),
                cmocka_unit_test(test_an_emergency_ends_the_draining_of_a_rotation),
                cmocka_unit_test(test_what_the_terminal_has_delivered_is_not_sent_again),
                cmocka_unit_test(test_every_step_of_a_rollout_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
