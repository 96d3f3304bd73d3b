/* The lowest floor: numbers, durations, sizes, signal names, errors. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "lib/signals.h"

static void test_numbers_are_whole_or_refused(void **state) {
        static const char *const bad[] = {
                "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "18446744073709551616", "a"};
        uint64_t number = 7;

        (void)state;
        assert_true(text_to_u64("18446744073709551615", &number));
        assert_true(number == UINT64_MAX);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                number = 7;
                assert_false(text_to_u64(bad[i], &number));
                assert_true(number == 7);
        }
}

static void test_durations_read_as_people_write_them(void **state) {
        static const struct {
                const char *text;
                int64_t ns;
        } good[] = {{"30s", 30 * NS_PER_S}, {"1h30m", 5400 * NS_PER_S}, {"500ms", NS_PER_S / 2},
                {"7d", 604800 * NS_PER_S}, {"5", 5 * NS_PER_S}, {"2min", 120 * NS_PER_S}, {"0", 0},
                {"infinity", NS_FOREVER}};
        static const char *const bad[] = {
                "", "s", "1.5s", "-1s", "1 s", "1x", "9223372036854775807s", "5 ", "1s2", "s1"};
        int64_t ns;

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                assert_true(duration_parse(good[i].text, &ns));
                assert_true(ns == good[i].ns);
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(duration_parse(bad[i], &ns));
}

static void test_sizes_take_powers_of_1024(void **state) {
        uint64_t bytes;

        (void)state;
        assert_true(size_parse("64K", &bytes) && bytes == 65536);
        assert_true(size_parse("2G", &bytes) && bytes == UINT64_C(2147483648));
        assert_true(size_parse("infinity", &bytes) && bytes == UINT64_MAX);
        assert_false(size_parse("K", &bytes));
        assert_false(size_parse("1KB", &bytes));
        assert_false(size_parse("18446744073709551615K", &bytes));
}

static void test_time_stands_still_at_forever(void **state) {
        (void)state;
        assert_true(time_add(NS_FOREVER, 1) == NS_FOREVER);
        assert_true(time_add(1, NS_FOREVER) == NS_FOREVER);
        assert_true(time_add(NS_FOREVER - 1, 5) == NS_FOREVER);
        assert_true(time_add(2, 3) == 5);
}

static void test_every_signal_number_survives_its_name(void **state) {
        char name[SIGNAL_NAME_BYTES];

        (void)state;
        for (int number = 1; number <= SIGNAL_MAX; number++)
                assert_int_equal(signal_parse(signal_name(number, name)), number);
}

static void test_signal_names_are_those_of_kill(void **state) {
        (void)state;
        assert_int_equal(signal_parse("SIGTERM"), SIGTERM);
        assert_int_equal(signal_parse("term"), SIGTERM);
        assert_int_equal(signal_parse("RTMIN"), 34);
        assert_int_equal(signal_parse("RTMAX"), 64);
        assert_int_equal(signal_parse("RTMAX-30"), 34);
        assert_int_equal(signal_parse("RTMAX-31"), 0);
        assert_int_equal(signal_parse("RTMIN+31"), 0);
        assert_int_equal(signal_parse("65"), 0);
        assert_int_equal(signal_parse("0"), 0);
        assert_int_equal(signal_parse(""), 0);
        assert_int_equal(signal_parse("SIGSIGTERM"), 0);
}

static void test_an_error_gathers_facts_on_its_way_up(void **state) {
        struct error error;

        (void)state;
        assert_int_equal(error_set(&error, ENOENT, "open '%s'", "a\nb"), -1);
        error_hint(&error, "make it");
        assert_int_equal(error_wrap(&error, "load source '%s'", "db"), -1);
        assert_string_equal(error.text, "load source 'db': open 'a?b': No such file or directory");
        assert_string_equal(error.hint, "make it");
        assert_int_equal(error.code, ENOENT);
}

static void test_an_error_moves_no_cursor(void **state) {
        struct error error;

        (void)state;
        error_set(&error, 0, "'%s'", "a\033[2J\xc2\x9b\x31m\x7f\xc3\xa4\xc2\xa7\xc2");
        assert_string_equal(error.text, "'a?[2J??1m?\xc3\xa4\xc2\xa7\xc2'");
}

static void test_an_error_hides_a_key_that_stands_where_a_path_belongs(void **state) {
        struct error error;

        (void)state;
        error_set(&error, ENOENT, "open '%s'", "AGE-SECRET-KEY-1QQPQ3Z9");
        assert_string_equal(error.text, "open 'AGE-SECRET-KEY-********': No such file or directory");
        error_wrap(&error, "key 'env:%s'", "age-secret-key-pq-1qqpq3z9");
        assert_non_null(strstr(error.text, "key 'env:age-secret-key-***********': open"));
        error_hint(
                &error, "write AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1..., not AGE-SECRET-KEY-1ABCDEFG");
        assert_string_equal(error.hint,
                "write AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1..., not AGE-SECRET-KEY-********");
}

static void test_an_error_longer_than_its_room_is_cut_not_overrun(void **state) {
        char name[2000];
        struct error error;

        (void)state;
        memset(name, 'n', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        error_set(&error, EIO, "read '%s'", name);
        error_wrap(&error, "load '%s'", name);
        assert_true(strlen(error.text) == sizeof error.text - 1);
}

static void test_the_nearest_word_counts_swaps_once(void **state) {
        (void)state;
        assert_int_equal(text_distance("stop_singal", "stop_signal", 3), 1);
        assert_int_equal(text_distance("abc", "abc", 3), 0);
        assert_int_equal(text_distance("", "abc", 3), 3);
        assert_int_equal(text_distance("abcdef", "uvwxyz", 2), 3);
}

static void test_an_arena_hands_out_zeroed_memory_and_wipes_it(void **state) {
        struct arena arena;
        struct error error;
        uint8_t *first, *again;
        size_t mark;

        (void)state;
        assert_int_equal(arena_init(&arena, 200000, &error), 0);
        first = arena_take(&arena, 100, &error);
        mark = arena.used;
        again = arena_take(&arena, 150000, &error);
        assert_non_null(first);
        assert_non_null(again);
        memset(again, 'x', 150000);
        arena_release(&arena, mark);
        again = arena_take(&arena, 150000, &error);
        for (size_t i = 0; i < 150000; i++)
                assert_int_equal(again[i], 0);
        assert_null(arena_take(&arena, 200000, &error));
        assert_null(arena_take(&arena, SIZE_MAX, &error));
        arena_deinit(&arena);
        arena_deinit(&arena);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_are_whole_or_refused),
                cmocka_unit_test(test_durations_read_as_people_write_them),
                cmocka_unit_test(test_sizes_take_powers_of_1024),
                cmocka_unit_test(test_time_stands_still_at_forever),
                cmocka_unit_test(test_every_signal_number_survives_its_name),
                cmocka_unit_test(test_signal_names_are_those_of_kill),
                cmocka_unit_test(test_an_error_gathers_facts_on_its_way_up),
                cmocka_unit_test(test_an_error_moves_no_cursor),
                cmocka_unit_test(test_an_error_hides_a_key_that_stands_where_a_path_belongs),
                cmocka_unit_test(test_an_error_longer_than_its_room_is_cut_not_overrun),
                cmocka_unit_test(test_the_nearest_word_counts_swaps_once),
                cmocka_unit_test(test_an_arena_hands_out_zeroed_memory_and_wipes_it),
        };

        return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
