/* Secret documents: what each dialect takes, what it refuses and how, and that edits leave everything else
 * alone. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/document/document.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

struct fixture {
        struct arena arena;
        struct secret_list list;
        struct error error;
};

static void fixture_reset(struct fixture *fixture) {
        arena_deinit(&fixture->arena);
        memset(fixture, 0, sizeof *fixture);
        assert_int_equal(arena_init(&fixture->arena, 64 * 1024 * 1024, &fixture->error), 0);
}

static int fixture_up(void **state) {
        *state = calloc(1, sizeof(struct fixture));
        fixture_reset(*state);
        return 0;
}

static int fixture_down(void **state) {
        struct fixture *fixture = *state;

        arena_deinit(&fixture->arena);
        free(fixture);
        return 0;
}

static int parse(struct fixture *fixture, const struct dialect *dialect, const char *text, size_t length) {
        fixture_reset(fixture);
        return document_parse(dialect,
                &(struct dialect_input){
                        {(const uint8_t *)text, length}, "f", 3, &fixture->arena, &fixture->list, false},
                &fixture->error);
}

static void entry_expect(
        const struct fixture *fixture, size_t n, const char *name, const char *value, uint32_t line) {
        const struct secret_entry *entry = &fixture->list.at[n];

        assert_true(n < fixture->list.count);
        assert_string_equal(entry->name, name);
        assert_int_equal(entry->value.length, strlen(value));
        assert_memory_equal(entry->value.at, value, strlen(value));
        assert_int_equal(entry->line, line);
        assert_int_equal(entry->source, 3);
}

struct row {
        const char *text;
        const char *expected; /* the one value, or the message */
};

static void values_expect(
        struct fixture *fixture, const struct dialect *dialect, const struct row *rows, size_t count) {
        for (size_t i = 0; i < count; i++) {
                if (parse(fixture, dialect, rows[i].text, strlen(rows[i].text)) < 0)
                        fail_msg("'%s': %s", rows[i].text, fixture->error.text);
                assert_int_equal(fixture->list.count, 1);
                if (fixture->list.at[0].value.length != strlen(rows[i].expected) ||
                        memcmp(fixture->list.at[0].value.at, rows[i].expected, strlen(rows[i].expected)) != 0)
                        fail_msg("'%s' reads as '%.*s', not '%s'", rows[i].text,
                                (int)fixture->list.at[0].value.length, (char *)fixture->list.at[0].value.at,
                                rows[i].expected);
                assert_string_equal(fixture->list.at[0].name, "A");
        }
}

static void errors_expect(
        struct fixture *fixture, const struct dialect *dialect, const struct row *rows, size_t count) {
        for (size_t i = 0; i < count; i++) {
                if (parse(fixture, dialect, rows[i].text, strlen(rows[i].text)) == 0)
                        fail_msg("'%s' is taken", rows[i].text);
                if (strncmp(fixture->error.text, rows[i].expected, strlen(rows[i].expected)) != 0)
                        fail_msg("'%s' says '%s', not '%s'", rows[i].text, fixture->error.text,
                                rows[i].expected);
                assert_int_equal(fixture->error.status, EXIT_STATUS_DATA);
                assert_null(strstr(fixture->error.text, "canary"));
                assert_null(strstr(fixture->error.hint, "canary"));
        }
}

static void test_dotenv_values_read_as_the_manual_says(void **state) {
        static const struct row rows[] = {
                {"A=b", "b"},
                {"export A=b\n", "b"},
                {"  export \t A=b\n", "b"},
                {"\xef\xbb\xbf"
                 "A=b\n",
                        "b"},
                {"A=b\r\n", "b"},
                {"A= \t b c \t\n", "b c"},
                {"A=b # note", "b"},
                {"A=b\t# note", "b"},
                {"A=b#c", "b#c"},
                {"A=#c", "#c"},
                {"A=pa$1wor$D`x`\\n", "pa$1wor$D`x`\\n"},
                {"A=it's \"so\"", "it's \"so\""},
                {"A=b=c==", "b=c=="},
                {"A='$x \\n \"q\" # no'", "$x \\n \"q\" # no"},
                {"A='b\nc'\n", "b\nc"},
                {"A='b\r\nc'\r\n", "b\nc"},
                {"A=\"b\\r\\nc\" # note\n", "b\r\nc"},
                {"A=\"\\\"\\\\\\$\\t\"", "\"\\$\t"},
                {"A=\"b\nc\"", "b\nc"},
                {"A=\"b\\\\\"", "b\\"},
                {"A:base64=cGFzcw==\n", "pass"},
                {"A:base64='cGFzcw=='\n", "pass"},
                {"A:empty=\n", ""},
                {"# B=c\n\n \t\n  # x\nA=b\n#", "b"},
                {"A=\xff\x80\x01", "\xff\x80\x01"},
        };

        values_expect(*state, &dialect_tacet, rows, COUNT_OF(rows));
}

static void test_dotenv_errors_name_the_place_and_no_value(void **state) {
        static const struct row rows[] = {
                {"canary\n", "f:1:7: expected '='"},
                {"B=1\n canary canary=x\n", "f:2:8: expected '='"},
                {"A =canary", "f:1:2: a blank between"},
                {"1A=canary", "f:1:1: expected a variable name"},
                {"A.B=canary", "f:1:2: expected '='"},
                {"canary:x=1", "f:1:7: the markers"},
                {"=canary", "f:1:1: expected a variable name"},
                {"LD_SDK_KEY=x\nLD_PRELOAD=canary", "f:2:1: LD_PRELOAD: no secret can have this name"},
                {"\xc3\xa4=canary", "f:1:1: expected a variable name"},
                {"\xff\xfe"
                 "A",
                        "f:1:1: expected a variable name"},
                {"A=", "f:1:1: A: the value is empty (0 bytes)"},
                {"A= # canary", "f:1:1: A: the value is empty"},
                {"A=''", "f:1:1: A: the value is empty"},
                {"A:base64=", "f:1:1: A: the value is empty"},
                {"A:empty=canary", "f:1:9: A: ':empty=' with a value"},
                {"B=x\nA='canary\ncanary", "f:2:3: A: the quote that opens here"},
                {"A=\"canary\\", "f:1:3: A: the quote that opens here"},
                {"A=\"canary\\x\"", "f:1:10: A: an unknown escape"},
                {"A=\"canary\\\n\"", "f:1:10: A: an unknown escape"},
                {"A='canary'canary", "f:1:11: A: text behind the closing quote"},
                {"A='canary'#", "f:1:11: A: text behind the closing quote"},
                {"A=x\rcanary", "f:1:4: A: a carriage return"},
                {"A:base64=canary!", "f:1:10: A: not base64 (7 characters)"},
                {"A:base64=cGFzcw", "f:1:10: A: not base64"},
                {"A:base64=cGFzcx==", "f:1:10: A: not base64"},
                {"A:base64=cGFz\xff\xff==", "f:1:10: A: not base64"},
                {"A:base64=cGFz cw==", "f:1:10: A: not base64"},
                {"A:base64=AAAA", "f:1:1: A: the value (3 bytes) holds a NUL"},
                {"A=x\nB=canary\nA=y\n", "f:3: A: the name is already on line 1"},
                {"C=1\nB=2\nA=3\nB=4\nA=5\nC=6\n", "f:4: B: the name is already on line 2"},
        };

        errors_expect(*state, &dialect_tacet, rows, COUNT_OF(rows));
}

static void test_lines_are_counted_across_quoted_values(void **state) {
        static const char text[] = "# head\nA='1\n2\n3'\r\nB=x\n\nC=\"y\n\" # c\nD=z";
        struct fixture *fixture = *state;

        assert_int_equal(parse(fixture, &dialect_tacet, text, strlen(text)), 0);
        entry_expect(fixture, 0, "A", "1\n2\n3", 2);
        entry_expect(fixture, 1, "B", "x", 5);
        entry_expect(fixture, 2, "C", "y\n", 7);
        entry_expect(fixture, 3, "D", "z", 9);
        assert_int_equal(fixture->list.count, 4);
}

static void test_nul_is_refused_in_every_dialect(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(parse(fixture, &dialect_tacet, "A=b\0c\n", 6), -1);
        assert_non_null(strstr(fixture->error.text, "f:1:1: A: the value (3 bytes) holds a NUL"));
        assert_int_equal(parse(fixture, &dialect_docker, "A=b\0c\n", 6), -1);
        assert_non_null(strstr(fixture->error.text, "f:1:1: A: the value (3 bytes) holds a NUL"));
        assert_int_equal(parse(fixture, &dialect_json, "{\"A\":\"b\0c\"}", 11), -1);
        assert_int_equal(parse(fixture, &dialect_json, "{\"A\":\"b\\u0000c\"}", 16), -1);
        assert_non_null(strstr(fixture->error.text, "U+0000"));
}

static void test_a_string_of_131071_bytes_passes_and_one_more_does_not(void **state) {
        struct fixture *fixture = *state;
        size_t length = SECRET_STRING_BYTES_MAX + 1;
        char *text = malloc(length + 1);

        memset(text, 'x', length);
        memcpy(text, "AB=", 3);
        text[length] = 0;
        assert_int_equal(parse(fixture, &dialect_tacet, text, length - 1), 0);
        assert_int_equal(fixture->list.at[0].value.length, SECRET_STRING_BYTES_MAX - 3);
        assert_int_equal(parse(fixture, &dialect_tacet, text, length), -1);
        assert_string_equal(fixture->error.text,
                "f:1:1: AB: 131072 bytes with the name: one variable can have 131071 (execve(2))");
        free(text);
}

static void test_docker_lines_read_as_docker_reads_them(void **state) {
        static const struct row rows[] = {
                {"A=b", "b"},
                {"  \t A=b", "b"},
                {"A=ab#cd # e", "ab#cd # e"},
                {"A=\"x\"", "\"x\""},
                {"A='x'", "'x'"},
                {"A=b \t\n", "b \t"},
                {"A= b\r\n", " b"},
                {"A=$x\\n", "$x\\n"},
                {"#A=b\n  #\n\nA=c", "c"},
                {"\xef\xbb\xbf"
                 "A=b",
                        "b"},
                {"A=b=c", "b=c"},
                {"A=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
                {"A=b\nTACET_TEST_ABSENT\n", "b"},
        };

        values_expect(*state, &dialect_docker, rows, COUNT_OF(rows));
}

static void test_docker_bare_names_are_inherited(void **state) {
        struct fixture *fixture = *state;

        setenv("TACET_TEST_HERE", "from outside", 1);
        assert_int_equal(parse(fixture, &dialect_docker, "TACET_TEST_HERE\n", 16), 0);
        unsetenv("TACET_TEST_HERE");
        entry_expect(fixture, 0, "TACET_TEST_HERE", "from outside", 1);
}

static void test_docker_errors_name_the_place_and_no_value(void **state) {
        static const struct row rows[] = {
                {"A=b\nA B=canary", "f:2:1: not a variable name"},
                {"A =canary", "f:1:1: not a variable name"},
                {"canary canary", "f:1:1: not a variable name"},
                {"=canary", "f:1:1: not a variable name"},
                {"export A=canary", "f:1:1: not a variable name"},
                {"A=", "f:1:1: A: the value is empty"},
                {"A=canary\xff", "f:1:9: not UTF-8"},
                {"A=\xed\xa0\x80", "f:1:3: not UTF-8"},
                {"A=\xc0\x80", "f:1:3: not UTF-8"},
                {"A=\xf4\x90\x80\x80", "f:1:3: not UTF-8"},
                {"A=x\nA=y", "f:2: A: the name is already on line 1"},
        };

        errors_expect(*state, &dialect_docker, rows, COUNT_OF(rows));
}

static void test_docker_lines_end_at_64_kib(void **state) {
        struct fixture *fixture = *state;
        char *text = malloc(65536);

        memset(text, 'x', 65536);
        memcpy(text, "A=", 2);
        assert_int_equal(parse(fixture, &dialect_docker, text, 65535), 0);
        assert_int_equal(parse(fixture, &dialect_docker, text, 65536), -1);
        assert_non_null(strstr(fixture->error.text, "a line of 65536 bytes"));
        free(text);
}

static void test_a_text_that_begins_with_a_brace_is_json(void **state) {
        (void)state;
        assert_ptr_equal(document_dialect_of(BYTES_OF("{}")), &dialect_json);
        assert_ptr_equal(document_dialect_of(BYTES_OF("\xef\xbb\xbf \t\r\n{\"A\": \"1\"}")), &dialect_json);
        assert_ptr_equal(document_dialect_of(BYTES_OF("A={")), &dialect_tacet);
        assert_ptr_equal(document_dialect_of(BYTES_OF("# {\n")), &dialect_tacet);
        assert_ptr_equal(document_dialect_of(BYTES_OF(" \n")), &dialect_tacet);
        assert_ptr_equal(document_dialect_of((struct bytes){0}), &dialect_tacet);
}

static void test_json_values_are_decoded(void **state) {
        static const struct row rows[] = {
                {"{\"A\":\"b\"}", "b"},
                {" {\n\"A\" : \"b\\n\\u00e4\\\"\\\\\" } \n", "b\n\xc3\xa4\"\\"},
                {"\xef\xbb\xbf{\"A\":\"b\"}", "b"},
        };

        values_expect(*state, &dialect_json, rows, COUNT_OF(rows));
}

static void test_json_entries_keep_their_order_and_lines(void **state) {
        static const char text[] = "{\n  \"B\": \"1\",\n  \"A\": \"{\\\"x\\\": 1,}\",\n\n  \"C\": \"3\"}";
        struct fixture *fixture = *state;

        assert_int_equal(parse(fixture, &dialect_json, text, strlen(text)), 0);
        entry_expect(fixture, 0, "B", "1", 2);
        entry_expect(fixture, 1, "A", "{\"x\": 1,}", 3);
        entry_expect(fixture, 2, "C", "3", 5);
}

static void test_json_errors_name_the_place_and_no_value(void **state) {
        static const struct row rows[] = {
                {"", "f:1:1: the text ends inside"},
                {"[\"canary\"]", "f:1:1: not a JSON object"},
                {"\"canary\"", "f:1:9: not JSON"},
                {"{\"A\":canary}", "f:1:12: not JSON"},
                {"{\"A\":\"canary\"", "f:1:14: the text ends inside"},
                {"{\"A\":\"canary\"} canary", "f:1:"},
                {"{\"A\":\"x\",\n \"A\":\"canary\"}", "f:2:2: A: the name occurs twice"},
                {"{\"A\":\"x\",\n \"B\": 17}", "f:2:7: B: the value is a number"},
                {"{\"A\":\"x\",\n \"B\": {\"canary\":\"canary\"}}", "f:2:7: B: the value is an object"},
                {"{\"B\": [\"canary\"]}", "f:1:7: B: the value is an array"},
                {"{\"B\": null}", "f:1:7: B: the value is null"},
                {"{\"B\": true}", "f:1:7: B: the value is a boolean"},
                {"{\"A\": \"\"}", "f:1:2: A: the value is empty"},
                {"{\"A B\": \"canary\"}", "f:1:2: not a variable name"},
                {"{\"\": \"canary\"}", "f:1:2: not a variable name"},
                {"{\"\\u0041\": \"canary\"}", "f:1:2: A: a name written with escapes"},
                {"{\"A\": \"canary\xff\"}", "f:1:"},
        };

        errors_expect(*state, &dialect_json, rows, COUNT_OF(rows));
}

static void test_a_document_has_at_most_4096_variables(void **state) {
        struct fixture *fixture = *state;
        char *text = malloc(4097 * 8 + 1);
        size_t used = 0;

        for (unsigned i = 0; i < 4096; i++)
                used += (size_t)sprintf(text + used, "A%04x=1\n", i);
        assert_int_equal(parse(fixture, &dialect_tacet, text, used), 0);
        assert_int_equal(fixture->list.count, 4096);
        used += (size_t)sprintf(text + used, "B0000=1\n");
        assert_int_equal(parse(fixture, &dialect_tacet, text, used), -1);
        assert_string_equal(fixture->error.text, "f:4097: more than 4096 variables");
        free(text);
}

/* ---- editing ---- */

struct edit {
        const char *before;
        const char *value; /* NULL: unset */
        const char *after;
};

static void edits_expect(
        struct fixture *fixture, const struct dialect *dialect, const struct edit *edits, size_t count) {
        for (size_t i = 0; i < count; i++) {
                const struct edit *edit = &edits[i];
                struct bytes text = {(const uint8_t *)edit->before, strlen(edit->before)};
                struct dialect_input input = {text, "f", 0, &fixture->arena, &fixture->list, false};
                struct secret_bytes out = {0}, value = {0};
                int result;

                fixture_reset(fixture);
                if (edit->value) {
                        value.length = strlen(edit->value);
                        value.at = arena_take(&fixture->arena, value.length, &fixture->error);
                        memcpy(value.at, edit->value, value.length);
                        result = document_set(dialect, &input, &(struct document_value){"A", value, false},
                                &out, &fixture->error);
                } else {
                        result = document_unset(dialect, &input, "A", &out, &fixture->error);
                }
                assert_int_equal(fixture->list.count, 0);
                if (result != 0)
                        fail_msg("'%s': %s", edit->before, fixture->error.text);
                if (out.length != strlen(edit->after) || memcmp(out.at, edit->after, out.length) != 0)
                        fail_msg("'%s' becomes '%.*s', not '%s'", edit->before, (int)out.length,
                                (char *)out.at, edit->after);
                if (!edit->value)
                        continue;
                input.text = secret_view(out);
                assert_int_equal(document_parse(dialect, &input, &fixture->error), 0);
                for (size_t n = 0; n < fixture->list.count; n++)
                        if (strcmp(fixture->list.at[n].name, "A") == 0) {
                                assert_int_equal(fixture->list.at[n].value.length, value.length);
                                assert_memory_equal(fixture->list.at[n].value.at, value.at, value.length);
                        }
        }
}

static void test_dotenv_edits_leave_all_other_bytes_alone(void **state) {
        static const struct edit edits[] = {
                {"", "x", "A=x\n"},
                {"# c\nB=1", "x", "# c\nB=1\nA=x\n"},
                {"# c\r\nB=1\r\n", "x", "# c\r\nB=1\r\nA=x\r\n"},
                {"# c\n  export A=old # note\nB=1\n", "new", "# c\n  export A=new # note\nB=1\n"},
                {"A=\"o\\\"ld\n2\" # note\n\nB='1'\n", "new", "A=new # note\n\nB='1'\n"},
                {"A:base64=cGFzcw==\r\nB=1\n", "new", "A=new\r\nB=1\n"},
                {"A:empty=\n", "new", "A=new\n"},
                {"A=\nB=1", "new", "A=new\nB=1"},
                {"A= # todo\n", "new", "A=new # todo\n"},
                {"B=1\n", "a b#c", "B=1\nA='a b#c'\n"},
                {"B=1\n", "$x`y`\"z\\", "B=1\nA='$x`y`\"z\\'\n"},
                {"B=1\n", "1\n2\n", "B=1\nA='1\n2\n'\n"},
                {"B=1\n", "it's\r\n\t\"$\\", "B=1\nA=\"it's\\r\\n\\t\\\"\\$\\\\\"\n"},
                {"B=1\n", "\xc3\xa4", "B=1\nA='\xc3\xa4'\n"},
                {"# a\nA='1\n2' # x\nB=1\n", NULL, "# a\nB=1\n"},
                {"B=1\nexport A=2", NULL, "B=1\n"},
        };

        edits_expect(*state, &dialect_tacet, edits, COUNT_OF(edits));
}

static void test_json_edits_leave_all_other_bytes_alone(void **state) {
        static const struct edit edits[] = {
                {"", "x", "{\n  \"A\": \"x\"\n}\n"},
                {"{}", "x", "{\n  \"A\": \"x\"\n}"},
                {" { \n } \n", "x", " {\n  \"A\": \"x\"\n} \n"},
                {"{\n\t\"B\":  \"1\"\n}\n", "x", "{\n\t\"B\":  \"1\",\n\t\"A\":  \"x\"\n}\n"},
                {"{\"B\":\"1\"}", "q\"\\\n", "{\"B\":\"1\",\"A\":\"q\\\"\\\\\\n\"}"},
                {"{\"C\": \"}\\\"\", \"A\" : \"old\" , \"B\":\"1\"}", "new",
                        "{\"C\": \"}\\\"\", \"A\" : \"new\" , \"B\":\"1\"}"},
                {"{\n  \"A\": \"1\",\n  \"B\": \"2\"\n}", NULL, "{\n  \"B\": \"2\"\n}"},
                {"{\n  \"B\": \"2\",\n  \"A\": \"1\"\n}", NULL, "{\n  \"B\": \"2\"\n}"},
                {"{\"C\":\"0\", \"A\":\"1\", \"B\":\"2\"}", NULL, "{\"C\":\"0\", \"B\":\"2\"}"},
                {"{ \"A\":\"1\" }", NULL, "{  }"},
        };

        edits_expect(*state, &dialect_json, edits, COUNT_OF(edits));
}

static int set(struct fixture *fixture, const struct dialect *dialect, const char *text, const char *name,
        const char *value, bool as_base64, struct secret_bytes *out) {
        struct secret_bytes bytes = {(uint8_t *)(uintptr_t)value, strlen(value)};

        fixture_reset(fixture);
        return document_set(dialect,
                &(struct dialect_input){
                        {(const uint8_t *)text, strlen(text)}, "f", 0, &fixture->arena, NULL, false},
                &(struct document_value){name, bytes, as_base64}, out, &fixture->error);
}

static void test_binary_is_written_as_base64_only_when_asked(void **state) {
        struct fixture *fixture = *state;
        struct secret_bytes out = {0};

        assert_int_equal(set(fixture, &dialect_tacet, "", "A", "\x01\xff", false, &out), -1);
        assert_non_null(strstr(fixture->error.text, "(2 bytes) is binary"));
        assert_int_equal(set(fixture, &dialect_tacet, "A=old # c\n", "A", "\x01\xff", true, &out), 0);
        assert_memory_equal(out.at, "A:base64=Af8= # c\n", out.length);
        assert_int_equal(set(fixture, &dialect_json, "{}", "A", "\x01\xff", false, &out), -1);
        assert_int_equal(set(fixture, &dialect_json, "{}", "A", "x", true, &out), -1);
}

static void test_edits_are_refused_where_they_could_surprise(void **state) {
        struct fixture *fixture = *state;
        struct secret_bytes out = {0};

        assert_int_equal(set(fixture, &dialect_tacet, "", "A B", "x", false, &out), -1);
        assert_int_equal(set(fixture, &dialect_tacet, "", "A", "", false, &out), -1);
        assert_int_equal(set(fixture, &dialect_docker, "", "A", "x", false, &out), -1);
        assert_int_equal(set(fixture, &dialect_tacet, "A=1\nA=2\n", "A", "x", false, &out), -1);
        assert_non_null(strstr(fixture->error.text, "f:2:1: A: the name is already on line 1"));
        assert_int_equal(set(fixture, &dialect_tacet, "B='1\n", "A", "x", false, &out), -1);
        assert_int_equal(set(fixture, &dialect_json, "{\"B\":1}", "A", "x", false, &out), -1);
        assert_int_equal(
                document_unset(&dialect_tacet,
                        &(struct dialect_input){BYTES_OF("B=1\n"), "f", 0, &fixture->arena, NULL, false}, "A",
                        &out, &fixture->error),
                1);
        assert_int_equal(
                document_unset(&dialect_json,
                        &(struct dialect_input){BYTES_OF("{}"), "f", 0, &fixture->arena, NULL, false}, "A",
                        &out, &fixture->error),
                1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dotenv_values_read_as_the_manual_says),
                cmocka_unit_test(test_dotenv_errors_name_the_place_and_no_value),
                cmocka_unit_test(test_lines_are_counted_across_quoted_values),
                cmocka_unit_test(test_nul_is_refused_in_every_dialect),
                cmocka_unit_test(test_a_string_of_131071_bytes_passes_and_one_more_does_not),
                cmocka_unit_test(test_docker_lines_read_as_docker_reads_them),
                cmocka_unit_test(test_docker_bare_names_are_inherited),
                cmocka_unit_test(test_docker_errors_name_the_place_and_no_value),
                cmocka_unit_test(test_docker_lines_end_at_64_kib),
                cmocka_unit_test(test_a_text_that_begins_with_a_brace_is_json),
                cmocka_unit_test(test_json_values_are_decoded),
                cmocka_unit_test(test_json_entries_keep_their_order_and_lines),
                cmocka_unit_test(test_json_errors_name_the_place_and_no_value),
                cmocka_unit_test(test_a_document_has_at_most_4096_variables),
                cmocka_unit_test(test_dotenv_edits_leave_all_other_bytes_alone),
                cmocka_unit_test(test_json_edits_leave_all_other_bytes_alone),
                cmocka_unit_test(test_binary_is_written_as_base64_only_when_asked),
                cmocka_unit_test(test_edits_are_refused_where_they_could_surprise),
        };

        return cmocka_run_group_tests_name("document", tests, fixture_up, fixture_down);
}
