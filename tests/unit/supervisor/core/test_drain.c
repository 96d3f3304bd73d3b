/* Who still waits for an answer, by what the kernel says of a connection. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/duration.h"
#include "supervisor/core/drain.h"

static struct drain drain;
static int64_t now_ns;

static void begin(void) {
        const struct drain_settings settings = {.timeout_ns = 10 * NS_PER_S, .settle_ns = 1 * NS_PER_S};

        now_ns = 1000 * NS_PER_S;
        drain_begin(&drain, &settings, now_ns);
}

/* One look at so many connections. Returns whether it is over. */
static bool look(const struct drain_sample *samples, size_t count) {
        drain_look_begin(&drain, now_ns);
        for (size_t i = 0; i < count; i++)
                drain_look_add(&drain, &samples[i]);
        return drain_look_end(&drain);
}

static bool look_at(struct drain_sample sample) {
        return look(&sample, 1);
}

/* Looks again every 10 ms, with every age growing, until it is over. Returns how many ms that took, -1:
 * longer than `limit_ms`. */
static int64_t look_until_over(struct drain_sample sample, int64_t limit_ms) {
        for (int64_t passed_ms = 0; passed_ms <= limit_ms; passed_ms += 10) {
                if (look_at(sample))
                        return passed_ms;
                now_ns += 10 * NS_PER_MS;
                sample.received_ago_ms += 10;
                sample.sent_ago_ms += 10;
                sample.acknowledged_ago_ms += 10;
        }
        return -1;
}

static void test_where_there_is_no_connection_it_is_over_at_once(void **state) {
        (void)state;
        begin();
        assert_true(look(NULL, 0));
}

/* One row: what the first look says, and when it is over if nothing moves any more. */
struct row {
        const char *what;
        struct drain_sample sample;
        size_t busy, maybe;
        int64_t over_ms;
};

static void test_one_look_tells_who_spoke_last(void **state) {
        static const struct row rows[] = {
                {"asked, no answer yet", {.received_bytes = 80, .received_ago_ms = 3, .sent_ago_ms = 3}, 1, 0,
                        -1},
                {"asked again after an answer",
                        {.received_bytes = 160, .sent_bytes = 500, .received_ago_ms = 8, .sent_ago_ms = 400},
                        1, 0, -1},
                {"answered long ago",
                        {.received_bytes = 80,
                                .sent_bytes = 500,
                                .received_ago_ms = 5000,
                                .sent_ago_ms = 4900},
                        0, 0, 0},
                {"answered just now: it settles",
                        {.received_bytes = 80, .sent_bytes = 500, .received_ago_ms = 40, .sent_ago_ms = 36},
                        0, 1, 970},
                {"not read yet",
                        {.received_bytes = 80,
                                .sent_bytes = 500,
                                .received_ago_ms = 9000,
                                .sent_ago_ms = 5000,
                                .unread_bytes = 80},
                        1, 0, -1},
                {"the answer is not sent yet",
                        {.received_bytes = 80,
                                .sent_bytes = 90000,
                                .received_ago_ms = 30000,
                                .sent_ago_ms = 20,
                                .unsent_bytes = 4096},
                        1, 0, -1},
                {"connected and silent", {.received_ago_ms = 5000, .sent_ago_ms = 5000}, 0, 0, 0},
                {"connected just now", {.received_ago_ms = 10, .sent_ago_ms = 10}, 0, 1, 190},
                {"half a request, but since long ago",
                        {.received_bytes = 10, .received_ago_ms = 11000, .sent_ago_ms = 11000}, 0, 0, 0},
                {"sends no more, and has its answer",
                        {.received_bytes = 80,
                                .sent_bytes = 500,
                                .received_ago_ms = 5000,
                                .sent_ago_ms = 4000,
                                .unread_bytes = 1,
                                .is_half_closed = true},
                        0, 0, 0},
                {"sends no more, and waits",
                        {.received_bytes = 80,
                                .received_ago_ms = 50,
                                .sent_ago_ms = 50,
                                .unread_bytes = 1,
                                .is_half_closed = true},
                        1, 0, -1},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                begin();
                (void)look_at(rows[i].sample);
                if (drain.busy != rows[i].busy || drain.maybe != rows[i].maybe)
                        fail_msg("%s: %zu busy, %zu maybe", rows[i].what, drain.busy, drain.maybe);
                begin();
                int64_t over_ms = look_until_over(rows[i].sample, 2000);
                if (over_ms != rows[i].over_ms)
                        fail_msg("%s: over after %lld ms", rows[i].what, (long long)over_ms);
        }
}

static void test_request_and_answer_of_one_tick_are_a_tie_for_a_second(void **state) {
        const struct drain_sample tie = {.received_bytes = 80,
                .sent_bytes = 500,
                .received_ago_ms = 4,
                .sent_ago_ms = 4,
                .acknowledged_ago_ms = 4};
        struct drain_sample acknowledged = tie;

        (void)state;
        begin();
        assert_false(look_at(tie));
        assert_int_equal(drain.maybe, 1);
        begin();
        drain.settings.settle_ns = 0; /* else it is recent as well */
        assert_int_equal(look_until_over(tie, 3000), 1000);
        begin();
        drain.settings.settle_ns = 0;
        acknowledged.acknowledged_ago_ms = 0; /* our answer was acknowledged after it */
        assert_true(look_at(acknowledged));
}

static void test_a_request_that_is_answered_ends_the_wait(void **state) {
        struct drain_sample sample = {.received_bytes = 80, .received_ago_ms = 3, .sent_ago_ms = 3};

        (void)state;
        begin();
        assert_false(look_at(sample));
        assert_int_equal(drain.busy_first, 1);
        now_ns += 300 * NS_PER_MS;
        assert_false(look_at((struct drain_sample){
                .received_bytes = 80, .sent_bytes = 500, .received_ago_ms = 303, .sent_ago_ms = 2}));
        assert_int_equal(drain.busy, 0);
        now_ns += 10 * NS_PER_MS;
        assert_true(look(NULL, 0)); /* the client has closed */
}

/* Data that is sent without a question, time and again: tokens, a download in pieces. */
static void test_a_stream_is_busy_between_its_pieces(void **state) {
        (void)state;
        begin();
        now_ns += 2 * NS_PER_S; /* nothing is recent any more */
        for (uint64_t piece = 1; piece <= 20; piece++) {
                assert_false(look_at((struct drain_sample){.received_bytes = 80,
                                     .sent_bytes = 100 * piece,
                                     .received_ago_ms = (uint32_t)(3000 + 50 * piece),
                                     .sent_ago_ms = 1}) &&
                             piece > 1);
                now_ns += 50 * NS_PER_MS;
        }
        assert_int_equal(drain.streams, 1);
        now_ns += 150 * NS_PER_MS; /* three times the pause */
        assert_true(look_at((struct drain_sample){
                .received_bytes = 80, .sent_bytes = 2000, .received_ago_ms = 4200, .sent_ago_ms = 200}));
}

/* Each time the look comes some of them have a request. */
static void test_clients_that_never_pause_get_the_moment_with_the_fewest_requests(void **state) {
        struct drain_sample samples[20];
        int64_t over_ms = -1;

        (void)state;
        begin();
        for (int64_t passed_ms = 0; over_ms < 0 && passed_ms < 5000; passed_ms += 10) {
                size_t asking = 3 + (size_t)(passed_ms / 10) % 5;
                for (size_t i = 0; i < 20; i++)
                        samples[i] = (struct drain_sample){.cookie = i,
                                .received_bytes = 80 + (uint64_t)passed_ms,
                                .sent_bytes = 500,
                                .received_ago_ms = i < asking ? 1 : 20,
                                .sent_ago_ms = 10};
                if (look(samples, 20))
                        over_ms = passed_ms;
                now_ns += 10 * NS_PER_MS;
        }
        /* the first of these moments, not the last chance */
        assert_in_range(over_ms, 1000 + 500, 1000 + 500 + 5 * 10);
        assert_int_equal(drain.busy, 3);
}

static void test_half_a_request_holds_the_end_up_until_the_limit(void **state) {
        (void)state;
        begin();
        assert_int_equal(look_until_over((struct drain_sample){.received_bytes = 10}, 9900), -1);
}

static void test_more_connections_than_are_remembered_are_judged_all_the_same(void **state) {
        static struct drain_sample samples[DRAIN_CONNECTIONS_MAX + 10];

        (void)state;
        begin();
        for (size_t i = 0; i < DRAIN_CONNECTIONS_MAX + 10; i++)
                samples[i] = (struct drain_sample){.cookie = i, .received_bytes = 80, .received_ago_ms = 1};
        assert_false(look(samples, DRAIN_CONNECTIONS_MAX + 10));
        assert_int_equal(drain.busy, DRAIN_CONNECTIONS_MAX + 10);
        now_ns += 10 * NS_PER_MS;
        assert_true(look(NULL, 0));
        assert_int_equal(drain.count, 0);
}

/* ---- what is cut ---- */

static void test_what_ends_without_an_answer_was_cut(void **state) {
        static const struct {
                const char *what;
                struct drain_sample last; /* of the connection that the look has seen */
                bool is_cut;
        } ends[] = {
                {"asked, never answered", {.received_bytes = 80, .received_ago_ms = 20, .sent_ago_ms = 20},
                        true},
                {"asked again after an answer",
                        {.received_bytes = 160, .sent_bytes = 500, .received_ago_ms = 8, .sent_ago_ms = 400},
                        true},
                {"answered",
                        {.received_bytes = 80, .sent_bytes = 500, .received_ago_ms = 400, .sent_ago_ms = 8},
                        false},
                {"answered in the same tick",
                        {.received_bytes = 80, .sent_bytes = 500, .received_ago_ms = 8, .sent_ago_ms = 8},
                        false},
                {"never asked, the client has closed it",
                        {.received_bytes = 1, .received_ago_ms = 8, .sent_ago_ms = 8}, false},
                {"never asked", {.received_ago_ms = 8, .sent_ago_ms = 8}, false},
                {"half a request of yesterday",
                        {.received_bytes = 80, .received_ago_ms = 700000, .sent_ago_ms = 700000}, false},
        };

        (void)state;
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
                begin();
                look_at((struct drain_sample){.cookie = 5, .received_bytes = 80, .sent_ago_ms = 3});
                now_ns += 20 * NS_PER_MS;
                struct drain_sample last = ends[i].last;

                last.cookie = 6;
                assert_false(drain_knows(&drain, 6));
                assert_false(drain_is_cut(&drain, &last, now_ns)); /* nobody has seen that one */
                assert_int_equal(drain_is_unanswered(&drain, &last), ends[i].is_cut);
                last.cookie = 5;
                assert_true(drain_knows(&drain, 5));
                if (drain_is_cut(&drain, &last, now_ns) != ends[i].is_cut)
                        fail_msg("%s", ends[i].what);
                assert_false(drain_knows(&drain, 5));
                assert_false(drain_is_cut(&drain, &last, now_ns)); /* once */
        }
}

/* It ran when the look began, and for so long since. */
static void test_a_request_that_outlives_the_time_was_cut_all_the_same(void **state) {
        struct drain_sample sample = {.cookie = 5, .received_bytes = 80};

        (void)state;
        begin();
        look_at(sample);
        now_ns += 30 * NS_PER_S;
        sample.received_ago_ms = sample.sent_ago_ms = 30000;
        assert_true(drain_is_cut(&drain, &sample, now_ns));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_where_there_is_no_connection_it_is_over_at_once),
                cmocka_unit_test(test_one_look_tells_who_spoke_last),
                cmocka_unit_test(test_request_and_answer_of_one_tick_are_a_tie_for_a_second),
                cmocka_unit_test(test_a_request_that_is_answered_ends_the_wait),
                cmocka_unit_test(test_a_stream_is_busy_between_its_pieces),
                cmocka_unit_test(test_clients_that_never_pause_get_the_moment_with_the_fewest_requests),
                cmocka_unit_test(test_half_a_request_holds_the_end_up_until_the_limit),
                cmocka_unit_test(test_more_connections_than_are_remembered_are_judged_all_the_same),
                cmocka_unit_test(test_what_ends_without_an_answer_was_cut),
                cmocka_unit_test(test_a_request_that_outlives_the_time_was_cut_all_the_same),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
