#pragma once

/* What the readers of the three dialects share. Internal to secrets/: everybody else uses document.h. */

#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/document/document.h"

/* One text on its way into a list. */
struct dialect_input {
        struct bytes text;
        const char *file;
        uint16_t source;
        struct arena *arena;
        struct secret_list *list;
};

int dotenv_parse(const struct dialect_input *input, struct error *error);
int docker_parse(const struct dialect_input *input, struct error *error);
int json_parse(const struct dialect_input *input, struct error *error); /* without a list it only checks */

/* The edit of one text: *out is the new one, in input->arena; input->list is not used. */
int dotenv_set(const struct dialect_input *input, const char *name, struct secret_bytes value, bool as_base64,
        struct secret_bytes *out, struct error *error);
int dotenv_unset(
        const struct dialect_input *input, const char *name, struct secret_bytes *out, struct error *error);
int json_set(const struct dialect_input *input, const char *name, struct secret_bytes value,
        struct secret_bytes *out, struct error *error);
int json_unset(
        const struct dialect_input *input, const char *name, struct secret_bytes *out, struct error *error);

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
