/* Option tables: see options.h.
 *
 * Runs in every role that has a command line, PID 1 among them, before anything is set up: it allocates
 * nothing, opens nothing and touches no locale. getopt_long(3) is not used because it keeps hidden state,
 * permutes argv, prints by itself (an argument with a secret in it would reach the log), and knows neither
 * help texts nor near misses. */

#include "cli/common/options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/schema.h"
#include "cli/common/terminal.h"
#include "lib/bytes.h"
#include "lib/fd.h"

/* A wider option has a line of its own, so that it does not push the help of all others to the right. */
#define HELP_COLUMN_MAX 30

void option_start(struct option_reader *reader, const struct option_table *table, char **argv) {
        assert(table->count <= OPTION_SPECS_MAX);
        *reader = (struct option_reader){.table = table, .rest = argv[0] ? argv + 1 : argv};
}

int option_usage_error(const struct option_table *table, struct error *error, const char *format, ...) {
        char text[ERROR_TEXT_BYTES];
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        error_set(error, 0, "%s", text);
        error_hint(error, "%s --help lists what it takes", table->command);
        return error_status(error, EXIT_STATUS_USAGE);
}

/* The table's own entry nearest to a long name that is not in it, or NULL. `length` leaves out a value. */
static const char *name_nearest(const struct option_table *table, const char *name, size_t length) {
        /* With more wrong letters than this a short word is near to nearly everything. */
        unsigned best = length < 5 ? 2 : 3;
        const char *nearest = NULL;
        char typed[64];

        snprintf(typed, sizeof typed, "%.*s", (int)(length < sizeof typed ? length : sizeof typed - 1), name);
        for (size_t i = 0; i < table->count; i++) {
                const struct option_spec *spec = &table->specs[i];
                unsigned distance;

                /* What --help does not show is not suggested either. */
                if (!spec->name || !spec->help)
                        continue;
                distance = text_distance(typed, spec->name, best);
                /* Abbreviations are not accepted (see options.h), but who types one is told the whole
                 * name. */
                if (length >= 3 && strncmp(typed, spec->name, length) == 0)
                        distance = 0;
                if (distance < best) {
                        best = distance;
                        nearest = spec->name;
                }
        }
        return nearest;
}

static bool table_has(const struct option_table *table, const char *name) {
        for (size_t i = 0; i < table->count; i++)
                if (table->specs[i].name && strcmp(table->specs[i].name, name) == 0)
                        return true;
        return false;
}

/* The message has the name alone: what stands behind a `=` may be a secret. */
static int option_unknown(
        const struct option_reader *reader, const char *name, size_t length, struct error *error) {
        const char *nearest = name_nearest(reader->table, name, length);
        const char *renamed = schema_renamed_option(name, length);

        if (renamed && table_has(reader->table, renamed)) { /* else the verb never had it */
                option_usage_error(
                        reader->table, error, "'--%.*s' is called '--%s' now", (int)length, name, renamed);
                return error_hint(error, "write --%s instead", renamed);
        }
        option_usage_error(
                reader->table, error, "unknown option '--%.*s'", (int)(length < 64 ? length : 64), name);
        if (nearest)
                error_hint(
                        error, "did you mean '--%s'? %s --help lists all", nearest, reader->table->command);
        return -1;
}

const char *option_spelling(const struct option_spec *spec, char out[static OPTION_SPELLING_BYTES]) {
        if (spec->name)
                snprintf(out, OPTION_SPELLING_BYTES, "--%s", spec->name);
        else
                snprintf(out, OPTION_SPELLING_BYTES, "-%c", spec->letter);
        return out;
}

/* The option `spec` was met; `value` is what was attached to it or NULL. Without one, the next argument is
 * taken whatever it looks like (GNU habit: `-o -x` is a file named -x). */
static int option_accept(
        struct option_reader *reader, const struct option_spec *spec, char *value, struct error *error) {
        size_t index = (size_t)(spec - reader->table->specs);
        uint64_t bit = UINT64_C(1) << (index % 64);
        char spelling[OPTION_SPELLING_BYTES];

        reader->spec = spec;
        reader->value = value;
        if (spec->value && !value) {
                if (!*reader->rest)
                        return option_usage_error(reader->table, error, "'%s' needs a value: %s",
                                option_spelling(spec, spelling), spec->value);
                reader->value = *reader->rest++;
        }
        /* Counted by row, so -o and --output are the same option. Twice is an error, since one of the two
         * would be lost, and which one differs between programs. */
        if ((reader->seen[index / 64] & bit) && !spec->is_repeatable)
                return option_usage_error(
                        reader->table, error, "'%s' is given twice", option_spelling(spec, spelling));
        reader->seen[index / 64] |= bit;
        return spec->id ? spec->id : OPTION_ROW;
}

static int option_next_long(struct option_reader *reader, char *name, struct error *error) {
        char *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);

        for (size_t i = 0; i < reader->table->count; i++) {
                const struct option_spec *spec = &reader->table->specs[i];

                if (!spec->name || strncmp(spec->name, name, length) != 0 || spec->name[length])
                        continue;
                if (!spec->value && equals)
                        return option_usage_error(reader->table, error, "'--%s' takes no value", spec->name);
                return option_accept(reader, spec, equals ? equals + 1 : NULL, error);
        }
        return option_unknown(reader, name, length, error);
}

static int option_next_letter(struct option_reader *reader, char *letters, struct error *error) {
        reader->bundle = letters[1] ? letters + 1 : NULL;
        for (size_t i = 0; i < reader->table->count; i++) {
                const struct option_spec *spec = &reader->table->specs[i];
                char *value = NULL;

                if (spec->letter != letters[0])
                        continue;
                if (spec->value) {
                        value = reader->bundle;
                        reader->bundle = NULL;
                }
                return option_accept(reader, spec, value, error);
        }
        /* One letter of the bundle: the rest may be a value that was attached to it. */
        return option_usage_error(reader->table, error, "unknown option '-%c'", letters[0]);
}

int option_next(struct option_reader *reader, struct error *error) {
        char *argument;

        if (reader->bundle)
                return option_next_letter(reader, reader->bundle, error);
        reader->value = NULL;
        if (!reader->is_past_options && *reader->rest && strcmp(*reader->rest, "--") == 0) {
                reader->is_past_options = true;
                reader->rest++;
        }
        argument = *reader->rest;
        if (!argument)
                return OPTION_END;
        /* A dash alone is an operand: it means standard input to most verbs. */
        if (!reader->is_past_options && argument[0] == '-' && argument[1]) {
                reader->rest++;
                return argument[1] == '-' ? option_next_long(reader, argument + 2, error)
                                          : option_next_letter(reader, argument + 1, error);
        }
        if (reader->table->stops_at_operand)
                return OPTION_END;
        reader->value = argument;
        reader->rest++;
        return OPTION_OPERAND;
}

/* Hand what option_next() returned to the taker of its row. */
static int option_take(const struct option_reader *reader, int id, void *request, struct error *error) {
        const struct option_table *table = reader->table;

        assert(id == OPTION_OPERAND || reader->spec); /* the row of every option that was returned */
        if (id != OPTION_OPERAND)
                return reader->spec->take((char *)request + reader->spec->offset, reader, error);
        if (!table->operand)
                return option_usage_error(table, error, "%s takes no operand", table->command);
        return table->operand((char *)request + table->operand_offset, reader, error);
}

int option_read_all(
        const struct option_table *table, char **argv, void *request, int *out_status, struct error *error) {
        struct option_reader reader;
        int id;

        option_start(&reader, table, argv);
        while ((id = option_next(&reader, error)) != OPTION_END) {
                if (id == OPTION_HELP) {
                        *out_status = option_help_print(table, STDOUT_FILENO);
                        return 1;
                }
                if (id < 0 || option_take(&reader, id, request, error) < 0)
                        return -1;
        }
        return 0;
}

int option_take_true(void *member, const struct option_reader *reader, struct error *error) {
        (void)reader, (void)error;
        *(bool *)member = true;
        return 0;
}

int option_take_false(void *member, const struct option_reader *reader, struct error *error) {
        (void)reader, (void)error;
        *(bool *)member = false;
        return 0;
}

int option_take_text(void *member, const struct option_reader *reader, struct error *error) {
        (void)error;
        *(const char **)member = reader->value;
        return 0;
}

int option_take_file(void *member, const struct option_reader *reader, struct error *error) {
        const char **path = member;

        if (*path)
                return option_usage_error(reader->table, error, "more than one file is named");
        *path = reader->value;
        return 0;
}

int option_number(
        const struct option_reader *reader, uint64_t min, uint64_t max, uint64_t *out, struct error *error) {
        char spelling[OPTION_SPELLING_BYTES];
        uint64_t number;

        if (!text_to_u64(reader->value, &number) || number < min || number > max)
                return option_usage_error(reader->table, error,
                        "'%s' takes a number from %" PRIu64 " to %" PRIu64,
                        option_spelling(reader->spec, spelling), min, max);
        *out = number;
        return 0;
}

/* ---- --help ---- */

/* The text goes to the descriptor piece by piece, not through stdio: options are read in PID 1 too, and a
 * failed write has to be known before the exit status is chosen. */
struct help {
        int fd;
        const char *strong, *plain; /* escape sequences, or empty */
        bool has_failed;
};

static void help_put(struct help *help, const char *text, size_t length) {
        if (!help->has_failed && fd_write_full(help->fd, text, length) < 0)
                help->has_failed = true;
}

static void help_text(struct help *help, const char *text) {
        help_put(help, text, strlen(text));
}

/* Text of one or more lines; every line but the first is indented by `indent`. */
static void help_lines(struct help *help, const char *text, size_t indent) {
        static const char blanks[] = "                                        ";
        const char *end;

        for (; (end = strchr(text, '\n')); text = end + 1) {
                help_put(help, text, (size_t)(end - text) + 1);
                help_put(help, blanks, indent < sizeof blanks - 1 ? indent : sizeof blanks - 1);
        }
        help_text(help, text);
        help_text(help, "\n");
}

/* "  -o, --output FILE" as plain text; returns its width. */
static size_t help_option_left(const struct option_spec *spec, char *out, size_t room) {
        char letter[5] = "    ";
        int length;

        if (spec->letter)
                snprintf(letter, sizeof letter, "-%c%s", spec->letter, spec->name ? ", " : "");
        length = snprintf(out, room, "  %s%s%s%s%s", letter, spec->name ? "--" : "",
                spec->name ? spec->name : "", spec->value ? " " : "", spec->value ? spec->value : "");
        return (size_t)length < room ? (size_t)length : room - 1;
}

static void help_options(struct help *help, const struct option_table *table) {
        size_t column = 0;
        char left[96];

        for (size_t i = 0; i < table->count; i++) {
                size_t width =
                        table->specs[i].help ? help_option_left(&table->specs[i], left, sizeof left) + 2 : 0;

                if (width > column && width <= HELP_COLUMN_MAX)
                        column = width;
        }
        for (size_t i = 0; i < table->count; i++) {
                const struct option_spec *spec = &table->specs[i];
                size_t width;

                if (!spec->help)
                        continue;
                width = help_option_left(spec, left, sizeof left);
                help_text(help, help->strong);
                help_put(help, left, width);
                help_text(help, help->plain);
                if (width + 2 > column) {
                        help_text(help, "\n");
                        width = 0;
                }
                for (; width < column; width++)
                        help_text(help, " ");
                help_lines(help, spec->help, column);
        }
}

int option_help_print(const struct option_table *table, int fd) {
        bool has_color = terminal_has_color(fd);
        struct help help = {
                .fd = fd, .strong = has_color ? "\033[1m" : "", .plain = has_color ? "\033[0m" : ""};
        struct error error;

        help_text(&help, help.strong);
        help_text(&help, "Usage:");
        help_text(&help, help.plain);
        for (const char *form = table->synopsis, *end; *form; form = *end ? end + 1 : end) {
                end = strchrnul(form, '\n');
                help_text(&help, form == table->synopsis ? " " : "       ");
                help_text(&help, table->command);
                help_text(&help, " ");
                help_put(&help, form, (size_t)(end - form));
                help_text(&help, "\n");
        }
        help_lines(&help, table->purpose, 0);
        help_text(&help, "\n");
        help_options(&help, table);
        if (table->notes) {
                help_text(&help, "\n");
                help_lines(&help, table->notes, 0);
        }
        if (!help.has_failed)
                return EXIT_STATUS_DONE;
        error_set(&error, errno, "write the help text");
        cli_error_print(&error);
        return EXIT_STATUS_FAILED;
}
