#pragma once

/* Secret documents: bytes in, named values out. Pure; runs in the loader (or in an editing verb), never in
 * PID 1.
 *
 * Errors name file, line, column, variable and size, never a byte of a value. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"

#define SECRET_NAME_BYTES_MAX 255
#define SECRETS_MAX           4096
/* The kernel's limit for one `NAME=value` string with its NUL is MAX_ARG_STRLEN, 32 pages of 4096 bytes
 * (execve(2)). */
#define SECRET_STRING_BYTES_MAX ((size_t)131071)

enum document_dialect {
        DOCUMENT_TACET,  /* tacet.dotenv(5): quotes, escapes, multi-line, base64 values, no interpolation */
        DOCUMENT_DOCKER, /* docker --env-file */
        DOCUMENT_JSON,   /* one flat object of strings */
};

struct secret_entry {
        const char *name;          /* NUL-terminated, in the arena */
        struct secret_bytes value; /* in the arena; holds no NUL */
        uint32_t line;             /* 1-based, where the name stands; 0: not from a text */
        uint16_t source;           /* index of the source it came from */
};

struct secret_list {
        struct secret_entry *at; /* heap; names and values are not */
        size_t count;
        size_t room;
};

void secret_list_deinit(struct secret_list *list);
int secret_list_add(struct secret_list *list, struct secret_entry entry, struct error *error);

/* Check one variable as every source must: a valid name, no NUL, SECRET_STRING_BYTES_MAX, not empty unless
 * allowed. The error begins with the name; the caller puts before it where that is. */
int secret_entry_check(struct bytes name, struct secret_bytes value, bool may_be_empty, struct error *error);

/* A name is [A-Za-z_][A-Za-z0-9_]*, at most SECRET_NAME_BYTES_MAX bytes. */
bool secret_name_is_valid(const char *name, size_t length);

/* Arena bytes that suffice to parse a text of `text_bytes` and then to set one value in it. */
size_t document_room(size_t text_bytes);

/* Parse a document and append its entries. A name that occurs twice in one document is an error that names
 * both lines; so are bad names, NUL, a string over SECRET_STRING_BYTES_MAX, and an empty value that is not
 * marked as meant. text    borrowed; values are copied (decoded) into `arena` file    how messages call it
 * DOCUMENT_DOCKER looks a bare NAME up in this process's environment and leaves it out when it is not there.
 * On failure the list may hold some of the entries. */
int document_parse(enum document_dialect dialect, struct bytes text, const char *file, uint16_t source,
        struct arena *arena, struct secret_list *list, struct error *error);

/* What a text is when nobody has said it: DOCUMENT_JSON when its first byte that is not blank is `{`, with
 * which no dotenv document begins; else DOCUMENT_TACET. */
enum document_dialect document_dialect_of(struct bytes text);

/* ---- editing, for `tacet set` and `unset`: comments, order and untouched lines stay byte for byte ---- */

/* Set or replace one variable of a DOCUMENT_TACET or DOCUMENT_JSON text. *out is a new text in `arena`.
 * Values that cannot be written plainly are quoted and escaped; binary is refused unless `as_base64`, which
 * JSON does not have. An empty value is refused. An empty text is a document without variables. */
int document_set(enum document_dialect dialect, struct bytes text, const char *file, const char *name,
        struct secret_bytes value, bool as_base64, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* Remove one variable. Returns 0, 1 when it is not there, or -1. */
int document_unset(enum document_dialect dialect, struct bytes text, const char *file, const char *name,
        struct arena *arena, struct secret_bytes *out, struct error *error);
