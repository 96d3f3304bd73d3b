/* ssh-ed25519 keys: stanzas, public key lines and unencrypted OpenSSH private key files (openssh-key-v1,
 * described in OpenSSH's PROTOCOL.key). In the loader and the editing verbs; pure over bytes.
 *
 * The Ed25519 pair is used as an X25519 pair; what binds a wrapped key to this very SSH key is the tweak,
 * derived from its wire form. Refused with an own sentence: encrypted key files (bcrypt is not in libsodium)
 * and other key types. */

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "secrets/age/base64.h"
#include "secrets/age/hkdf.h"
#include "secrets/age/wrap.h"

#define SSH_TYPE     "ssh-ed25519"
#define SSH_INFO     "age-encryption.org/v1/ssh-ed25519"
#define SSH_BEGIN    "-----BEGIN OPENSSH PRIVATE KEY-----"
#define SSH_END      "-----END OPENSSH PRIVATE KEY-----"
#define SSH_MAGIC    "openssh-key-v1" /* with its NUL */
#define SSH_BLOCK    8                /* padding of an unencrypted private section */
#define SSH_SEED     32
#define SSH_PAIR     64 /* seed and public key */
#define SSH_FILE_MAX ((size_t)64 * 1024)

static const uint8_t wire_prefix[] = {
        0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32};
static_assert(sizeof wire_prefix + 32 == SSH_WIRE_BYTES, "the wire form of an Ed25519 key");

/* Tells keys apart without trying them, and secures nothing. */
void ssh_tag(const uint8_t wire[static SSH_WIRE_BYTES], uint8_t out[static SSH_TAG_BYTES]) {
        uint8_t hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256(hash, wire, SSH_WIRE_BYTES);
        memcpy(out, hash, SSH_TAG_BYTES);
}

static int ssh_check(const struct age_stanza *stanza, struct error *error) {
        if (stanza->argument_count != 2 || !age_stanza_argument_has(stanza, 0, SSH_TAG_BYTES) ||
                !age_stanza_argument_has(stanza, 1, X25519_BYTES))
                return error_set(error, 0,
                        "header line %zu: an ssh-ed25519 stanza without a tag of 4 and a share of 32 bytes",
                        stanza->line);
        if (!age_stanza_has_wrapped_key(stanza))
                return error_set(error, 0,
                        "header line %zu: an ssh-ed25519 stanza whose body is not 32 bytes", stanza->line);
        return 0;
}

/* shared -> tweaked, both in the scratch. */
static int ssh_tweak(const uint8_t wire[static SSH_WIRE_BYTES], struct age_scratch *scratch) {
        hkdf_sha256(scratch->tweak, (struct bytes){NULL, 0}, (struct bytes){wire, SSH_WIRE_BYTES}, SSH_INFO);
        return crypto_scalarmult_curve25519(scratch->tweaked, scratch->tweak, scratch->shared);
}

static int ssh_unwrap(struct age_key *key, const struct age_stanza *stanza, const struct age_limits *limits,
        struct age_scratch *scratch, struct error *error) {
        uint8_t share[X25519_BYTES], tag[SSH_TAG_BYTES], own_tag[SSH_TAG_BYTES];

        (void)limits;
        age_stanza_argument_decode(stanza, 0, tag, sizeof tag);
        ssh_tag(key->ssh_wire, own_tag);
        if (memcmp(tag, own_tag, sizeof tag) != 0)
                return 1;
        age_stanza_argument_decode(stanza, 1, share, sizeof share);
        if (crypto_scalarmult_curve25519(scratch->shared, key->secret, share) != 0 ||
                ssh_tweak(key->ssh_wire, scratch) != 0)
                return error_set(
                        error, 0, "header line %zu: the share is a point of low order", stanza->line);
        x25519_wrap_key(scratch, scratch->tweaked, share, x25519_public(key), SSH_INFO);
        return age_wrap_open(stanza, scratch);
}

static int ssh_wrap(const struct age_recipient *recipient, struct age_scratch *scratch,
        struct age_writer *writer, struct error *error) {
        uint8_t share[X25519_BYTES], tag[SSH_TAG_BYTES];

        if (x25519_ephemeral(scratch, recipient->public_key, share, error) < 0)
                return -1;
        if (ssh_tweak(recipient->ssh_wire, scratch) != 0)
                return error_set(error, 0, "an ssh-ed25519 recipient is not a usable public key");
        x25519_wrap_key(scratch, scratch->tweaked, share, recipient->public_key, SSH_INFO);
        ssh_tag(recipient->ssh_wire, tag);
        age_write_text(writer, "-> ssh-ed25519 ");
        age_write_base64(writer, (struct bytes){tag, sizeof tag});
        age_write_text(writer, " ");
        age_write_base64(writer, (struct bytes){share, sizeof share});
        age_wrap_seal(scratch, writer);
        return 0;
}

const struct age_kind_calls ssh_calls = {SSH_TYPE, ssh_check, ssh_unwrap, ssh_wrap};

int ssh_recipient_parse(struct bytes word, struct age_recipient *out, struct error *error) {
        *out = (struct age_recipient){.kind = AGE_KIND_SSH};
        if (!base64_decode_exactly(BASE64_PADDED, word, out->ssh_wire, SSH_WIRE_BYTES) ||
                memcmp(out->ssh_wire, wire_prefix, sizeof wire_prefix) != 0)
                return error_set(
                        error, 0, "not an ssh-ed25519 public key: its second word is damaged or cut");
        if (crypto_sign_ed25519_pk_to_curve25519(out->public_key, out->ssh_wire + sizeof wire_prefix) != 0)
                return error_set(
                        error, 0, "not a usable ssh-ed25519 public key: no point of the curve's main group");
        return 0;
}

/* ---- private key files ---- */

/* Take `uint32 length, bytes` (RFC 4251, section 5). */
static bool wire_string(struct bytes *rest, struct bytes *out) {
        uint32_t length;

        if (rest->length < 4)
                return false;
        length = (uint32_t)rest->at[0] << 24 | (uint32_t)rest->at[1] << 16 | (uint32_t)rest->at[2] << 8 |
                 rest->at[3];
        if (length > rest->length - 4)
                return false;
        *out = (struct bytes){rest->at + 4, length};
        *rest = (struct bytes){rest->at + 4 + length, rest->length - 4 - length};
        return true;
}

static bool wire_take(struct bytes *rest, const void *expected, size_t length) {
        if (rest->length < length || memcmp(rest->at, expected, length) != 0)
                return false;
        *rest = (struct bytes){rest->at + length, rest->length - length};
        return true;
}

static int ssh_malformed(struct error *error) {
        return error_set(error, 0, "an OpenSSH private key file that is damaged or cut");
}

/* The lines between BEGIN and END, decoded into the arena. CRLF is tolerated. */
static int ssh_file_decode(struct bytes text, struct arena *arena, struct bytes *out, struct error *error) {
        size_t characters = 0, length, at = sizeof SSH_BEGIN - 1;
        uint8_t *joined, *decoded;

        if (text.length > SSH_FILE_MAX)
                return error_set(
                        error, 0, "an OpenSSH private key file of %zu bytes is too large", text.length);
        joined = arena_take(arena, text.length, error);
        decoded = joined ? arena_take(arena, base64_decoded_bytes_max(text.length), error) : NULL;
        if (!decoded)
                return -1;
        for (; at < text.length && text.at[at] != '-'; at++)
                if (text.at[at] != '\n' && text.at[at] != '\r')
                        joined[characters++] = text.at[at];
        if (text.length - at < sizeof SSH_END - 1 || memcmp(text.at + at, SSH_END, sizeof SSH_END - 1) != 0)
                return ssh_malformed(error);
        for (at += sizeof SSH_END - 1; at < text.length; at++)
                if (text.at[at] != '\n' && text.at[at] != '\r' && text.at[at] != ' ')
                        return error_set(error, 0, "something stands behind the OpenSSH private key");
        if (!base64_decode(BASE64_PADDED, (struct bytes){joined, characters}, decoded, &length))
                return ssh_malformed(error);
        *out = (struct bytes){decoded, length};
        return 0;
}

/* The outer envelope: cipher and key derivation must be "none", one key. */
static int ssh_envelope(
        struct bytes file, struct bytes *out_wire, struct bytes *out_private, struct error *error) {
        static const uint8_t one[4] = {0, 0, 0, 1};
        struct bytes cipher, derivation, options;

        if (!wire_take(&file, SSH_MAGIC, sizeof SSH_MAGIC) || !wire_string(&file, &cipher) ||
                !wire_string(&file, &derivation) || !wire_string(&file, &options))
                return ssh_malformed(error);
        if (!bytes_equal(cipher, BYTES_OF("none")) || !bytes_equal(derivation, BYTES_OF("none"))) {
                error_set(error, 0,
                        "an OpenSSH private key that is protected with a passphrase cannot be used");
                return error_hint(error, "make an age key with 'tacet keygen', or a copy without passphrase "
                                         "with ssh-keygen -p");
        }
        if (options.length != 0 || !wire_take(&file, one, sizeof one) || !wire_string(&file, out_wire) ||
                !wire_string(&file, out_private) || file.length != 0)
                return ssh_malformed(error);
        return 0;
}

/* check check type public pair comment padding */
static int ssh_private_section(
        struct bytes section, struct bytes wire, struct bytes *out_pair, struct error *error) {
        struct bytes type, public_key, comment;

        if (section.length % SSH_BLOCK != 0 || section.length < 8 ||
                memcmp(section.at, section.at + 4, 4) != 0)
                return ssh_malformed(error);
        section = (struct bytes){section.at + 8, section.length - 8};
        if (!wire_string(&section, &type))
                return ssh_malformed(error);
        if (!bytes_equal(type, BYTES_OF(SSH_TYPE)))
                return error_set(error, 0, "an OpenSSH private key of another type than ssh-ed25519");
        if (!wire_string(&section, &public_key) || !wire_string(&section, out_pair) ||
                !wire_string(&section, &comment) || public_key.length != SSH_SEED ||
                out_pair->length != SSH_PAIR || section.length >= SSH_BLOCK)
                return ssh_malformed(error);
        for (size_t i = 0; i < section.length; i++)
                if (section.at[i] != i + 1)
                        return ssh_malformed(error);
        if (wire.length != SSH_WIRE_BYTES || memcmp(wire.at, wire_prefix, sizeof wire_prefix) != 0 ||
                memcmp(wire.at + sizeof wire_prefix, public_key.at, SSH_SEED) != 0 ||
                memcmp(out_pair->at + SSH_SEED, public_key.at, SSH_SEED) != 0)
                return ssh_malformed(error);
        return 0;
}

int ssh_key_parse(struct bytes text, struct age_key *out, struct arena *arena, struct error *error) {
        struct bytes file, wire, section, pair;
        uint8_t *made;

        if (ssh_file_decode(text, arena, &file, error) < 0 || ssh_envelope(file, &wire, &section, error) < 0)
                return -1;
        if (ssh_private_section(section, wire, &pair, error) < 0)
                return -1;
        made = arena_take(arena, crypto_sign_PUBLICKEYBYTES + crypto_sign_SECRETKEYBYTES, error);
        if (!made)
                return -1;
        crypto_sign_ed25519_seed_keypair(made, made + crypto_sign_PUBLICKEYBYTES, pair.at);
        if (memcmp(made, pair.at + SSH_SEED, SSH_SEED) !=
                0) /* another public half would leak the private one */
                return error_set(error, 0, "an OpenSSH private key whose two halves do not belong together");
        crypto_sign_ed25519_sk_to_curve25519(out->secret, made + crypto_sign_PUBLICKEYBYTES);
        memcpy(out->ssh_wire, wire.at, SSH_WIRE_BYTES);
        out->kind = AGE_KIND_SSH;
        return 0;
}
