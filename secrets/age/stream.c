/* Chunks in, plaintext out, all or nothing. Runs in the loader and the editing verbs.
 *
 * Each chunk is authenticated by itself, yet the first half of a file of variables is still an attack: the
 * caller hands out nothing before the chunk with the final flag was verified. The length alone tells which
 * chunk is the last: a full one may be (there is no empty chunk behind it), and only an empty file has an
 * empty one. */

#include "secrets/age/stream.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define NONCE_BYTES        12
#define NONCE_COUNTER_LAST 10 /* 11 big-endian bytes, then the flag */
#define NONCE_FINAL        11
#define SEALED_BYTES       (STREAM_CHUNK_BYTES + STREAM_TAG_BYTES)

static_assert(NONCE_BYTES == crypto_aead_chacha20poly1305_IETF_NPUBBYTES, "nonce of RFC 8439");
static_assert(STREAM_TAG_BYTES == crypto_aead_chacha20poly1305_IETF_ABYTES, "tag of RFC 8439");
static_assert(STREAM_KEY_BYTES == crypto_aead_chacha20poly1305_IETF_KEYBYTES, "key of RFC 8439");

/* The counter cannot wrap: size_t runs out long before 11 bytes do. */
static void nonce_advance(uint8_t nonce[static NONCE_BYTES]) {
        for (size_t i = NONCE_COUNTER_LAST + 1; i-- > 0;)
                if (++nonce[i] != 0)
                        break;
}

int stream_plaintext_bytes(size_t length, size_t *out, struct error *error) {
        size_t whole = length / SEALED_BYTES, rest = length % SEALED_BYTES;

        if (length < STREAM_TAG_BYTES)
                return error_set(error, 0, "the payload is cut: %zu bytes are left of it", length);
        if (rest > 0 && rest < STREAM_TAG_BYTES)
                return error_set(error, 0, "the payload is cut inside the tag of its last chunk");
        if (rest == STREAM_TAG_BYTES && whole > 0)
                return error_set(error, 0, "the payload ends in an empty chunk");
        *out = whole * STREAM_CHUNK_BYTES + (rest > 0 ? rest - STREAM_TAG_BYTES : 0);
        return 0;
}

int stream_payload_bytes(size_t length, size_t *out, struct error *error) {
        size_t chunks = length / STREAM_CHUNK_BYTES + (length % STREAM_CHUNK_BYTES > 0 || length == 0);

        if (__builtin_add_overflow(length, chunks * STREAM_TAG_BYTES, out))
                return error_set(error, 0, "%zu bytes are too many to encrypt", length);
        return 0;
}

int stream_open(
        struct bytes payload, const uint8_t key[static STREAM_KEY_BYTES], uint8_t *out, struct error *error) {
        uint8_t nonce[NONCE_BYTES] = {0};
        size_t at = 0, chunk = 1;

        while (at < payload.length) {
                size_t left = payload.length - at;
                size_t length = left < SEALED_BYTES ? left : SEALED_BYTES;

                nonce[NONCE_FINAL] = left <= SEALED_BYTES;
                if (crypto_aead_chacha20poly1305_ietf_decrypt(
                            out, NULL, NULL, payload.at + at, length, NULL, 0, nonce, key) != 0)
                        return error_set(error, 0,
                                "chunk %zu of the payload does not verify: the file is cut, %s", chunk,
                                "damaged or was changed");
                out += length - STREAM_TAG_BYTES;
                at += length;
                chunk++;
                nonce_advance(nonce);
        }
        return 0;
}

void stream_seal(struct bytes plaintext, const uint8_t key[static STREAM_KEY_BYTES], uint8_t *out) {
        static const uint8_t nothing[1];
        uint8_t nonce[NONCE_BYTES] = {0};
        const uint8_t *at = plaintext.at ? plaintext.at : nothing;
        size_t left = plaintext.length;

        do {
                size_t length = left < STREAM_CHUNK_BYTES ? left : STREAM_CHUNK_BYTES;

                nonce[NONCE_FINAL] = length == left;
                crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, at, length, NULL, 0, NULL, nonce, key);
                out += length + STREAM_TAG_BYTES;
                at += length;
                left -= length;
                nonce_advance(nonce);
        } while (left > 0);
}
