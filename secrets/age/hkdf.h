#pragma once

/* HMAC-SHA-256 and HKDF-SHA-256 (RFC 5869) with exactly 32 bytes of output. */

#include <stdint.h>

#include "lib/bytes.h"

#define HKDF_BYTES 32

/* HMAC over `a` followed by `b`. `out` may lie in the arena; the state on the stack is wiped. */
void hmac_sha256(uint8_t out[static HKDF_BYTES], struct bytes key, struct bytes a, struct bytes b);

/* HKDF; an empty `salt` and an empty `key` are as RFC 5869 has them. `out` must not overlap an input. */
void hkdf_sha256(uint8_t out[static HKDF_BYTES], struct bytes key, struct bytes salt, const char *info);
