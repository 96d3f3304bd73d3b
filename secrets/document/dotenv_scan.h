#pragma once

/* The scanner of tacet's own dotenv dialect, for its reader (dotenv.c) and its editor (dotenv_edit.c). The
 * grammar stands in tacet.dotenv(5). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secrets/document/dialect.h"

enum dotenv_quote {
        DOTENV_PLAIN,
        DOTENV_SINGLE,
        DOTENV_DOUBLE,
};

enum dotenv_marker {
        DOTENV_TEXT,
        DOTENV_BASE64,
        DOTENV_EMPTY,
};

/* One assignment; all are offsets into the text. */
struct dotenv_item {
        size_t start; /* of its first line */
        size_t name;
        size_t name_length;
        size_t value; /* the first byte of the value, which may be a quote */
        size_t value_end;
        size_t end; /* behind the end of its last line */
        uint32_t line;
        enum dotenv_quote quote;
        enum dotenv_marker marker;
};

struct dotenv_scanner {
        const struct dialect_input *input;
        size_t at;
        uint32_t line;
};

#define DOTENV_END 1

/* Begin at the start of the text, behind a byte order mark. */
void dotenv_scanner_init(struct dotenv_scanner *scanner, const struct dialect_input *input);

/* Find the next assignment. Returns 0 with *out, DOTENV_END, or -1 with error. */
int dotenv_scan(struct dotenv_scanner *scanner, struct dotenv_item *out, struct error *error);

/* The name of an item; it borrows the text. */
static inline struct bytes dotenv_name(const struct dialect_input *input, const struct dotenv_item *item) {
        return (struct bytes){input->text.at + item->name, item->name_length};
}
