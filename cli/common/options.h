#pragma once

/* Command line options as a table: reading them, and the --help text made from the same table.
 *
 * GNU habits: `-o FILE`, `-oFILE`, `--out FILE`, `--out=FILE`, bundled flags (`-av`), `--` ends the
 * options. Long names must be whole, so that a later option never changes what a script means. Nothing is
 * allocated, permuted or kept between two readers; the whole state is the caller's struct. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define OPTION_SPECS_MAX 128 /* of one table; the schema's rows are the most of run's */

struct option_reader;

/* Put what option_read_all() just met where it belongs.
 * member   what the row names in the verb's request, see OPTION_SETS() and its like
 * reader   `value` is the option's value or the operand; it is part of argv, writable, and outlives the verb
 * Returns 0, or -1 with error (EXIT_STATUS_USAGE as a rule). */
typedef int option_taker(void *member, const struct option_reader *reader, struct error *error);

struct option_spec {
        int id;             /* what option_next() returns; below OPTION_OPERAND. 0: OPTION_ROW */
        char letter;        /* 0: no short form */
        bool is_repeatable; /* false: a second one is an error */
        const char *name;   /* long name without the dashes; NULL: none */
        const char *value;  /* what --help calls the value; NULL: the option takes none */
        const char *help;   /* may hold line feeds; NULL: not listed in --help */
        option_taker *take; /* for option_read_all() alone; NULL where a verb reads by ids */
        size_t offset;      /* of take's member in the verb's request; 0: the request itself */
};

enum {
        OPTION_END = 0,          /* no more: the operands are reader->rest */
        OPTION_OPERAND = 0x7000, /* reader->value is an operand (only without `stops_at_operand`) */
        OPTION_HELP,             /* the id of OPTION_SPEC_HELP */
        OPTION_ROW,              /* an option without an id: reader->spec says which */
};

#define OPTION_SPEC_HELP                                                                                     \
        { .id = OPTION_HELP, .letter = 'h', .name = "help", .help = "show this help" }

/* The takers of rows that need no decision: such a verb has no code for its options, only a table. A member
 * of another type than the taker writes does not compile.
 *   OPTION_SETS    the bool becomes true          OPTION_KEEPS   the text is the option's value
 *   OPTION_CLEARS  the bool becomes false         OPTION_FILE    the text is the one operand */
#define OPTION_SETS(type, member)   .take = option_take_true, .offset = OPTION_MEMBER(type, member, bool)
#define OPTION_CLEARS(type, member) .take = option_take_false, .offset = OPTION_MEMBER(type, member, bool)
#define OPTION_KEEPS(type, member)                                                                           \
        .take = option_take_text, .offset = OPTION_MEMBER(type, member, const char *)
#define OPTION_FILE(type, member)                                                                            \
        .operand = option_take_file, .operand_offset = OPTION_MEMBER(type, member, const char *)

/* offsetof() a member that must have the type `wanted`. */
#define OPTION_MEMBER(type, member, wanted) _Generic(((type *)0)->member, wanted : offsetof(type, member))

/* One verb as its reader and its --help see it. */
struct option_table {
        const char *command;  /* how messages call it: "tacet set" */
        const char *synopsis; /* what follows the command in the usage line; several lines: several forms */
        const char *purpose;  /* one sentence or a short paragraph */
        const char *notes;    /* after the options: examples, files, environment; NULL: none */
        const struct option_spec *specs;
        size_t count;
        bool stops_at_operand; /* the first operand ends the options (`run ... CMD --its-own`) */
        option_taker *operand; /* for option_read_all(): gets each operand; NULL: none is accepted */
        size_t operand_offset; /* as option_spec.offset */
};

struct option_reader {
        const struct option_table *table;
        char **rest;                    /* arguments not yet looked at; NULL-terminated, as argv is */
        char *value;                    /* of the option or operand just returned; NULL when it has none */
        const struct option_spec *spec; /* the option just returned */
        char *bundle;                   /* inside `-abc`: what follows the letter just returned */
        bool is_past_options;           /* `--` was seen */
        uint64_t seen[OPTION_SPECS_MAX / 64];
};

/* How messages call an option: "--name", or "-x" when there is no long name. Returns `out`. */
#define OPTION_SPELLING_BYTES 48
const char *option_spelling(const struct option_spec *spec, char out[static OPTION_SPELLING_BYTES]);

/* Start reading behind argv[0]. `table` and `argv` are borrowed until the last use of `reader`. */
void option_start(struct option_reader *reader, const struct option_table *table, char **argv);

/* Read on: one option with its value, or one operand. reader->value and reader->spec say which it was.
 * Returns the option's id (OPTION_ROW when it has none), OPTION_OPERAND, OPTION_END when there is no more, or
 * -1 with error (EXIT_STATUS_USAGE, and the nearest known option as hint). After an error the reader is of no
 * use. Messages never hold the value of an option: it may be a secret that was typed at the wrong place. */
int option_next(struct option_reader *reader, struct error *error);

/* Read a whole command line: each option and operand is given to the taker of its row.
 * table        every row but --help has a taker
 * request      what the offsets of the rows count from: the verb's own struct
 * out_status   the exit status, set when --help was asked for
 * Returns 0; 1 when --help was asked for and has been printed; or -1 with error. */
int option_read_all(
        const struct option_table *table, char **argv, void *request, int *out_status, struct error *error);

/* The takers of OPTION_SETS(), OPTION_CLEARS(), OPTION_KEEPS() and OPTION_FILE(). They return 0; the last one
 * -1 for a second operand. */
int option_take_true(void *member, const struct option_reader *reader, struct error *error);
int option_take_false(void *member, const struct option_reader *reader, struct error *error);
int option_take_text(void *member, const struct option_reader *reader, struct error *error);
int option_take_file(void *member, const struct option_reader *reader, struct error *error);

/* Parse reader->value, a decimal number without a sign, from `min` to `max`. Returns 0; or -1 with a usage
 * error that names the range, and *out as it was. */
int option_number(
        const struct option_reader *reader, uint64_t min, uint64_t max, uint64_t *out, struct error *error);

/* Set a usage error: the text as printf(3) makes it, the hint that COMMAND --help lists what there is, and
 * EXIT_STATUS_USAGE. A better hint can be given afterwards, by error_hint(). The text must hold no value that
 * was given. Returns -1. */
int option_usage_error(const struct option_table *table, struct error *error, const char *format, ...)
        __attribute__((format(printf, 3, 4), cold));

/* Print the help text of a table to `fd` (borrowed); in colour where terminal_has_color() says so.
 * Returns an exit status: EXIT_STATUS_DONE, or EXIT_STATUS_FAILED for a closed or full output, which has been
 * reported. */
int option_help_print(const struct option_table *table, int fd);
