/* Key derivation, on libsodium's HMAC (1.0.18 has no HKDF of its own). age never wants more than 32 bytes, so
 * one HMAC extracts and one expands: PRK = HMAC(salt, key), OKM = HMAC(PRK, info || 0x01). */

#include "secrets/age/hkdf.h"

#include <sodium.h>
#include <string.h>

/* libsodium declares the key of crypto_auth_hmacsha256_init as never NULL, whatever its length. */
static const uint8_t nothing[1];

static const uint8_t *bytes_not_null(struct bytes bytes) {
        return bytes.at ? bytes.at : nothing;
}

void hmac_sha256(uint8_t out[static HKDF_BYTES], struct bytes key, struct bytes a, struct bytes b) {
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, bytes_not_null(key), key.length);
        crypto_auth_hmacsha256_update(&state, bytes_not_null(a), a.length);
        crypto_auth_hmacsha256_update(&state, bytes_not_null(b), b.length);
        crypto_auth_hmacsha256_final(&state, out);
        sodium_memzero(&state, sizeof state);
}

void hkdf_sha256(uint8_t out[static HKDF_BYTES], struct bytes key, struct bytes salt, const char *info) {
        uint8_t extracted[HKDF_BYTES];
        struct bytes text = {(const uint8_t *)info, strlen(info)};

        hmac_sha256(extracted, salt, key, (struct bytes){nothing, 0});
        hmac_sha256(out, (struct bytes){extracted, sizeof extracted}, text, BYTES_OF("\x01"));
        sodium_memzero(extracted, sizeof extracted);
}
