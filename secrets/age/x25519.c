/* X25519 stanzas, and the steps that SSH stanzas share with them. In the loader and the editing verbs; pure
 * over bytes.
 *
 * Traps of libsodium 1.0.18 that are minded here: crypto_scalarmult copies the scalar into its output first,
 * so output and point never alias and the output lies in the arena; its result is checked (low order, all
 * zero); a body has exactly 32 bytes before anything is decrypted, else one ciphertext could be made to fit
 * several keys. */

#include <sodium.h>
#include <string.h>

#include "secrets/age/hkdf.h"
#include "secrets/age/wrap.h"

#define X25519_INFO "age-encryption.org/v1/X25519"

const uint8_t *x25519_public(struct age_key *key) {
        if (!key->has_public)
                crypto_scalarmult_curve25519_base(key->public_key, key->secret);
        key->has_public = true;
        return key->public_key;
}

void x25519_wrap_key(struct age_scratch *scratch, const uint8_t *shared,
        const uint8_t share[static X25519_BYTES], const uint8_t public_key[static X25519_BYTES],
        const char *info) {
        uint8_t salt[2 * X25519_BYTES];

        memcpy(salt, share, X25519_BYTES);
        memcpy(salt + X25519_BYTES, public_key, X25519_BYTES);
        hkdf_sha256(scratch->wrap_key, (struct bytes){shared, X25519_BYTES},
                (struct bytes){salt, sizeof salt}, info);
}

int x25519_ephemeral(struct age_scratch *scratch, const uint8_t public_key[static X25519_BYTES],
        uint8_t out_share[static X25519_BYTES], struct error *error) {
        randombytes_buf(scratch->scalar, sizeof scratch->scalar);
        crypto_scalarmult_curve25519_base(
                scratch->shared, scratch->scalar); /* in locked memory while it is made */
        memcpy(out_share, scratch->shared, X25519_BYTES);
        if (crypto_scalarmult_curve25519(scratch->shared, scratch->scalar, public_key) != 0)
                return error_set(error, 0, "a recipient is not a usable public key (a point of low order)");
        return 0;
}

static int x25519_check(const struct age_stanza *stanza, struct error *error) {
        if (stanza->argument_count != 1 || !age_stanza_argument_has(stanza, 0, X25519_BYTES))
                return error_set(error, 0,
                        "header line %zu: an X25519 stanza without exactly one share of 32 bytes",
                        stanza->line);
        if (!age_stanza_has_wrapped_key(stanza))
                return error_set(error, 0, "header line %zu: an X25519 stanza whose body is not 32 bytes",
                        stanza->line);
        return 0;
}

static int x25519_unwrap(struct age_key *key, const struct age_stanza *stanza,
        const struct age_limits *limits, struct age_scratch *scratch, struct error *error) {
        uint8_t share[X25519_BYTES];

        (void)limits;
        age_stanza_argument_decode(stanza, 0, share, sizeof share);
        if (crypto_scalarmult_curve25519(scratch->shared, key->secret, share) != 0)
                return error_set(
                        error, 0, "header line %zu: the share is a point of low order", stanza->line);
        x25519_wrap_key(scratch, scratch->shared, share, x25519_public(key), X25519_INFO);
        return age_wrap_open(stanza, scratch);
}

static int x25519_wrap(const struct age_recipient *recipient, struct age_scratch *scratch,
        struct age_writer *writer, struct error *error) {
        uint8_t share[X25519_BYTES];

        if (x25519_ephemeral(scratch, recipient->public_key, share, error) < 0)
                return -1;
        x25519_wrap_key(scratch, scratch->shared, share, recipient->public_key, X25519_INFO);
        age_write_text(writer, "-> X25519 ");
        age_write_base64(writer, (struct bytes){share, sizeof share});
        age_wrap_seal(scratch, writer);
        return 0;
}

const struct age_kind_calls x25519_calls = {"X25519", x25519_check, x25519_unwrap, x25519_wrap};
