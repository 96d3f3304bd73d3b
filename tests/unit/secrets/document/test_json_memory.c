/* What is left of a JSON document in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/document/document.h"

static void test_json_leaves_no_value_outside_the_arena(void **state) {
        /* jansson's own blocks are wiped when given back: nothing of the value may remain but the entry. */
        static const char text[] = "{\"A\":\"canary-5d1f-value\"}";
        struct arena arena = {0};
        struct secret_list list = {0};
        struct dialect_input input = {.text = {(const uint8_t *)text, strlen(text)},
                .file = "file",
                .arena = &arena,
                .list = &list};
        struct error error;
        size_t found = 0;

        (void)state;
        assert_int_equal(arena_init(&arena, 64 * 1024 * 1024, &error), 0);
        assert_int_equal(document_parse(&dialect_json, &input, &error), 0);
        for (size_t i = 0; i + 17 <= arena.used; i++)
                found += memcmp(arena.at + i, "canary-5d1f-value", 17) == 0;
        assert_int_equal(found, 1);
        arena_deinit(&arena);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json_leaves_no_value_outside_the_arena),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
