#pragma once

/* The fingerprint of a value, by which people can tell two values apart: eight hex digits, keyed, so that
 * values cannot be tried against it without the identity. The same wherever the same identity is used. */

#include <stdint.h>

#include "lib/secret_memory.h"

#define FINGERPRINT_TEXT_BYTES 9 /* with the NUL */

/* `key` is age_fingerprint_key()'s, or any other 32 secret bytes. Returns `out`. */
const char *secret_fingerprint(const uint8_t key[static 32], const char *name, struct secret_bytes value,
        char out[static FINGERPRINT_TEXT_BYTES]);
