#pragma once

/* ASCII armor: strict PEM with one label (C2SP age.md, "ASCII armor"). It lies outside every MAC. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"

#define ARMOR_BEGIN          "-----BEGIN AGE ENCRYPTED FILE-----"
#define ARMOR_END            "-----END AGE ENCRYPTED FILE-----"
#define ARMOR_LINE_BYTES     48 /* as 64 characters */
#define ARMOR_WHITESPACE_MAX 1024

/* True when the first thing in `file` behind at most ARMOR_WHITESPACE_MAX blanks is ARMOR_BEGIN. */
bool armor_is_present(struct bytes file);

/* Room that armor_decode() needs for `text`. */
size_t armor_decoded_bytes_max(size_t length);

/* Decode into `out`. Returns 0 or -1 with the line of the fault. */
int armor_decode(struct bytes text, uint8_t *out, size_t *out_length, struct error *error);

/* Characters that armor_encode() writes for `length` bytes; 0 when that overflows. */
size_t armor_encoded_bytes(size_t length);

/* Encode to `out`, of armor_encoded_bytes(bytes.length) characters, without a NUL. */
void armor_encode(struct bytes bytes, char *out);
