/* The table of dialects: every row is whole, and the words of the configuration mean the same rows. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/schema.h"
#include "secrets/document/dialect.h"

#define ADDRESS(name) &dialect_##name,
static const struct dialect *const dialects[] = {DIALECTS(ADDRESS)};

#define DIALECT_COUNT (sizeof dialects / sizeof *dialects)

static bool is_word_of(const char *key, const char *text) {
        for (const struct schema_word *word = schema_find("source", key)->words; word->word; word++)
                if (strcmp(word->word, text) == 0)
                        return true;
        return false;
}

static void test_every_dialect_can_be_read_and_has_a_suffix(void **state) {
        (void)state;
        for (size_t i = 0; i < DIALECT_COUNT; i++) {
                assert_non_null(dialects[i]->parse);
                assert_true((dialects[i]->set == NULL) == (dialects[i]->unset == NULL));
                assert_true(dialects[i]->suffix[0] == '.');
                assert_string_equal(document_suffix(dialects[i]), dialects[i]->suffix);
        }
        assert_true(dialects[0]->opening == 0); /* what a text is when nothing is known of it */
}

static void test_every_dialect_has_its_words_in_the_configuration(void **state) {
        (void)state;
        for (size_t i = 0; i < DIALECT_COUNT; i++) {
                const struct dialect *dialect = dialects[i];

                assert_true(is_word_of("format", dialect->format));
                /* conf/check.c: `dialect` stands beside the format dotenv alone */
                assert_true((strcmp(dialect->format, "dotenv") == 0) == (dialect->word != NULL));
                assert_true(!dialect->word || is_word_of("dialect", dialect->word));
                assert_ptr_equal(document_dialect_named(dialect->format, dialect->word), dialect);
        }
}

static void test_every_word_of_the_configuration_means_a_dialect(void **state) {
        const struct schema_word *word;

        (void)state;
        for (word = schema_find("source", "format")->words; word->word; word++)
                assert_string_equal(document_dialect_named(word->word, NULL)->format, word->word);
        for (word = schema_find("source", "dialect")->words; word->word; word++) {
                assert_string_equal(document_dialect_named(NULL, word->word)->word, word->word);
                assert_ptr_equal(document_dialect_named("dotenv", word->word),
                        document_dialect_named(NULL, word->word));
        }
        assert_ptr_equal(document_dialect_named("dotenv", NULL), &dialect_tacet);
        assert_ptr_equal(document_dialect_named("json", NULL), &dialect_json);
        assert_null(document_dialect_named("json", "docker"));
        assert_null(document_dialect_named("yaml", NULL));
        assert_null(document_dialect_named(NULL, "compose"));
}

static void test_a_file_that_is_not_there_yet_is_what_its_name_says(void **state) {
        (void)state;
        assert_ptr_equal(document_dialect_of_file("db.json.age"), &dialect_json);
        assert_ptr_equal(document_dialect_of_file("/etc/x.json/db.env.age"), &dialect_tacet);
        assert_ptr_equal(document_dialect_of_file("secrets"), &dialect_tacet);
        assert_ptr_equal(document_dialect_of_file(""), &dialect_tacet);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_dialect_can_be_read_and_has_a_suffix),
                cmocka_unit_test(test_every_dialect_has_its_words_in_the_configuration),
                cmocka_unit_test(test_every_word_of_the_configuration_means_a_dialect),
                cmocka_unit_test(test_a_file_that_is_not_there_yet_is_what_its_name_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
