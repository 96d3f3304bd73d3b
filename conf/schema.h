#pragma once

/* The table of every key: one row is the key of the file, the option of the command line, the default and the
 * one-line help. The parser, the options of run and exec, `--help`, the manual's lint and the tests all read
 * it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/config.h"

/* How a value is written, and the type of the member that it is parsed into. */
enum schema_type {
        SCHEMA_TEXT,     /* char *; not empty */
        SCHEMA_PATH,     /* char *; not empty */
        SCHEMA_DURATION, /* int64_t, ns; minimum and maximum are ns */
        SCHEMA_SIZE,     /* uint64_t, bytes */
        SCHEMA_BOOLEAN,  /* bool */
        SCHEMA_NUMBER,   /* int32_t */
        SCHEMA_ENUM,     /* an unsigned int, from `words` */
        SCHEMA_WORD,     /* const char *: one of `words` as it stands there; NULL: not given */
        SCHEMA_SIGNAL,   /* int32_t; 0 is `none`, only where minimum is 0 */
        SCHEMA_MODE,     /* int32_t, octal 0 to 0777 */
        SCHEMA_LIMIT,    /* struct config_limit: SOFT[:HARD] */
        /* struct config_portion: a number to `maximum`, or 0% to 100%; maximum 0: a share alone */
        SCHEMA_PORTION,
        SCHEMA_SET,      /* uint32_t: bits, from `words`, with commas or blanks between them */
        SCHEMA_ADDRESS,  /* struct socket_address */
        SCHEMA_COMMAND,  /* struct config_words: quoted words; given once */
        SCHEMA_WORDS,    /* struct config_words: quoted words; appends */
        SCHEMA_NAMES,    /* as WORDS; each is NAME or PREFIX* */
        SCHEMA_SETTINGS, /* as WORDS; each is NAME=VALUE; as an option: one NAME=VALUE, taken as it is */
};

/* Where a key may be given: bits of schema_row.places. */
#define SCHEMA_IN_FILE 1U
#define SCHEMA_ON_RUN  2U
#define SCHEMA_ON_EXEC 4U

/* One word of SCHEMA_ENUM or SCHEMA_SET. */
struct schema_word {
        const char *word; /* NULL ends the list */
        unsigned value;
        const char *refusal; /* known, but why it cannot be had; NULL as a rule */
};

/* One key. Rows are in the order of the manual; those of a section stand together. */
struct schema_row {
        const char *section, *key;
        enum schema_type type;
        uint8_t places;
        uint16_t offset;          /* in struct config; in the record of a named section */
        const char *default_text; /* as the manual writes it; NULL: not set */
        const char *option;       /* long option without its dashes; NULL: none */
        const char *help;         /* one line, no full stop */
        int64_t minimum, maximum; /* NUMBER, DURATION, SIZE */
        const struct schema_word *words;
        bool is_expanded; /* in a file: conf/expand.h */
};

extern const struct schema_row schema_rows[];
extern const size_t schema_row_count;

/* One section, in the order of the manual. */
struct schema_section {
        const char *name;
        uint8_t is_named; /* [name NAME], may stand many times */
        const char *help;
};
extern const struct schema_section schema_sections[];
extern const size_t schema_section_count;

/* Find a section, a key, or the key of an option (without its dashes). Exact names only; NULL when there is
 * none. */
const struct schema_section *schema_find_section(const char *name);
const struct schema_row *schema_find(const char *section, const char *key);
const struct schema_row *schema_find_option(const char *option);

/* What a key, or an option (without its dashes), was called in an earlier version: its name today. NULL: it
 * is no former name. */
const char *schema_renamed_key(const char *section, const char *key);
const char *schema_renamed_option(const char *option, size_t length);

/* The spelling nearest to what was written, or NULL when none is near. schema_near_key also looks into the
 * other sections: *out_section is where the key belongs. */
const char *schema_near_section(const char *name);
const char *schema_near_key(const char *section, const char *key, const char **out_section);
const char *schema_near_option(const char *option);
const char *schema_near_word(const struct schema_word *words, const char *word);

/* What a value of this row may look like: "a duration such as 500ms, 30s, 5m or infinity", for messages.
 * Returns `out` or a constant. */
const char *schema_accepts(const struct schema_row *row, char out[static 256]);

/* How usage texts call the argument of the option: "DURATION", "PATH", "a|b|c". Returns `out` or a constant;
 * NULL for a boolean: the option alone means yes. */
const char *schema_argument(const struct schema_row *row, char out[static 256]);
