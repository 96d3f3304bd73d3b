/* The example configurations that are shipped are right, and between them show every section. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <glob.h>

#include <cmocka.h>

#include "conf/config.h"
#include "conf/schema.h"

#define EXAMPLES_MIN 5

static glob_t examples;
static bool has_section[16];

static void note_sections(const struct config *config) {
        for (size_t i = 0; i < config->given_count; i++)
                has_section[schema_find_section(schema_rows[config->given[i].row].section) -
                            schema_sections] = true;
}

static void test_every_example_is_right(void **state) {
        (void)state;
        assert_true(examples.gl_pathc >= EXAMPLES_MIN);
        for (size_t i = 0; i < examples.gl_pathc; i++) {
                struct config CLEANUP_CONFIG config;
                struct error error = {0};

                config_init(&config);
                if (config_read_file(&config, examples.gl_pathv[i], NULL, NULL, &error) < 0 ||
                        config_check(&config, true, &error) < 0)
                        fail_msg("%s", error.text);
                assert_true(config.source_count > 0);
                note_sections(&config);
        }
}

static void test_every_section_is_shown(void **state) {
        (void)state;
        for (size_t i = 0; i < schema_section_count; i++)
                if (!has_section[i])
                        fail_msg("no example has [%s]", schema_sections[i].name);
}

static int find_examples(void **state) {
        (void)state;
        return glob("conf/examples/*.ini", 0, NULL, &examples);
}

static int forget_examples(void **state) {
        (void)state;
        globfree(&examples);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_example_is_right),
                cmocka_unit_test(test_every_section_is_shown),
        };

        return cmocka_run_group_tests(tests, find_examples, forget_examples);
}
