/* The last step of most kinds of stanza: the file key under a wrap key. In the loader and the editing verbs;
 * pure over bytes.
 *
 * It knows none of the kinds, so that they can build on it; their table stands in kinds.c. */

#include "secrets/age/wrap.h"

#include <sodium.h>

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

int age_crypto_hurry(struct error *error) {
        static bool is_ready;

        if (!is_ready && sodium_init() < 0)
                return error_set(error, 0, "libsodium does not start: no source of random bytes");
        is_ready = true;
        return 0;
}

void age_wrap_seal(const struct age_scratch *scratch, struct age_writer *writer) {
        uint8_t wrapped[AGE_WRAPPED_BYTES];

        crypto_aead_chacha20poly1305_ietf_encrypt(wrapped, NULL, scratch->file_key, sizeof scratch->file_key,
                NULL, 0, NULL, zero_nonce, scratch->wrap_key);
        age_write_wrapped_key(writer, wrapped);
}

int age_wrap_open(const struct age_stanza *stanza, struct age_scratch *scratch) {
        uint8_t wrapped[AGE_WRAPPED_BYTES];

        age_stanza_wrapped_key(stanza, wrapped);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(scratch->file_key, NULL, NULL, wrapped, sizeof wrapped,
                    NULL, 0, zero_nonce, scratch->wrap_key) != 0)
                return 1;
        return 0;
}
