/* Fingerprints: see fingerprint.h. Keyed BLAKE2b over NAME=VALUE, so that equal values of two names do not
 * show it. */

#include "secrets/fingerprint.h"

#include <sodium.h>
#include <string.h>

const char *secret_fingerprint(const uint8_t key[static 32], const char *name, struct secret_bytes value,
        char out[static FINGERPRINT_TEXT_BYTES]) {
        uint8_t digest[crypto_generichash_BYTES_MIN];
        crypto_generichash_state state;

        crypto_generichash_init(&state, key, 32, sizeof digest);
        crypto_generichash_update(&state, (const uint8_t *)name, strlen(name));
        crypto_generichash_update(&state, (const uint8_t *)"=", 1);
        crypto_generichash_update(&state, value.at, value.length);
        crypto_generichash_final(&state, digest, sizeof digest);
        secret_wipe(&state, sizeof state);
        sodium_bin2hex(out, FINGERPRINT_TEXT_BYTES, digest, (FINGERPRINT_TEXT_BYTES - 1) / 2);
        return out;
}
