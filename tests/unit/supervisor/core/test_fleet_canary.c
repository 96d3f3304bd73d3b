/* A canary: the first instance of a new generation gets a small share of the clients for a while, and nothing
 * else moves. */

#include "tests/unit/fleet_script.h"

static struct fleet_settings settings_canary(uint32_t replicas) {
        struct fleet_settings settings = settings_handoff(replicas);
        settings.is_steered = true;
        settings.canary_percent = 10;
        settings.canary_ns = 30 * S;
        return settings;
}

/* Generation 2 has its first instance, number replicas + 1, available in slot 0. */
static void canary_up(const struct fleet_settings *settings) {
        fleet_up(settings);
        reload();
        loaded(2, 'b');
        ready(settings->replicas + 1);
        trace[0] = '\0';
        later(settings->healthy_min_ns);
}

static void test_a_canary_gets_its_share_and_the_rest_follows_when_its_time_is_over(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        canary_up(&settings);
        expect("steer g1@0:90 g1@1:90 g2@0:20 (canary 3 later)");
        assert_int_equal(wakes_in(), 30 * S);
        later(29 * S);
        expect("");
        later(1 * S);
        expect("steer g2@0 g1@1 (canary passed g2) stop 1");
        exited(1, 0);
        expect("spawn 4 g2@1");
        ready(4);
        later(1 * S);
        exited(2, 0);
        expect("steer g2@0 g2@1 stop 2 (committed g2) drop g1");
}

/* Of a hundred new connections exactly so many, whatever the number of replicas. */
static void test_the_share_of_a_canary_is_exact(void **state) {
        static const uint32_t percents[] = {1, 10, 33, 99};
        (void)state;
        static const uint32_t counts[] = {1, 3, 32};
        for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++)
                for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
                        struct fleet_settings settings = settings_canary(counts[k]);
                        settings.canary_percent = percents[i];
                        canary_up(&settings);
                        const struct fleet_share *shares = fleet.shares, *canary = &shares[counts[k]];
                        uint32_t all = 0;
                        assert_int_equal(fleet.share_count, counts[k] + 1);
                        for (size_t share = 0; share < fleet.share_count; share++)
                                all += shares[share].weight;
                        for (size_t share = 1; share < counts[k]; share++)
                                assert_int_equal(shares[share].weight, shares[0].weight);
                        assert_int_equal(canary->generation, 2);
                        assert_int_equal(canary->slot, 0);
                        assert_int_equal(canary->weight * 100, all * percents[i]);
                }
}

static void test_a_canary_that_fails_ends_the_rollout_whatever_failures_are_allowed(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        settings.failures_max = 5;
        canary_up(&settings);
        trace[0] = '\0';
        later(10 * S);
        exited(3, 1);
        expect("steer g1@0 g1@1 (failed 3 exited 1) (reverted g2 exited 1) (restored g1) drop g2");
}

static void test_an_unhealthy_canary_ends_the_rollout(void **state) {
        struct fleet_settings settings = settings_canary(1);
        (void)state;
        settings.failures_max = 5;
        canary_up(&settings);
        expect("steer g1:90 g2:10 (canary 2 later)");
        unhealthy(2);
        expect("steer g1 (failed 2 unhealthy) (reverted g2 unhealthy) stop 2");
}

/* Until there is a canary the allowed failures count as in any rollout, and one slot tries at a time. */
static void test_before_the_canary_is_there_one_slot_tries_at_a_time(void **state) {
        struct fleet_settings settings = settings_canary(4);
        (void)state;
        settings.surge_max = 3;
        settings.failures_max = 1;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) spawn 5 g2@0");
        exited(5, 1);
        expect("(failed 5 exited 1) (retry 5 later) spawn 6 g2@1");
        ready(6);
        later(1 * S);
        expect("steer g1@0:90 g1@1:90 g1@2:90 g1@3:90 g2@1:40 (canary 6 later)");
        later(30 * S);
        expect("steer g1@0 g2@1 g1@2 g1@3 (canary passed g2) spawn 7 g2@0 stop 2 spawn 8 g2@2");
}

static void test_an_old_one_that_crashes_beside_the_canary_comes_back(void **state) {
        struct fleet_settings settings = settings_canary(1);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        canary_up(&settings);
        trace[0] = '\0';
        later(5 * S);
        exited(1, 1);
        expect("steer g2 (failed 1 exited 1) (restart 1) spawn 3 g1");
        ready(3);
        expect("steer g1:90 g2:10");
}

static void test_another_slot_that_crashes_during_the_canary_is_filled_with_what_works(void **state) {
        struct fleet_settings settings = settings_canary(3);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        canary_up(&settings);
        trace[0] = '\0';
        later(5 * S);
        exited(2, 1);
        expect("steer g1@0:90 g1@2:90 g2@0:20 (failed 2 exited 1) (restart 2) spawn 5 g1@1");
}

/* The proof is the time under clients: it is not cut short because the old one is gone. */
static void test_a_canary_that_is_alone_serves_its_time(void **state) {
        struct fleet_settings settings = settings_canary(1);
        (void)state;
        canary_up(&settings);
        trace[0] = '\0';
        exited(1, 0);
        expect("steer g2 (failed 1 exited) spawn 3 g1");
        exited(3, 0);
        later(29 * S);
        assert_null(strstr(trace, "committed"));
        later(1 * S);
        assert_non_null(strstr(trace, "(canary passed g2)"));
}

static void test_an_emergency_has_no_canary(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        expect("load 2 steer g2@0 (rollout g2) stop 1 stop 2 spawn 3 g2@0");
        exited(1, 0);
        ready(3);
        later(1 * S);
        assert_null(strstr(trace, "canary"));
}

static void test_a_newer_generation_has_a_canary_of_its_own(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        canary_up(&settings);
        trace[0] = '\0';
        reload();
        loaded(3, 'c');
        expect("load 3 steer g1@0 g1@1 (superseded g2) (rollout g3) stop 3");
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect("spawn 4 g3@0 drop g2 steer g1@0:90 g1@1:90 g3@0:20 (canary 4 later)");
}

static void test_a_fleet_that_is_not_steered_has_no_canary(void **state) {
        struct fleet_settings settings = settings_canary(1);
        (void)state;
        settings.is_steered = false;
        canary_up(&settings);
        expect("stop 1");
}

static void test_with_revert_off_a_failed_canary_halts(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        settings.is_revert_off = true;
        canary_up(&settings);
        trace[0] = '\0';
        exited(3, 1);
        expect("steer g1@0 g1@1 (failed 3 exited 1) (halted g2 exited 1) (cancelled g2) (restored g1) drop "
               "g2");
}

static void test_halted_for_being_slow_a_canary_serves_as_its_slot_does(void **state) {
        struct fleet_settings settings = settings_canary(2);
        (void)state;
        settings.is_revert_off = true;
        settings.progress_timeout_ns = 10 * S;
        canary_up(&settings);
        trace[0] = '\0';
        later(9 * S);
        expect("steer g2@0 g1@1 (halted g2 rollout too slow) stop 1");
        exited(1, 0);
        later(60 * S);
        expect("");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_canary_gets_its_share_and_the_rest_follows_when_its_time_is_over),
                cmocka_unit_test(test_the_share_of_a_canary_is_exact),
                cmocka_unit_test(test_a_canary_that_fails_ends_the_rollout_whatever_failures_are_allowed),
                cmocka_unit_test(test_an_unhealthy_canary_ends_the_rollout),
                cmocka_unit_test(test_before_the_canary_is_there_one_slot_tries_at_a_time),
                cmocka_unit_test(test_an_old_one_that_crashes_beside_the_canary_comes_back),
                cmocka_unit_test(test_another_slot_that_crashes_during_the_canary_is_filled_with_what_works),
                cmocka_unit_test(test_a_canary_that_is_alone_serves_its_time),
                cmocka_unit_test(test_an_emergency_has_no_canary),
                cmocka_unit_test(test_a_newer_generation_has_a_canary_of_its_own),
                cmocka_unit_test(test_a_fleet_that_is_not_steered_has_no_canary),
                cmocka_unit_test(test_with_revert_off_a_failed_canary_halts),
                cmocka_unit_test(test_halted_for_being_slow_a_canary_serves_as_its_slot_does),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
