/* Post-quantum hybrid keys: stanza mlkem768x25519, which is HPKE (RFC 9180) in base mode with the X-Wing KEM
 * (0x647a), HKDF-SHA-256 and ChaCha20-Poly1305. In the loader and the editing verbs.
 *
 * X-Wing came with libsodium 1.0.22; against an older one everything here is a sentence that says so. Such a
 * stanza's shape is checked either way: what is refused must not depend on how tacet was built. */

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "secrets/age/hkdf.h"
#include "secrets/age/wrap.h"

int hybrid_refuse(struct error *error) {
        error_set(error, 0, "a post-quantum hybrid key: this tacet was built without support for it");
        return error_hint(
                error, "build tacet with libsodium 1.0.22 or newer, or use an X25519 key (tacet keygen)");
}

static int hybrid_check(const struct age_stanza *stanza, struct error *error) {
        if (stanza->argument_count != 1 || !age_stanza_argument_has(stanza, 0, HYBRID_SHARE_BYTES))
                return error_set(error, 0,
                        "header line %zu: an mlkem768x25519 stanza without a share of %d bytes", stanza->line,
                        HYBRID_SHARE_BYTES);
        if (!age_stanza_has_wrapped_key(stanza))
                return error_set(error, 0,
                        "header line %zu: an mlkem768x25519 stanza whose body is not 32 bytes", stanza->line);
        return 0;
}

#ifdef crypto_kem_xwing_SECRETKEYBYTES

#define HYBRID_INFO "age-encryption.org/mlkem768x25519"
#define HPKE_SUITE  "HPKE\x64\x7a\x00\x01\x00\x03" /* KEM, KDF, AEAD: RFC 9180, section 7 */
#define HPKE_LABEL  "HPKE-v1" HPKE_SUITE

static_assert(crypto_kem_xwing_SECRETKEYBYTES == HYBRID_SEED_BYTES, "X-Wing keeps a seed");
static_assert(crypto_kem_xwing_PUBLICKEYBYTES == HYBRID_PUBLIC_BYTES, "X-Wing public key");
static_assert(crypto_kem_xwing_CIPHERTEXTBYTES == HYBRID_SHARE_BYTES, "X-Wing ciphertext");

bool hybrid_is_built_in(void) {
        return true;
}

int hybrid_public(const uint8_t seed[static HYBRID_SEED_BYTES], uint8_t out[static HYBRID_PUBLIC_BYTES],
        struct error *error) {
        uint8_t again[crypto_kem_xwing_SECRETKEYBYTES];
        int status = crypto_kem_xwing_seed_keypair(out, again, seed);

        sodium_memzero(again, sizeof again);
        return status == 0 ? 0 : error_set(error, 0, "no public key can be made of a hybrid identity");
}

/* LabeledExtract (RFC 9180, section 4): HMAC(salt, "HPKE-v1" || suite || label || input); here one of the two
 * is empty. */
static void hpke_extract(
        uint8_t out[static HKDF_BYTES], struct bytes salt, struct bytes label, struct bytes input) {
        uint8_t text[128];
        size_t prefix = sizeof HPKE_LABEL - 1;

        memcpy(text, HPKE_LABEL, prefix);
        memcpy(text + prefix, label.at, label.length);
        hmac_sha256(out, salt, (struct bytes){text, prefix + label.length}, input);
}

/* LabeledExpand of at most 32 bytes: one block. context = mode || psk_id_hash || info_hash. */
static void hpke_expand(uint8_t out[static HKDF_BYTES], const uint8_t secret[static HKDF_BYTES],
        struct bytes label, const uint8_t context[static 1 + 2 * HKDF_BYTES], uint8_t length) {
        uint8_t text[192] = {0, length}, one = 1;
        size_t at = 2;

        memcpy(text + at, HPKE_LABEL, sizeof HPKE_LABEL - 1);
        at += sizeof HPKE_LABEL - 1;
        memcpy(text + at, label.at, label.length);
        at += label.length;
        memcpy(text + at, context, 1 + 2 * HKDF_BYTES);
        at += 1 + 2 * HKDF_BYTES;
        hmac_sha256(
                out, (struct bytes){secret, HKDF_BYTES}, (struct bytes){text, at}, (struct bytes){&one, 1});
}

/* KeySchedule in base mode (RFC 9180, section 5.1): key into scratch->wrap_key, the first nonce beside it. */
static void hybrid_schedule(struct age_scratch *scratch, uint8_t nonce[static HKDF_BYTES]) {
        uint8_t context[1 + 2 * HKDF_BYTES] = {0};
        const struct bytes empty = BYTES_OF("");

        hpke_extract(context + 1, empty, BYTES_OF("psk_id_hash"), empty);
        hpke_extract(context + 1 + HKDF_BYTES, empty, BYTES_OF("info_hash"), BYTES_OF(HYBRID_INFO));
        hpke_extract(scratch->tweaked, (struct bytes){scratch->shared, sizeof scratch->shared},
                BYTES_OF("secret"), empty);
        hpke_expand(scratch->wrap_key, scratch->tweaked, BYTES_OF("key"), context, 32);
        hpke_expand(nonce, scratch->tweaked, BYTES_OF("base_nonce"), context,
                crypto_aead_chacha20poly1305_IETF_NPUBBYTES);
}

static int hybrid_unwrap(struct age_key *key, const struct age_stanza *stanza,
        const struct age_limits *limits, struct age_scratch *scratch, struct error *error) {
        uint8_t share[HYBRID_SHARE_BYTES], wrapped[AGE_WRAPPED_BYTES], nonce[HKDF_BYTES];

        (void)limits;
        age_stanza_argument_decode(stanza, 0, share, sizeof share);
        if (crypto_kem_xwing_dec(scratch->shared, share, key->secret) != 0)
                return error_set(
                        error, 0, "header line %zu: the hybrid share cannot be opened", stanza->line);
        hybrid_schedule(scratch, nonce);
        age_stanza_wrapped_key(stanza, wrapped);
        return crypto_aead_chacha20poly1305_ietf_decrypt(scratch->file_key, NULL, NULL, wrapped,
                       sizeof wrapped, NULL, 0, nonce, scratch->wrap_key) == 0
                       ? 0
                       : 1;
}

static int hybrid_wrap(const struct age_recipient *recipient, struct age_scratch *scratch,
        struct age_writer *writer, struct error *error) {
        uint8_t share[HYBRID_SHARE_BYTES], wrapped[AGE_WRAPPED_BYTES], nonce[HKDF_BYTES];

        if (crypto_kem_xwing_enc(share, scratch->shared, recipient->hybrid_key) != 0)
                return error_set(error, 0, "a hybrid recipient is not a usable public key");
        hybrid_schedule(scratch, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(wrapped, NULL, scratch->file_key, sizeof scratch->file_key,
                NULL, 0, NULL, nonce, scratch->wrap_key);
        age_write_text(writer, "-> mlkem768x25519 ");
        age_write_base64(writer, (struct bytes){share, sizeof share});
        age_write_wrapped_key(writer, wrapped);
        return 0;
}

#else

bool hybrid_is_built_in(void) {
        return false;
}

int hybrid_public(const uint8_t seed[static HYBRID_SEED_BYTES], uint8_t out[static HYBRID_PUBLIC_BYTES],
        struct error *error) {
        (void)seed;
        (void)out;
        return hybrid_refuse(error);
}

static int hybrid_unwrap(struct age_key *key, const struct age_stanza *stanza,
        const struct age_limits *limits, struct age_scratch *scratch, struct error *error) {
        (void)key;
        (void)stanza;
        (void)limits;
        (void)scratch;
        return hybrid_refuse(error);
}

static int hybrid_wrap(const struct age_recipient *recipient, struct age_scratch *scratch,
        struct age_writer *writer, struct error *error) {
        (void)recipient;
        (void)scratch;
        (void)writer;
        return hybrid_refuse(error);
}

#endif

const struct age_kind_calls hybrid_calls = {"mlkem768x25519", hybrid_check, hybrid_unwrap, hybrid_wrap};
