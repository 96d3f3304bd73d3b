/* strategy = signal: an instance is told of new content and lives on with it, or dies of it. */

#include "tests/unit/fleet_script.h"

static struct fleet_settings settings_signal(uint32_t replicas) {
        struct fleet_settings settings = settings_restart();
        settings.replicas = replicas;
        settings.is_signalled = true;
        return settings;
}

static void test_a_new_generation_is_told_and_committed_when_all_live_on(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) signal 1 g2");
        assert_int_equal(wakes_in(), 1 * S);
        later(1 * S);
        expect("signal 2 g2");
        later(1 * S);
        expect("(committed g2) drop g1");
        assert_int_equal(wakes_in(), NS_FOREVER);
}

static void test_so_many_are_told_at_a_time_as_may_be_unavailable(void **state) {
        struct fleet_settings settings = settings_signal(4);
        (void)state;
        settings.unavailable_max = 3;
        settings.surge_max = 4; /* nothing runs beside anything */
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) signal 1 g2 signal 2 g2 signal 3 g2");
}

static void test_one_that_dies_of_the_news_is_restarted_with_the_old_content(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(1 * S);
        trace[0] = '\0';
        signalled(2, 1);
        expect("(failed 2 exited 129) (reverted g2 exited 129) spawn 3 g1@1");
        ready(3);
        later(1 * S);
        expect("signal 1 g1 drop g2"); /* it had read the new content */
        later(1 * S);
        expect("(restored g1)");
        reload();
        loaded(3, 'b');
        expect("load 3 (refused g3) drop g3");
}

static void test_one_that_is_restarted_later_has_the_new_generation(void **state) {
        struct fleet_settings settings = settings_signal(1);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(1 * S);
        expect("load 2 (rollout g2) signal 1 g2 (committed g2) drop g1");
        exited(1, 0);
        expect("(failed 1 exited) (restart 1) spawn 2 g2");
}

static void test_a_further_try_is_a_restart_with_the_new_content(void **state) {
        struct fleet_settings settings = settings_signal(1);
        (void)state;
        settings.failures_max = 1;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        trace[0] = '\0';
        signalled(1, 1);
        expect("(failed 1 exited 129) (retry 1) spawn 2 g2");
        exited(2, 1);
        expect("(failed 2 exited 1) (reverted g2 exited 1) spawn 3 g1 drop g2");
}

static void test_newer_content_is_told_to_those_that_were_told(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) signal 1 g2");
        reload();
        loaded(3, 'c');
        expect("load 3 (superseded g2) (rollout g3) signal 1 g3 drop g2");
        later(2 * S);
        expect("signal 2 g3 (committed g3) drop g1");
}

/* What it holds in its memory and environment it cannot give back. */
static void test_an_emergency_replaces_the_processes(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        fleet_up(&settings);
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 1 stop 2");
        exited(1, 0);
        expect("spawn 3 g2@0");
}

static void test_one_that_is_not_ready_yet_is_replaced(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        settings.restart = FLEET_RESTART_ALWAYS;
        fleet_up(&settings);
        later(1 * S);
        exited(2, 1);
        expect("(failed 2 exited 1) (restart 2) spawn 3 g1@1");
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) stop 3"); /* the other is the only one that serves */
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect("spawn 4 g2@1 signal 1 g2");
}

static void test_without_a_time_to_prove_itself_it_is_committed_at_once(void **state) {
        struct fleet_settings settings = settings_signal(1);
        (void)state;
        settings.healthy_min_ns = 0;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        expect("load 2 (rollout g2) signal 1 g2");
        later(1 * MS);
        expect("(committed g2) drop g1");
}

static void test_a_rollback_is_told_as_well(void **state) {
        struct fleet_settings settings = settings_signal(1);
        (void)state;
        settings.previous_keep_ns = 60 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(1 * S);
        trace[0] = '\0';
        rollback();
        later(1 * S);
        expect("(rollout g1) signal 1 g1 (committed g1)");
}

static void test_a_halted_fleet_tells_nobody(void **state) {
        struct fleet_settings settings = settings_signal(2);
        (void)state;
        settings.is_revert_off = true;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        later(1 * S);
        trace[0] = '\0';
        signalled(2, 1);
        expect("(failed 2 exited 129) (halted g2 exited 129) spawn 3 g1@1");
        ready(3);
        later(60 * S);
        expect("");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_generation_is_told_and_committed_when_all_live_on),
                cmocka_unit_test(test_so_many_are_told_at_a_time_as_may_be_unavailable),
                cmocka_unit_test(test_one_that_dies_of_the_news_is_restarted_with_the_old_content),
                cmocka_unit_test(test_one_that_is_restarted_later_has_the_new_generation),
                cmocka_unit_test(test_a_further_try_is_a_restart_with_the_new_content),
                cmocka_unit_test(test_newer_content_is_told_to_those_that_were_told),
                cmocka_unit_test(test_an_emergency_replaces_the_processes),
                cmocka_unit_test(test_one_that_is_not_ready_yet_is_replaced),
                cmocka_unit_test(test_without_a_time_to_prove_itself_it_is_committed_at_once),
                cmocka_unit_test(test_a_rollback_is_told_as_well),
                cmocka_unit_test(test_a_halted_fleet_tells_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
