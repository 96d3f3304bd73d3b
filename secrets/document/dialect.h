#pragma once

/* What a dialect of secret documents is, and what the dialects share. Internal to this folder: everybody else
 * uses document.h. */

#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/document/document.h"

/* One dialect: the last thing in its file. */
struct dialect {
        const char *format; /* the word of `format` in tacet.conf(5) */
        const char *word;   /* the word of `dialect`; NULL: it is the only one of its format */
        const char *suffix; /* of its files, with the dot */
        char opening;       /* what a text of it begins with, and no other text does; 0: nothing tells it */

        /* Append all entries; without a list only check. 0 or -1 with error. Names that occur twice are the
         * caller's. */
        int (*parse)(const struct dialect_input *input, struct error *error);

        /* Edit one variable, as document_set() and document_unset() say; NULL: read only. The value has been
         * checked. */
        int (*set)(const struct dialect_input *input, const struct document_value *value,
                struct secret_bytes *out, struct error *error);
        int (*unset)(const struct dialect_input *input, const char *name, struct secret_bytes *out,
                struct error *error);
};

/* Where the text starts behind a byte order mark, which Windows editors write and which means nothing in
 * UTF-8. */
size_t text_start(struct bytes text);

/* The line (from 1) of the byte at `offset`. */
uint32_t text_line(struct bytes text, size_t offset);

/* Set an error "FILE:LINE:COLUMN: [NAME: ]...", where `name` may have length 0. Only give a name that was
 * valid and followed by '=': anything else may be a piece of a value that lost its quotes. */
int dialect_error(const struct dialect_input *input, size_t offset, struct bytes name, struct error *error,
        const char *format, ...) __attribute__((format(printf, 5, 6), cold));

/* Check and append one variable. `offset` is where its name stands, for messages; `value` lies in the
 * arena. */
int dialect_add(const struct dialect_input *input, size_t offset, uint32_t line, struct bytes name,
        struct secret_bytes value, bool may_be_empty, struct error *error);

/* Join `count` pieces into one new text in the arena. */
int dialect_join(const struct dialect_input *input, const struct bytes *pieces, size_t count,
        struct secret_bytes *out, struct error *error);
