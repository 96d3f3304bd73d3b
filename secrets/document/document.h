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

/* A way of writing a document. Every one there is, in the order in which they are looked up; the first is
 * what a text is when nothing says otherwise. `tacet` is that of tacet.dotenv(5), `docker` that of docker
 * --env-file, `json` one flat object of strings. To add one: a file here that defines dialect_NAME (see
 * dialect.h), a row here, its word in conf/schema.c; a unit test compares the two lists. */
#define DIALECTS(ROW) ROW(tacet) ROW(docker) ROW(json)

struct dialect;

#define DIALECT_DECLARE(name) extern const struct dialect dialect_##name;
DIALECTS(DIALECT_DECLARE)
#undef DIALECT_DECLARE

struct secret_entry {
        const char *name;          /* NUL-terminated, in the arena */
        struct secret_bytes value; /* in the arena; holds no NUL */
        uint32_t line;             /* 1-based, where the name stands; 0: not from a text */
        uint16_t source;           /* index of the source it came from */
};

struct secret_list {
        struct secret_entry *at; /* in the arena, as names and values are */
        size_t count;
        size_t room;
};

/* Append an entry; the list grows in the arena. Returns 0, or -1 with error. */
int secret_list_add(
        struct secret_list *list, struct secret_entry entry, struct arena *arena, struct error *error);

/* Check one variable as every source must: a valid name, no NUL, SECRET_STRING_BYTES_MAX, not empty unless
 * allowed. The error begins with the name; the caller puts before it where that is. */
int secret_entry_check(struct bytes name, struct secret_bytes value, bool may_be_empty, struct error *error);

/* Refuse a value that holds an age identity: the key of other secrets is nearly always there by mistake, and
 * an environment is no place for it. The error is as that of secret_entry_check(). */
int secret_refuse_identity(struct bytes name, struct secret_bytes value, struct error *error);

/* A name is [A-Za-z_][A-Za-z0-9_]*, at most SECRET_NAME_BYTES_MAX bytes. */
bool secret_name_is_valid(const char *name, size_t length);

/* Arena bytes that suffice to parse a text of `text_bytes` and then to set one value in it. */
size_t document_room(size_t text_bytes);

/* One text, and where what is read from it goes. */
struct dialect_input {
        struct bytes text;        /* borrowed; values are copied (decoded) */
        const char *file;         /* how messages call it */
        uint16_t source;          /* what its entries will have as theirs */
        struct arena *arena;      /* for names, values, and new texts */
        struct secret_list *list; /* the entries are appended; not used by edits */
        bool may_hold_identities; /* else a value that holds an age identity is refused */
};

/* The dialect that the words of `format` and `dialect` in a configuration mean; each may be NULL, for any.
 * NULL when there is none. */
const struct dialect *document_dialect_named(const char *format, const char *word);

/* What a text is when nobody has said it: JSON when its first byte that is not blank is `{`, with which no
 * dotenv document begins; else the first dialect. */
const struct dialect *document_dialect_of(struct bytes text);

/* What a text will be that is not there yet, by the name of its file: of the dialects that can be told by
 * their first byte the one whose suffix the name has (`db.json.age`), else the first. */
const struct dialect *document_dialect_of_file(const char *path);

/* The suffix of files of a dialect, with its dot. */
const char *document_suffix(const struct dialect *dialect);

/* Parse a document and append its entries. A name that occurs twice in one document is an error that names
 * both lines; so are bad names, NUL, a string over SECRET_STRING_BYTES_MAX, and an empty value that is not
 * marked as meant. The docker dialect looks a bare NAME up in this process's environment and leaves it out
 * when it is not there. On failure the list may hold some of the entries. Returns 0 or -1 with error. */
int document_parse(const struct dialect *dialect, const struct dialect_input *input, struct error *error);

/* ---- editing, for `tacet set` and `unset`: comments, order and untouched lines stay byte for byte ---- */

struct document_value {
        const char *name;
        struct secret_bytes bytes;
        bool as_base64; /* the document holds base64, the app gets the bytes */
};

/* Set or replace one variable. *out is a new text in the arena. Values that cannot be written plainly are
 * quoted and escaped; binary is refused unless `as_base64`, which JSON does not have, and so are an empty
 * value and a dialect that is read only. An empty text is a document without variables. Returns 0 or -1 with
 * error. */
int document_set(const struct dialect *dialect, const struct dialect_input *input,
        const struct document_value *value, struct secret_bytes *out, struct error *error);

/* Remove one variable. Returns 0, 1 when it is not there, or -1 with error. */
int document_unset(const struct dialect *dialect, const struct dialect_input *input, const char *name,
        struct secret_bytes *out, struct error *error);
