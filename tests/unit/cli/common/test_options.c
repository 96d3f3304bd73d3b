/* Option tables: what is accepted, what is refused, and that no message repeats a value. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/common/options.h"

enum { OUT = 1, KEY, ARMOR, VERBOSE, COUNT, LONG_ONLY, HIDDEN };

static const struct option_spec specs[] = {
        {.id = OUT,
                .letter = 'o',
                .name = "output",
                .value = "FILE",
                .help = "write to FILE\nand nowhere else"},
        {.id = KEY,
                .letter = 'i',
                .name = "identity",
                .value = "FILE",
                .help = "open with it",
                .is_repeatable = true},
        {.id = ARMOR, .letter = 'a', .name = "armor", .help = "write text"},
        {.id = VERBOSE, .letter = 'v', .help = "say more", .is_repeatable = true},
        {.id = COUNT, .name = "count", .value = "N", .help = "how many"},
        {.id = LONG_ONLY, .name = "a-very-long-option-name-indeed", .value = "VALUE", .help = "wide"},
        {.id = HIDDEN, .name = "secret-door", .help = NULL},
        OPTION_SPEC_HELP,
};
static const struct option_table table = {.command = "tacet try",
        .synopsis = "[OPTION]... FILE\n--count N",
        .purpose = "Try it.",
        .notes = "Notes.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0]};

#define READ(...)                                                                                            \
        char *argv[] = {(char[]){"try"}, __VA_ARGS__, NULL};                                                 \
        struct option_reader reader;                                                                         \
        struct error error = {0};                                                                            \
        option_start(&reader, &table, argv)
#define ARG(text) ((char[]){text})
#define NEXT(id)  assert_int_equal(option_next(&reader, &error), id)

static void every_spelling_of_a_value_is_read(void **state) {
        (void)state;
        READ(ARG("-i"), ARG("a"), ARG("-ib"), ARG("--identity"), ARG("c"), ARG("--identity=d"),
                ARG("--identity="));
        for (const char *want = "abcd"; *want; want++) {
                NEXT(KEY);
                assert_int_equal(reader.value[0], *want);
        }
        NEXT(KEY);
        assert_string_equal(reader.value, "");
        NEXT(OPTION_END);
}

static void bundled_letters_are_read_one_by_one(void **state) {
        (void)state;
        READ(ARG("-vavofile"), ARG("-vo"), ARG("x"));
        NEXT(VERBOSE);
        NEXT(ARMOR);
        NEXT(VERBOSE);
        NEXT(OUT);
        assert_string_equal(reader.value, "file");
        NEXT(VERBOSE);
        assert_int_equal(option_next(&reader, &error), -1);
        assert_string_equal(error.text, "'--output' is given twice");
}

static void operands_and_options_mix_until_two_dashes(void **state) {
        (void)state;
        READ(ARG("one"), ARG("-a"), ARG("-"), ARG("--"), ARG("-v"), ARG("--"));
        NEXT(OPTION_OPERAND);
        assert_string_equal(reader.value, "one");
        NEXT(ARMOR);
        assert_null(reader.value);
        NEXT(OPTION_OPERAND);
        assert_string_equal(reader.value, "-");
        NEXT(OPTION_OPERAND);
        assert_string_equal(reader.value, "-v");
        NEXT(OPTION_OPERAND);
        assert_string_equal(reader.value, "--");
        NEXT(OPTION_END);
}

static void the_first_operand_ends_the_options_when_asked(void **state) {
        struct option_table stops = table;

        (void)state;
        stops.stops_at_operand = true;
        {
                READ(ARG("-a"), ARG("cmd"), ARG("-v"));
                option_start(&reader, &stops, argv);
                NEXT(ARMOR);
                NEXT(OPTION_END);
                assert_ptr_equal(reader.rest, argv + 2);
        }
        {
                READ(ARG("--"), ARG("-x"));
                option_start(&reader, &stops, argv);
                NEXT(OPTION_END);
                assert_ptr_equal(reader.rest, argv + 2);
        }
}

static void nothing_at_all_is_the_end(void **state) {
        char *none[] = {NULL};
        struct option_reader reader;
        struct error error = {0};

        (void)state;
        option_start(&reader, &table, none);
        NEXT(OPTION_END);
        NEXT(OPTION_END);
}

static void a_near_miss_is_suggested(void **state) {
        (void)state;
        READ(ARG("--identiy=hunter2"));
        NEXT(-1);
        assert_string_equal(error.text, "unknown option '--identiy'");
        assert_non_null(strstr(error.hint, "'--identity'"));
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

static void a_former_name_is_answered_with_that_of_today(void **state) {
        static const struct option_spec now[] = {
                {.id = OUT, .name = "queue-quiet", .value = "DURATION", .help = "quiet"}};
        static const struct option_table service = {.command = "tacet serve", .specs = now, .count = 1};
        char *argv[] = {ARG("serve"), ARG("--drain-quiet=hunter2"), NULL};
        struct option_reader reader;
        struct error error = {0};

        (void)state;
        option_start(&reader, &service, argv);
        NEXT(-1);
        assert_string_equal(error.text, "'--drain-quiet' is called '--queue-quiet' now");
        assert_string_equal(error.hint, "write --queue-quiet instead");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
}

static void a_former_name_that_the_verb_never_had_is_unknown(void **state) {
        (void)state;
        READ(ARG("--drain-quiet=hunter2"));
        NEXT(-1);
        assert_string_equal(error.text, "unknown option '--drain-quiet'");
        assert_null(strstr(error.hint, "queue-quiet"));
}

static void a_far_miss_or_hidden_option_is_not_suggested(void **state) {
        (void)state;
        READ(ARG("--secret-doors"));
        NEXT(-1);
        assert_null(strstr(error.hint, "did you mean"));
        assert_non_null(strstr(error.hint, "tacet try --help"));
}

static void no_message_repeats_a_value(void **state) {
        static const char *const wrong[] = {"--armor=hunter2", "-xhunter2", "--xyz=hunter2", "--=hunter2"};

        (void)state;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
                char copy[32];
                READ(copy);
                snprintf(copy, sizeof copy, "%s", wrong[i]);
                NEXT(-1);
                assert_null(strstr(error.text, "hunter2"));
                assert_null(strstr(error.hint, "hunter2"));
        }
}

static void a_missing_value_names_option_and_placeholder(void **state) {
        (void)state;
        READ(ARG("-o"));
        NEXT(-1);
        assert_string_equal(error.text, "'--output' needs a value: FILE");
}

static void numbers_are_checked_against_their_range(void **state) {
        uint64_t number = 7;

        (void)state;
        READ(ARG("--count=12"));
        NEXT(COUNT);
        assert_int_equal(option_number(&reader, 0, 11, &number, &error), -1);
        assert_int_equal(number, 7);
        assert_int_equal(option_number(&reader, 0, 12, &number, &error), 0);
        assert_int_equal(number, 12);
}

static void help_is_made_from_the_table(void **state) {
        int fd = memfd_create("help", MFD_CLOEXEC);
        char text[4096] = {0};

        (void)state;
        assert_int_equal(option_help_print(&table, fd), 0);
        assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
        close(fd);
        assert_ptr_equal(
                strstr(text, "Usage: tacet try [OPTION]... FILE\n       tacet try --count N\nTry it.\n\n"),
                text);
        assert_non_null(
                strstr(text, "\n  -o, --output FILE    write to FILE\n                       and nowhere"));
        assert_non_null(strstr(text, "\n  -v                   say more\n"));
        assert_non_null(strstr(
                text, "\n      --a-very-long-option-name-indeed VALUE\n                       wide\n"));
        assert_null(strstr(text, "secret-door"));
        assert_null(strchr(text, '\033'));
        assert_non_null(strstr(text, "\n\nNotes.\n"));
}

/* ---- tables that say where everything lands ---- */

struct request {
        bool is_armored, is_coloured;
        const char *output, *file;
        unsigned levels;
};

static int level_take(void *member, const struct option_reader *reader, struct error *error) {
        assert_ptr_equal(reader->spec->take, level_take);
        ++*(unsigned *)member;
        return *(unsigned *)member > 2 ? error_set(error, 0, "too deep") : 0;
}

static const struct option_spec request_specs[] = {
        {.letter = 'a', .name = "armor", .help = "write text", OPTION_SETS(struct request, is_armored)},
        {.name = "plain", .help = "no colour", OPTION_CLEARS(struct request, is_coloured)},
        {.letter = 'o',
                .name = "output",
                .value = "FILE",
                .help = "there",
                OPTION_KEEPS(struct request, output)},
        {.letter = 'l',
                .help = "deeper",
                .is_repeatable = true,
                .take = level_take,
                .offset = OPTION_MEMBER(struct request, levels, unsigned)},
        OPTION_SPEC_HELP,
};
static const struct option_table file_table = {.command = "tacet try",
        .synopsis = "FILE",
        .purpose = "Try it.",
        .specs = request_specs,
        .count = sizeof request_specs / sizeof request_specs[0],
        OPTION_FILE(struct request, file)};

static int request_read(
        const struct option_table *wanted, struct request *request, struct error *error, char **argv) {
        int status = -7, result = option_read_all(wanted, argv, request, &status, error);

        assert_int_equal(status, -7);
        return result;
}
#define REQUEST(...) ((char *[]){(char[]){"try"}, __VA_ARGS__, NULL})

static void a_table_puts_every_option_where_it_belongs(void **state) {
        struct request request = {.is_coloured = true};
        struct error error = {0};

        (void)state;
        assert_int_equal(request_read(&file_table, &request, &error,
                                 REQUEST(ARG("-lao"), ARG("out"), ARG("in"), ARG("-l"), ARG("--plain"))),
                0);
        assert_true(request.is_armored);
        assert_false(request.is_coloured);
        assert_string_equal(request.output, "out");
        assert_string_equal(request.file, "in");
        assert_int_equal(request.levels, 2);
}

static void what_was_not_given_is_left_alone(void **state) {
        struct request request = {.is_coloured = true, .output = "before"};
        struct error error = {0};

        (void)state;
        assert_int_equal(request_read(&file_table, &request, &error, REQUEST(ARG("-l"))), 0);
        assert_false(request.is_armored);
        assert_true(request.is_coloured);
        assert_string_equal(request.output, "before");
        assert_null(request.file);
}

static void a_taker_that_refuses_ends_the_reading(void **state) {
        struct request request = {0};
        struct error error = {0};

        (void)state;
        assert_int_equal(request_read(&file_table, &request, &error, REQUEST(ARG("-lll"), ARG("-a"))), -1);
        assert_string_equal(error.text, "too deep");
        assert_false(request.is_armored);
}

static void a_second_file_is_refused_and_so_is_any_without_a_place(void **state) {
        struct option_table none = file_table;
        struct request request = {0};
        struct error error = {0};

        (void)state;
        assert_int_equal(request_read(&file_table, &request, &error, REQUEST(ARG("a"), ARG("b"))), -1);
        assert_string_equal(error.text, "more than one file is named");
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        none.operand = NULL;
        assert_int_equal(request_read(&none, &request, &error, REQUEST(ARG("c"))), -1);
        assert_string_equal(error.text, "tacet try takes no operand");
        assert_string_equal(request.file, "a");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_spelling_of_a_value_is_read),
                cmocka_unit_test(bundled_letters_are_read_one_by_one),
                cmocka_unit_test(operands_and_options_mix_until_two_dashes),
                cmocka_unit_test(the_first_operand_ends_the_options_when_asked),
                cmocka_unit_test(nothing_at_all_is_the_end),
                cmocka_unit_test(a_near_miss_is_suggested),
                cmocka_unit_test(a_former_name_is_answered_with_that_of_today),
                cmocka_unit_test(a_former_name_that_the_verb_never_had_is_unknown),
                cmocka_unit_test(a_far_miss_or_hidden_option_is_not_suggested),
                cmocka_unit_test(no_message_repeats_a_value),
                cmocka_unit_test(a_missing_value_names_option_and_placeholder),
                cmocka_unit_test(numbers_are_checked_against_their_range),
                cmocka_unit_test(help_is_made_from_the_table),
                cmocka_unit_test(a_table_puts_every_option_where_it_belongs),
                cmocka_unit_test(what_was_not_given_is_left_alone),
                cmocka_unit_test(a_taker_that_refuses_ends_the_reading),
                cmocka_unit_test(a_second_file_is_refused_and_so_is_any_without_a_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
