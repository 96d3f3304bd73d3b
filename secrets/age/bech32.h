#pragma once

/* Bech32 (BIP 173, checksum constant 1) without its 90-character limit, as age spells its keys. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"

#define BECH32_CHECKSUM_CHARACTERS 6

/* Decode `text`: prefix, '1' (the last one), data, checksum; all in one case; pad bits zero.
 * out_prefix_length  characters before the separator; compare them yourself, their case tells the case of all
 * out, room          the data; borrowed; wiped by nobody here, so put it where secrets may lie
 * Returns 0 or -1; the error says which column is wrong, never which character stands there. */
int bech32_decode(struct bytes text, size_t *out_prefix_length, uint8_t *out, size_t room, size_t *out_length,
        struct error *error);

/* Characters that bech32_encode() writes, without a NUL. */
size_t bech32_encoded_bytes(const char *prefix, size_t length);

/* Encode with a lower-case `prefix`, without a NUL; the whole text in upper case when asked. */
void bech32_encode(const char *prefix, struct bytes bytes, bool is_upper, char *out);
