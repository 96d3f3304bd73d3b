/* What a request to rotate is answered with: the real core is driven, and tickets listen to what it
 * reports. */

#include "supervisor/control/ticket.h"

#define TICKETS 3

static struct control_ticket tickets[TICKETS];
static enum control_result results[TICKETS];
static unsigned ticket_count;

/* As the supervisor does: the whole step first, then its reports are heard. */
static void step_and_hear(
        struct fleet *stepped, const struct fleet_event *event, struct fleet_actions *said) {
        fleet_step(stepped, event, said);
        for (size_t i = 0; i < said->count; i++)
                for (unsigned k = 0; k < ticket_count && said->list[i].kind == FLEET_DO_REPORT; k++)
                        if (results[k] == CONTROL_PENDING)
                                results[k] = control_ticket_hear(&tickets[k], stepped, &said->list[i]);
}
#define fleet_step step_and_hear
#include "tests/unit/fleet_script.h"

static void ask(bool is_forced) {
        results[ticket_count] = CONTROL_PENDING;
        tickets[ticket_count] = control_ticket_take(&fleet);
        ticket_count++;
        if (is_forced)
                force();
        else
                reload();
}

static void ask_in_an_emergency(void) {
        results[ticket_count] = CONTROL_PENDING;
        tickets[ticket_count] = control_ticket_take(&fleet);
        ticket_count++;
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_emergency = true});
}

static void expect_result(unsigned ticket, const char *name) {
        assert_string_equal(control_result_name(results[ticket]), name);
}

/* Generation 1 of content 'a' is up. */
static void begin(void) {
        const struct fleet_settings settings = settings_restart();

        ticket_count = 0;
        fleet_up(&settings);
}

static void test_a_commit_is_told(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        expect_result(0, "pending");
        later(1 * S);
        expect_result(0, "committed");
        assert_int_equal(tickets[0].generation, 2);
}

static void test_the_same_content_is_told(void **state) {
        (void)state;
        begin();
        ask(false);
        expect_result(0, "pending");
        loaded(2, 'a');
        expect_result(0, "unchanged");
        ticket_count = 0;
        ask(true);
        loaded(3, 'a');
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect_result(0, "committed");
}

static void test_a_failed_load_is_told(void **state) {
        (void)state;
        begin();
        ask(false);
        load_fails(65);
        expect_result(0, "load_failed");
}

static void test_a_load_that_takes_too_long_is_a_failed_one(void **state) {
        (void)state;
        begin();
        ask(false);
        later(21 * S);
        expect_result(0, "load_failed");
}

static void test_a_failure_is_told_when_the_old_one_is_back(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        exited(2, 3);
        expect_result(0, "pending");
        later(1 * S);
        ready(3);
        later(1 * S);
        expect_result(0, "reverted");
        ticket_count = 0;
        ask(false);
        loaded(3, 'b');
        expect_result(0, "refused");
}

static void test_what_a_newer_request_overtakes_is_told(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        ask(false);
        loaded(3, 'c');
        expect_result(0, "superseded");
        expect_result(1, "pending");
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect_result(1, "committed");
}

static void test_requests_during_a_load_share_the_next_one(void **state) {
        (void)state;
        begin();
        ask(false);
        ask(false);
        ask(false);
        assert_int_equal(tickets[1].load, tickets[2].load);
        load_fails(65);
        expect_result(0, "load_failed");
        expect_result(1, "pending");
        loaded(2, 'a');
        expect_result(1, "unchanged");
        expect_result(2, "unchanged");
}

static void test_the_content_of_a_rollout_that_runs_shares_its_fate(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        ask(false);
        loaded(3, 'b');
        expect_result(1, "pending");
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect_result(0, "committed");
        expect_result(1, "committed");
}

static void test_the_content_from_before_calls_a_rollout_off(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        ask(false);
        loaded(3, 'a');
        expect_result(0, "superseded");
        expect_result(1, "pending");
        exited(2, 0);
        ready(3);
        later(1 * S);
        expect_result(1, "unchanged");
}

static void test_a_stop_is_told_to_all(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        ask(false);
        stop();
        expect_result(0, "stopped");
        expect_result(1, "stopped");
}

static void test_a_halt_is_told(void **state) {
        struct fleet_settings settings = settings_handoff(1);

        (void)state;
        settings.is_revert_off = true;
        ticket_count = 0;
        fleet_up(&settings);
        ask(false);
        loaded(2, 'b');
        ready(2);
        unhealthy(2);
        expect_result(0, "halted");
}

static void test_an_emergency_takes_over_the_load_that_runs(void **state) {
        (void)state;
        begin();
        ask(false);
        ask_in_an_emergency();
        assert_int_equal(tickets[1].load, tickets[0].load + 1);
        loaded(2, 'b');
        exited(1, 0);
        swept(2);
        ready(2);
        later(1 * S);
        expect_result(0, "committed");
        expect_result(1, "committed");
}

static void test_a_request_before_the_first_generation_is_up(void **state) {
        const struct fleet_settings settings = settings_restart();

        (void)state;
        ticket_count = 0;
        fleet_begin(&settings);
        start();
        ask(false);
        loaded(1, 'a');
        loaded(2, 'a');
        expect_result(0, "pending");
        ready(1);
        later(1 * S);
        expect_result(0, "committed");
}

static void ask_back(void) {
        results[ticket_count] = CONTROL_PENDING;
        tickets[ticket_count] = control_ticket_rollback();
        ticket_count++;
        rollback();
}

/* Generation 2 has taken over from 1, which is kept. */
static void begin_with_two(void) {
        struct fleet_settings settings = settings_restart();

        settings.previous_keep_ns = 600 * S;
        ticket_count = 0;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
}

static void test_a_rollback_is_told_when_the_former_one_is_back(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        exited(2, 0);
        ready(3);
        expect_result(0, "pending");
        later(1 * S);
        expect_result(0, "committed");
        assert_int_equal(tickets[0].generation, 1);
}

static void test_a_rollback_to_what_fails_is_told(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        exited(2, 0);
        ready(3);
        exited(3, 3);
        later(1 * S);
        ready(4);
        later(1 * S);
        expect_result(0, "reverted");
}

static void test_a_rollback_with_nothing_before_is_told(void **state) {
        (void)state;
        begin();
        ask_back();
        expect_result(0, "no_previous");
}

static void test_a_rollback_of_a_rollout_that_runs_is_told(void **state) {
        (void)state;
        begin();
        ask(false);
        loaded(2, 'b');
        ask_back();
        expect_result(0, "superseded");
        assert_int_equal(tickets[1].generation, 0); /* not the one that is left */
        exited(1, 0);
        ready(2);
        later(1 * S);
        ready(3);
        later(1 * S);
        expect_result(1, "committed");
        assert_int_equal(tickets[1].generation, 1);
}

static void test_a_rollback_that_newer_secrets_overtake_is_told(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        reload();
        loaded(3, 'c');
        expect_result(0, "superseded");
}

static void test_a_stop_is_told_to_who_rolls_back(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        stop();
        expect_result(0, "stopped");
}

static void test_an_emergency_leaves_nothing_to_go_back_to(void **state) {
        (void)state;
        begin_with_two();
        ask_in_an_emergency();
        loaded(3, 'c');
        ask_back();
        expect_result(1, "no_previous");
        exited(2, 0);
        swept(3);
        ready(3);
        later(1 * S);
        expect_result(0, "committed");
        ask_back();
        expect_result(2, "no_previous");
}

static void test_a_rollback_that_fails_and_is_overtaken_is_told(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        exited(2, 0);
        exited(3, 1);
        ask(false);
        loaded(3, 'c');
        expect_result(0, "reverted");
        expect_result(1, "pending");
}

static void test_a_rollback_that_is_over_at_once_is_told(void **state) {
        struct fleet_settings settings = settings_handoff(1);

        (void)state;
        ticket_count = 0;
        settings.failures_max = 1;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        spawn_fails(2, 125);
        ask_back();
        expect_result(0, "committed");
        assert_int_equal(tickets[0].generation, 1);
}

static void test_a_second_rollback_calls_off_the_first(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        exited(2, 0);
        ask_back();
        expect_result(0, "superseded");
        expect_result(1, "pending");
        exited(3, 0);
        ready(4);
        later(1 * S);
        expect_result(1, "committed");
        assert_int_equal(tickets[1].generation, 2);
}

static void test_what_others_asked_for_is_no_answer(void **state) {
        struct fleet_action report = {.kind = FLEET_DO_REPORT, .report = FLEET_REPORT_COMMITTED};
        struct control_ticket ticket = control_ticket_rollback();
        struct control_ticket rotation;

        (void)state;
        begin();
        rotation = control_ticket_take(&fleet);
        assert_int_equal(control_ticket_hear(&ticket, &fleet, &report), CONTROL_PENDING);
        assert_false(ticket.is_loaded); /* the end of an earlier one */
        report.report = FLEET_REPORT_ROLLOUT;
        report.generation = 1;
        assert_int_equal(control_ticket_hear(&ticket, &fleet, &report), CONTROL_PENDING);
        assert_int_equal(control_ticket_hear(&rotation, &fleet, &report), CONTROL_PENDING);
        assert_false(rotation.is_loaded);
        report.report = FLEET_REPORT_COMMITTED;
        report.generation = 7;
        assert_int_equal(control_ticket_hear(&ticket, &fleet, &report), CONTROL_PENDING);
        report.generation = 1;
        assert_int_equal(control_ticket_hear(&ticket, &fleet, &report), CONTROL_COMMITTED);
        assert_int_equal(control_ticket_hear(&rotation, &fleet, &report), CONTROL_PENDING);
}

static void test_what_was_left_does_not_overtake_a_rollback(void **state) {
        (void)state;
        begin_with_two();
        ask_back();
        ask(false);
        loaded(3, 'b');
        expect_result(1, "refused");
        expect_result(0, "pending");
}

static void test_a_rotation_whose_load_a_rollback_gives_up_is_told(void **state) {
        (void)state;
        begin_with_two();
        ask(false);
        ask_back();
        expect_result(0, "superseded");
        expect_result(1, "pending");
}

static void test_a_rollback_with_nothing_before_leaves_a_load_alone(void **state) {
        (void)state;
        begin();
        ask(false);
        ask_back();
        expect_result(0, "pending");
        expect_result(1, "no_previous");
        loaded(2, 'b');
        exited(1, 0);
        ready(2);
        later(1 * S);
        expect_result(0, "committed");
}

static void test_a_rollback_that_is_halted_is_told(void **state) {
        struct fleet_settings settings = settings_handoff(1);

        (void)state;
        ticket_count = 0;
        settings.is_revert_off = true;
        settings.previous_keep_ns = 60 * S;
        fleet_up(&settings);
        reload();
        loaded(2, 'b');
        ready(2);
        later(1 * S);
        exited(1, 0);
        ask_back();
        ready(3);
        unhealthy(3);
        expect_result(0, "halted");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_commit_is_told),
                cmocka_unit_test(test_the_same_content_is_told),
                cmocka_unit_test(test_a_failed_load_is_told),
                cmocka_unit_test(test_a_load_that_takes_too_long_is_a_failed_one),
                cmocka_unit_test(test_a_failure_is_told_when_the_old_one_is_back),
                cmocka_unit_test(test_what_a_newer_request_overtakes_is_told),
                cmocka_unit_test(test_requests_during_a_load_share_the_next_one),
                cmocka_unit_test(test_the_content_of_a_rollout_that_runs_shares_its_fate),
                cmocka_unit_test(test_the_content_from_before_calls_a_rollout_off),
                cmocka_unit_test(test_a_stop_is_told_to_all),
                cmocka_unit_test(test_a_halt_is_told),
                cmocka_unit_test(test_an_emergency_takes_over_the_load_that_runs),
                cmocka_unit_test(test_a_request_before_the_first_generation_is_up),
                cmocka_unit_test(test_a_rollback_is_told_when_the_former_one_is_back),
                cmocka_unit_test(test_a_rollback_to_what_fails_is_told),
                cmocka_unit_test(test_a_rollback_with_nothing_before_is_told),
                cmocka_unit_test(test_a_rollback_of_a_rollout_that_runs_is_told),
                cmocka_unit_test(test_a_rollback_that_newer_secrets_overtake_is_told),
                cmocka_unit_test(test_a_stop_is_told_to_who_rolls_back),
                cmocka_unit_test(test_an_emergency_leaves_nothing_to_go_back_to),
                cmocka_unit_test(test_a_rollback_that_fails_and_is_overtaken_is_told),
                cmocka_unit_test(test_a_rollback_that_is_over_at_once_is_told),
                cmocka_unit_test(test_a_second_rollback_calls_off_the_first),
                cmocka_unit_test(test_what_others_asked_for_is_no_answer),
                cmocka_unit_test(test_what_was_left_does_not_overtake_a_rollback),
                cmocka_unit_test(test_a_rotation_whose_load_a_rollback_gives_up_is_told),
                cmocka_unit_test(test_a_rollback_with_nothing_before_leaves_a_load_alone),
                cmocka_unit_test(test_a_rollback_that_is_halted_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
