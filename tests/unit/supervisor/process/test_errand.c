/* Errands: what their children have, what their owners hear, and when they are called off. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "supervisor/process/errand.h"

#define LIMIT_NS (10 * NS_PER_S)

static struct loop loop;
static struct children children;
static struct errands errands;

/* What the owner was told. */
struct told {
        int times;
        size_t bytes;
        long value;
};

static void on_done(void *owner, const void *answer, size_t bytes) {
        struct told *told = owner;

        told->times++;
        told->bytes = bytes;
        told->value = 0;
        if (bytes == sizeof told->value)
                memcpy(&told->value, answer, bytes);
}

static void begin(void) {
        struct error error = {0};

        memset(&errands, 0, sizeof errands);
        assert_int_equal(loop_init(&loop, &error), 0);
        errands_open(&errands, &loop, &children);
}

static void turn(void) {
        loop_wait(&loop, time_now_ns() + 10 * NS_PER_MS);
        children_reap(&children);
}

/* Until every place is free again, which every child's end frees. */
static void end(void) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        size_t used;

        do {
                used = 0;
                turn();
                for (size_t i = 0; i < errands.places; i++)
                        used += errands.list[i].is_used;
        } while (used && time_now_ns() < limit_ns);
        assert_int_equal(used, 0);
        assert_null(children.first);
        loop_deinit(&loop);
}

static void await(const struct told *told, int times) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;

        while (told->times < times && time_now_ns() < limit_ns)
                turn();
        assert_int_equal(told->times, times);
}

static void start(const struct errand_order *order) {
        struct error error = {0};

        if (errand_start(&errands, order, &error) < 0)
                fail_msg("%s", error.text);
}

static size_t answer_long(long value, void *out) {
        memcpy(out, &value, sizeof value);
        return sizeof value;
}

static size_t doubles(const void *request, int fd, void *out, size_t room) {
        (void)fd;
        (void)room;
        return answer_long(2 * *(const long *)request, out);
}

static void test_the_owner_hears_the_answer_once(void **state) {
        struct told told = {0};
        long request = 21;
        const struct errand_order order = {
                .work = doubles, .request = &request, .fd = -1, .on_done = on_done, .owner = &told};

        (void)state;
        begin();
        start(&order);
        assert_int_equal(told.times, 0);
        assert_int_equal(errands_of(&errands, &told), 1);
        await(&told, 1);
        assert_int_equal(told.value, 42);
        end();
        assert_int_equal(told.times, 1);
        assert_int_equal(errands_of(&errands, &told), 0);
}

static size_t says_nothing(const void *request, int fd, void *out, size_t room) {
        (void)request;
        (void)fd;
        (void)out;
        (void)room;
        return 0;
}

static size_t dies(const void *request, int fd, void *out, size_t room) {
        _exit(3);
        return says_nothing(request, fd, out, room);
}

static void test_a_child_that_ends_without_an_answer_is_heard_as_none(void **state) {
        errand_work *const works[] = {says_nothing, dies};

        (void)state;
        begin();
        for (size_t i = 0; i < 2; i++) {
                struct told told = {.bytes = 99};
                const struct errand_order order = {
                        .work = works[i], .fd = -1, .on_done = on_done, .owner = &told};

                start(&order);
                await(&told, 1);
                assert_int_equal(told.bytes, 0);
        }
        end();
}

static int watched_fd;

/* 1: it has what it was given; 2: it has something else as well. */
static size_t tells_what_is_open(const void *request, int fd, void *out, size_t room) {
        (void)request;
        (void)room;
        return answer_long((fcntl(fd, F_GETFD) >= 0) + 2 * (fcntl(watched_fd, F_GETFD) >= 0), out);
}

static void test_nothing_is_open_in_the_child_but_what_it_was_given(void **state) {
        struct told told = {0};
        int ends[2];

        (void)state;
        begin();
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        watched_fd = ends[1];
        start(&(struct errand_order){
                .work = tells_what_is_open, .fd = ends[0], .on_done = on_done, .owner = &told});
        await(&told, 1);
        assert_int_equal(told.value, 1);
        close(ends[0]);
        close(ends[1]);
        end();
}

static size_t tells_its_pid(const void *request, int fd, void *out, size_t room) {
        (void)request;
        (void)fd;
        (void)room;
        return answer_long(getpid(), out);
}

static void test_one_that_stays_takes_the_next_request_of_its_owner_alone(void **state) {
        struct told told = {0}, other = {0};
        long request = 0, first;
        struct errand_order order = {.work = tells_its_pid,
                .request = &request,
                .request_bytes = sizeof request,
                .fd = -1,
                .on_done = on_done,
                .owner = &told};

        (void)state;
        begin();
        start(&order);
        await(&told, 1);
        first = told.value;
        order.owner = &other;
        start(&order);
        await(&other, 1);
        assert_int_not_equal(other.value, first);
        order.owner = &told;
        start(&order);
        await(&told, 2);
        /* Should this machine have stood still, it was let go: then another one has answered. */
        if (errands_of(&errands, &told) == 1)
                assert_int_equal(told.value, first);
        end(); /* both are let go when nobody asks again */
        assert_int_equal(told.times, 2);
        assert_int_equal(other.times, 1);
}

static size_t waits(const void *request, int fd, void *out, size_t room) {
        for (;;)
                pause();
        return says_nothing(request, fd, out, room);
}

static void test_who_calls_off_hears_nothing_and_others_do(void **state) {
        struct told told = {0}, other = {0};
        long request = 4;

        (void)state;
        begin();
        start(&(struct errand_order){.work = waits, .fd = -1, .on_done = on_done, .owner = &told});
        start(&(struct errand_order){.work = waits, .fd = -1, .on_done = on_done, .owner = &told});
        start(&(struct errand_order){
                .work = doubles, .request = &request, .fd = -1, .on_done = on_done, .owner = &other});
        assert_int_equal(errands_of(&errands, &told), 2);
        errands_call_off(&errands, &told);
        errands_call_off(&errands, &told);
        assert_int_equal(errands_of(&errands, &told), 0);
        await(&other, 1);
        end(); /* those children have been killed: their places are free */
        assert_int_equal(told.times, 0);
        assert_int_equal(other.value, 8);
}

static void test_places_are_used_again(void **state) {
        struct told told = {0};
        long request = 1;

        (void)state;
        begin();
        for (int i = 1; i <= 20; i++) {
                start(&(struct errand_order){
                        .work = doubles, .request = &request, .fd = -1, .on_done = on_done, .owner = &told});
                await(&told, i);
                while (errands_of(&errands, &told))
                        turn();
        }
        assert_int_equal(errands.places, 1);
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_owner_hears_the_answer_once),
                cmocka_unit_test(test_a_child_that_ends_without_an_answer_is_heard_as_none),
                cmocka_unit_test(test_nothing_is_open_in_the_child_but_what_it_was_given),
                cmocka_unit_test(test_one_that_stays_takes_the_next_request_of_its_owner_alone),
                cmocka_unit_test(test_who_calls_off_hears_nothing_and_others_do),
                cmocka_unit_test(test_places_are_used_again),
        };

        return cmocka_run_group_tests_name("errand", tests, NULL, NULL);
}
