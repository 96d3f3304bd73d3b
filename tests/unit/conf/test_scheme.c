/* The kinds of sources: one list for the loader, the configuration and the texts. And the former names of
 * keys. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/schema.h"
#include "conf/scheme.h"

#define NAMES(name, scheme, flags) scheme,
static const char *const schemes[] = {SOURCE_SCHEMES(NAMES)};
#undef NAMES

#define COUNT (sizeof schemes / sizeof *schemes)

static void test_every_scheme_is_found_and_at_its_place(void **state) {
        (void)state;
        for (size_t i = 0; i < COUNT; i++) {
                char uri[64];
                const char *rest = NULL;
                const struct source_scheme *scheme;

                strcpy(uri, schemes[i]);
                strcat(uri, "behind");
                scheme = source_scheme_of(uri, &rest);
                assert_non_null(scheme);
                assert_int_equal(source_scheme_index(scheme), i);
                assert_string_equal(rest, "behind");
        }
}

static void test_the_text_names_every_scheme_and_no_other(void **state) {
        const char *text = SOURCE_SCHEMES_TEXT(" ");
        size_t colons = 0;

        (void)state;
        for (size_t i = 0; i < COUNT; i++) {
                const char *at = strstr(text, schemes[i]);

                while (at && at != text && at[-1] != ' ')
                        at = strstr(at + 1, schemes[i]);
                assert_non_null(at);
        }
        for (const char *at = text; (at = strchr(at, ':')); at++)
                colons++;
        assert_int_equal(colons, COUNT);
}

static void test_only_files_can_be_watched(void **state) {
        (void)state;
        assert_true(source_uri_is_file("age:/x"));
        assert_true(source_uri_is_file("age-dir:/x"));
        assert_true(source_uri_is_file("dir:/x"));
        assert_true(source_uri_is_file("env-file:/x"));
        assert_false(source_uri_is_file("unix:/x"));
        assert_false(source_uri_is_file("env:X_"));
}

static void test_the_flags_of_a_scheme_fit_together(void **state) {
        (void)state;
        for (size_t i = 0; i < COUNT; i++) {
                const char *rest;
                unsigned flags = source_scheme_of(schemes[i], &rest)->flags;

                assert_false((flags & SOURCE_IS_FOLDER) && (flags & SOURCE_IS_DOCUMENT));
                assert_true(!(flags & SOURCE_IS_FOLDER) || (flags & SOURCE_IS_FILE));
                assert_true(!(flags & SOURCE_IS_DOCKER) || (flags & SOURCE_IS_DOCUMENT));
                assert_true(!(flags & SOURCE_IS_ENVIRONMENT) || flags == SOURCE_IS_ENVIRONMENT);
        }
}

static void test_what_is_not_known_is_no_file(void **state) {
        const char *rest;

        (void)state;
        assert_false(source_uri_is_file("exec:/bin/true"));
        assert_false(source_uri_is_file("vault:secret/x"));
        assert_false(source_uri_is_file("/etc/secrets"));
        assert_false(source_uri_is_file(""));
        assert_null(source_scheme_of("agee:/x", &rest));
}

static void test_a_mistyped_scheme_is_guessed(void **state) {
        (void)state;
        assert_string_equal(source_scheme_suggest("aeg:/x"), "age:");
        assert_string_equal(source_scheme_suggest("envfile:/x"), "env-file:");
        assert_null(source_scheme_suggest("something:/x"));
        assert_null(source_scheme_suggest(""));
}

static void test_former_names_lead_to_those_of_today(void **state) {
        (void)state;
        assert_string_equal(schema_renamed_key("rollout", "drain_quiet"), "queue_quiet");
        assert_non_null(schema_find("rollout", schema_renamed_key("rollout", "drain_quiet")));
        assert_null(schema_find("rollout", "drain_quiet"));
        assert_null(schema_renamed_key("service", "drain_quiet"));
        assert_null(schema_renamed_key("rollout", "queue_quiet"));
        assert_string_equal(schema_renamed_option("drain-quiet", 11), "queue-quiet");
        assert_null(schema_renamed_option("drain-quiet", 5));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_scheme_is_found_and_at_its_place),
                cmocka_unit_test(test_the_text_names_every_scheme_and_no_other),
                cmocka_unit_test(test_only_files_can_be_watched),
                cmocka_unit_test(test_the_flags_of_a_scheme_fit_together),
                cmocka_unit_test(test_what_is_not_known_is_no_file),
                cmocka_unit_test(test_a_mistyped_scheme_is_guessed),
                cmocka_unit_test(test_former_names_lead_to_those_of_today),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
