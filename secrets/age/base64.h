#pragma once

/* Canonical base64 (RFC 4648, the standard alphabet), both ways. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"

enum base64_form {
        BASE64_UNPADDED, /* age headers */
        BASE64_PADDED,   /* armor, SSH keys */
};

/* Decode all of `text` to `out`, of at least base64_decoded_bytes_max(text.length) bytes; NULL: only check.
 * Accepted is only what an encoder writes: the alphabet alone (no blank, no line end), exact padding or none,
 * unused bits zero. Returns true and the number of bytes in *out_length; or false: then `out` is undefined
 * and *out_length unchanged. */
bool base64_decode(enum base64_form form, struct bytes text, uint8_t *out, size_t *out_length);

/* The same for a text that must give exactly `length` bytes. */
bool base64_decode_exactly(enum base64_form form, struct bytes text, uint8_t *out, size_t length);

static inline size_t base64_decoded_bytes_max(size_t text_length) {
        return text_length / 4 * 3 + 3;
}

/* Encode without a NUL; returns the characters written: base64_encoded_bytes(). */
size_t base64_encode(enum base64_form form, struct bytes bytes, char *out);

static inline size_t base64_encoded_bytes(enum base64_form form, size_t length) {
        size_t rest = length % 3;

        return length / 3 * 4 + (rest == 0 ? 0 : form == BASE64_PADDED ? 4 : rest + 1);
}
