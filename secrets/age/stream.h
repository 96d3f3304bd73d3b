#pragma once

/* The payload: STREAM over ChaCha20-Poly1305 in chunks of 64 KiB (C2SP age.md, "Payload"). */

#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"

#define STREAM_CHUNK_BYTES ((size_t)65536)
#define STREAM_TAG_BYTES   ((size_t)16)
#define STREAM_KEY_BYTES   32

/* Plaintext bytes of a well-formed payload of `length` bytes. -1 with error when no payload has that
 * length. */
int stream_plaintext_bytes(size_t length, size_t *out, struct error *error);

/* Payload bytes for `length` bytes of plaintext. Returns 0, or -1 when that overflows. */
int stream_payload_bytes(size_t length, size_t *out, struct error *error);

/* Decrypt all chunks into `out` (stream_plaintext_bytes()). On -1 `out` holds nothing of use and is the
 * caller's to wipe: nothing of it may be used. `out` must not overlap `payload`. */
int stream_open(
        struct bytes payload, const uint8_t key[static STREAM_KEY_BYTES], uint8_t *out, struct error *error);

/* Encrypt into `out` (stream_payload_bytes()). */
void stream_seal(struct bytes plaintext, const uint8_t key[static STREAM_KEY_BYTES], uint8_t *out);
