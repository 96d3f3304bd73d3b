#pragma once

/* The age header: version line, stanzas, end line with the MAC (C2SP age.md, "Header").
 *
 * Parsing copies and allocates nothing: a stanza is a view into the file. age_header_parse() checks every
 * stanza once; afterwards age_stanza_next() walks them again and cannot fail. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"

#define AGE_VERSION_LINE         "age-encryption.org/v1\n"
#define AGE_HEADER_BYTES_MAX     ((size_t)1024 * 1024)
#define AGE_ARGUMENT_BYTES_MAX   ((size_t)16 * 1024)
#define AGE_STANZA_ARGUMENTS_MAX 64 /* grease included; the known kinds have at most 2 */
#define AGE_BODY_LINE_CHARACTERS 64
#define AGE_MAC_BYTES            32
#define AGE_FILE_KEY_BYTES       16
#define AGE_WRAPPED_BYTES        32 /* a wrapped file key: 16 and a tag */

struct age_stanza {
        struct bytes type;
        struct bytes arguments; /* the rest of the line, split by single spaces; empty when there is none */
        size_t argument_count;  /* without the type */
        struct bytes body;      /* base64 lines with their line ends */
        size_t line;            /* 1-based, in the header */
};

struct age_header {
        struct bytes text;    /* all of it, from the version line to the line end behind the MAC */
        size_t signed_length; /* what the MAC covers: up to and including `---` */
        size_t stanza_count;
        uint8_t mac[AGE_MAC_BYTES];
};

/* Parse the header at the start of `file`. Returns 0, or -1 with the line of the first fault. */
int age_header_parse(struct bytes file, struct age_header *out, struct error *error);

/* Walk the stanzas of a parsed header: start with a zeroed walk. False behind the last one. */
struct age_stanza_walk {
        size_t at;
        size_t line;
};
bool age_stanza_next(const struct age_header *header, struct age_stanza_walk *walk, struct age_stanza *out);

/* True when the stanza is of this type; age compares the letters as they are. */
bool age_stanza_is(const struct age_stanza *stanza, const char *type);

/* Argument `n`, counted from 0 behind the type; n < argument_count. */
struct bytes age_stanza_argument(const struct age_stanza *stanza, size_t n);

/* The length of the decoded argument `n` is `length`, and so it is canonical base64. */
bool age_stanza_argument_has(const struct age_stanza *stanza, size_t n, size_t length);

/* Decode argument `n`, of which age_stanza_argument_has(n, length) is known. */
void age_stanza_argument_decode(const struct age_stanza *stanza, size_t n, uint8_t *out, size_t length);

/* The body is AGE_WRAPPED_BYTES long. */
bool age_stanza_has_wrapped_key(const struct age_stanza *stanza);

/* Decode such a body. */
void age_stanza_wrapped_key(const struct age_stanza *stanza, uint8_t out[static AGE_WRAPPED_BYTES]);

/* ---- writing: into a buffer that the caller made large enough (asserted) ---- */

struct age_writer {
        uint8_t *at;
        size_t length;
        size_t room;
};

/* Append a text without its NUL, bytes as they are, or bytes as unpadded base64. */
void age_write_text(struct age_writer *writer, const char *text);
void age_write_bytes(struct age_writer *writer, struct bytes bytes);
void age_write_base64(struct age_writer *writer, struct bytes bytes);

/* Behind the arguments: line end, a body of AGE_WRAPPED_BYTES, line end. */
void age_write_wrapped_key(struct age_writer *writer, const uint8_t wrapped[static AGE_WRAPPED_BYTES]);
