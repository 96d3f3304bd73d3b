/* Timers and descriptors of the loop, against the real clock: only orders and lower bounds are judged. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/loop.h"

struct bench {
        struct loop loop;
        struct loop_timer timers[3];
        char fired[64];
        size_t count;
        int again;
};

static int set_up(void **state) {
        static struct bench bench;
        struct error error;

        bench = (struct bench){0};
        assert_int_equal(loop_init(&bench.loop, &error), 0);
        *state = &bench;
        return 0;
}

static int tear_down(void **state) {
        loop_deinit(&((struct bench *)*state)->loop);
        return 0;
}

static void on_due(struct loop_timer *timer) {
        struct bench *bench = timer->owner;

        bench->fired[bench->count++] = (char)('a' + (timer - bench->timers));
        if (bench->again > 0) {
                bench->again--;
                loop_timer_set(&bench->loop, timer, time_now_ns() - 1);
        }
}

static void timer_in(struct bench *bench, size_t index, int64_t delay_ns) {
        bench->timers[index].on_due = on_due;
        bench->timers[index].owner = bench;
        loop_timer_set(&bench->loop, &bench->timers[index], time_now_ns() + delay_ns);
}

static void turn_until(struct bench *bench, size_t count) {
        int64_t end_ns = time_now_ns() + 5 * NS_PER_S;

        while (bench->count < count && time_now_ns() < end_ns)
                loop_wait(&bench->loop, end_ns);
}

static void test_timers_fire_in_the_order_of_their_time(void **state) {
        struct bench *bench = *state;
        int64_t began_ns = time_now_ns();

        timer_in(bench, 0, 30 * NS_PER_MS);
        timer_in(bench, 1, 10 * NS_PER_MS);
        timer_in(bench, 2, 20 * NS_PER_MS);
        turn_until(bench, 3);
        assert_string_equal(bench->fired, "bca");
        assert_true(time_now_ns() - began_ns >= 30 * NS_PER_MS);
        assert_null(bench->loop.timers);
}

static void test_a_timer_that_is_set_again_moves(void **state) {
        struct bench *bench = *state;

        timer_in(bench, 0, 10 * NS_PER_MS);
        timer_in(bench, 1, 20 * NS_PER_MS);
        timer_in(bench, 0, 30 * NS_PER_MS);
        turn_until(bench, 2);
        assert_string_equal(bench->fired, "ba");
}

static void test_a_cleared_timer_and_one_set_for_ever_do_not_fire(void **state) {
        struct bench *bench = *state;

        timer_in(bench, 0, 5 * NS_PER_MS);
        timer_in(bench, 1, 5 * NS_PER_MS);
        timer_in(bench, 2, 10 * NS_PER_MS);
        loop_timer_clear(&bench->loop, &bench->timers[0]);
        loop_timer_clear(&bench->loop, &bench->timers[0]);
        loop_timer_set(&bench->loop, &bench->timers[1], NS_FOREVER);
        turn_until(bench, 1);
        assert_string_equal(bench->fired, "c");
        assert_null(bench->loop.timers);
}

static void test_a_timer_that_always_comes_back_leaves_others_their_turn(void **state) {
        struct bench *bench = *state;

        bench->again = 40;
        timer_in(bench, 0, 0);
        loop_wait(&bench->loop, time_now_ns() + NS_PER_S);
        assert_in_range(bench->count, 1, 41);
        turn_until(bench, 41);
        assert_int_equal(bench->count, 41);
}

static void on_writable(struct loop_source *source) {
        struct bench *bench = source->owner;

        bench->fired[bench->count++] = 'w';
        loop_remove(&bench->loop, source);
        source->fd = -1;
}

static void test_a_source_may_wait_until_it_is_writable(void **state) {
        struct bench *bench = *state;
        struct error error;
        int ends[2];
        struct loop_source source;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        source = (struct loop_source){
                .fd = ends[0], .on_readable = on_writable, .owner = bench, .events = EPOLLOUT};
        assert_int_equal(loop_add(&bench->loop, &source, &error), 0);
        turn_until(bench, 1);
        assert_string_equal(bench->fired, "w");
        close(ends[0]);
        close(ends[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_timers_fire_in_the_order_of_their_time, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_timer_that_is_set_again_moves, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_a_cleared_timer_and_one_set_for_ever_do_not_fire, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_a_timer_that_always_comes_back_leaves_others_their_turn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_a_source_may_wait_until_it_is_writable, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
