/* The memory of a configuration: the room of a command line, and the heap behind it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/memory.h"

/* More blocks than any room has space for, each with its own text. */
#define BLOCKS 400

static void blocks_make(char *blocks[static BLOCKS]) {
        char text[] = "aaaaaaaaaaaa";

        for (int i = 0; i < BLOCKS; i++) {
                text[i % 12] = (char)('a' + i % 26);
                blocks[i] = config_memory_text(text);
                assert_non_null(blocks[i]);
                assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        }
}

static void blocks_check(char *blocks[static BLOCKS]) {
        char text[] = "aaaaaaaaaaaa";

        for (int i = 0; i < BLOCKS; i++) {
                text[i % 12] = (char)('a' + i % 26);
                assert_string_equal(blocks[i], text);
        }
}

static void test_blocks_stay_apart_wherever_they_lie(void **state) {
        char *blocks[BLOCKS];

        (void)state;
        for (int round = 0; round < 3; round++) {
                blocks_make(blocks);
                blocks_check(blocks);
                for (int i = 0; i < BLOCKS; i++)
                        config_memory_free(blocks[round % 2 ? BLOCKS - 1 - i : i]);
        }
}

static void test_a_block_keeps_its_bytes_while_it_grows(void **state) {
        uint8_t *at = NULL;

        (void)state;
        for (size_t bytes = 1; bytes <= 4096; bytes *= 2) {
                at = config_memory_grow(at, bytes / 2, bytes);
                assert_non_null(at);
                for (size_t i = bytes / 2; i < bytes; i++)
                        at[i] = (uint8_t)(i * 7);
                for (size_t i = 0; i < bytes; i++)
                        assert_int_equal(at[i], (uint8_t)(i * 7));
        }
        config_memory_free(at);
}

static void test_the_room_is_empty_again_when_all_was_given_back(void **state) {
        char *first = config_memory_text("first"), *second = config_memory_text("second"), *again;

        (void)state;
        config_memory_free(first);
        config_memory_free(second);
        again = config_memory_text("again");
#ifndef TACET_SANITIZE
        assert_ptr_equal(again, first);
#endif
        config_memory_free(again);
        config_memory_free(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blocks_stay_apart_wherever_they_lie),
                cmocka_unit_test(test_a_block_keeps_its_bytes_while_it_grows),
                cmocka_unit_test(test_the_room_is_empty_again_when_all_was_given_back),
        };

        return cmocka_run_group_tests_name("config_memory", tests, NULL, NULL);
}
