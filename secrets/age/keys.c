/* Identity files: what can open a file. In the loader and the editing verbs; pure over bytes, keys go to the
 * caller's arena.
 *
 * An identity file is lines of AGE-SECRET-KEY-1..., comments and empty lines; or an OpenSSH private key; or
 * an age file around the first, opened with the keys that are there already (not around another age file:
 * nothing here recurses). Keys are taken in upper case only, as the reference does. Messages name line and
 * column, never a character. */

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "secrets/age/age.h"
#include "secrets/age/bech32.h"
#include "secrets/age/hkdf.h"
#include "secrets/age/key_text.h"
#include "secrets/age/wrap.h"

#define KEY_DATA_MAX 64 /* decoded; a key has 32 */

static int keys_append(struct age_keys *keys, struct age_key *key, struct error *error) {
        if (keys->count == AGE_KEYS_MAX)
                return error_set(error, 0, "more than %d keys", AGE_KEYS_MAX);
        keys->list[keys->count++] = key;
        return 0;
}

/* Kinds of text that people put where an identity belongs; said instead of "column N". */
static int identity_refuse(struct bytes text, struct error *error) {
        if (key_text_begins(text, "age1") || key_text_begins(text, "ssh-")) {
                error_set(error, 0, "a public key stands where an identity belongs");
                return error_hint(error, "an identity begins with AGE-SECRET-KEY-1 (tacet keygen makes one)");
        }
        if (key_text_begins(text, "AGE-PLUGIN-"))
                return error_set(error, 0, "plugin identities are not supported");
        if (key_text_begins(text, "age-secret-key-"))
                return error_set(error, 0, "an identity is written in upper case");
        if (!key_text_begins(text, "AGE-SECRET-KEY-"))
                return error_set(
                        error, 0, "neither an identity (AGE-SECRET-KEY-1...), a comment (#...) nor empty");
        return 0;
}

static int identity_parse(struct bytes text, struct age_key *key, uint8_t *room, struct error *error) {
        size_t prefix_length, length;

        if (identity_refuse(text, error) < 0 ||
                bech32_decode(text, &prefix_length, room, KEY_DATA_MAX, &length, error) < 0)
                return -1;
        if (key_text_begins(text, "AGE-SECRET-KEY-PQ-1") &&
                prefix_length == sizeof HYBRID_IDENTITY_PREFIX - 1) {
                if (!hybrid_is_built_in())
                        return hybrid_refuse(error);
                key->kind = AGE_KIND_HYBRID;
        } else if (prefix_length == sizeof IDENTITY_PREFIX - 1)
                key->kind = AGE_KIND_X25519;
        else
                return error_set(error, 0, "an identity of a kind that is not supported");
        if (length != sizeof key->secret)
                return error_set(error, 0, "an identity of the wrong length");
        memcpy(key->secret, room, sizeof key->secret);
        return 0;
}

/* One identity per line. The key and the decoder's room lie in the arena. */
static int keys_add_lines(
        struct age_keys *keys, struct bytes text, struct arena *arena, struct error *error) {
        const size_t before = keys->count;
        struct bytes rest = text, one;
        size_t line = 0;

        while (key_text_line(&rest, &one, &line)) {
                struct age_key *key;
                uint8_t *room;

                if (one.length == 0 || one.at[0] == '#')
                        continue;
                key = arena_take(arena, sizeof *key, error);
                room = key ? arena_take(arena, KEY_DATA_MAX, error) : NULL;
                if (!room)
                        return -1;
                if (identity_parse(one, key, room, error) < 0 || keys_append(keys, key, error) < 0)
                        return error_wrap(error, "line %zu", line);
                arena_release(arena, (size_t)(room - arena->at));
        }
        if (keys->count == before) {
                error_set(error, 0, "there is no identity in it");
                return error_hint(error, "tacet keygen -o FILE makes one");
        }
        return 0;
}

static int keys_add_ssh(struct age_keys *keys, struct bytes text, struct arena *arena, struct error *error) {
        struct age_key *key = arena_take(arena, sizeof *key, error);
        size_t mark = arena->used;
        int status;

        if (!key)
                return -1;
        status = ssh_key_parse(text, key, arena, error);
        sodium_stackzero(AGE_STACK_WIPE_BYTES);
        arena_release(arena, mark);
        return status < 0 ? -1 : keys_append(keys, key, error);
}

/* Any file but an encrypted one. */
static int keys_add_plain(
        struct age_keys *keys, struct bytes text, struct arena *arena, struct error *error) {
        if (key_text_begins(text, "-----BEGIN OPENSSH PRIVATE KEY-----"))
                return keys_add_ssh(keys, text, arena, error);
        if (age_is_age_file(text))
                return error_set(
                        error, 0, "an age file inside an age file: identities may be encrypted once");
        if (key_text_begins(text, "-----BEGIN "))
                return error_set(error, 0,
                        "a private key of a kind that is not supported (ssh-ed25519 in OpenSSH's format is)");
        return keys_add_lines(keys, text, arena, error);
}

static int keys_add_text(struct age_keys *keys, const struct age_input *input, struct error *error) {
        struct age_input locked = *input;
        struct secret_bytes plain;
        int status;

        if (!age_is_age_file(input->bytes))
                return keys_add_plain(keys, input->bytes, input->arena, error);
        locked.name = "an encrypted identity file";
        if (age_open(&locked, keys, &plain, error) < 0)
                return -1;
        status = keys_add_plain(keys, secret_view(plain), input->arena, error);
        secret_wipe(plain.at, plain.length);
        return status;
}

int age_keys_add(struct age_keys *keys, const struct age_input *input, struct error *error) {
        const size_t count = keys->count, mark = input->arena->used;

        if (keys_add_text(keys, input, error) == 0)
                return 0;
        keys->count = count;
        arena_release(input->arena, mark);
        error_status(error, EXIT_STATUS_DATA);
        return error_wrap(error, "%s", input->name);
}

int age_keys_add_passphrase(
        struct age_keys *keys, struct secret_bytes passphrase, struct arena *arena, struct error *error) {
        struct age_key *key = arena_take(arena, sizeof *key, error);

        if (!key)
                return -1;
        key->kind = AGE_KIND_SCRYPT;
        key->passphrase = passphrase;
        return keys_append(keys, key, error);
}

bool age_key_recipient(
        const struct age_keys *keys, size_t n, char out_recipient[static AGE_RECIPIENT_TEXT_BYTES]) {
        assert(n < keys->count);
        if (keys->list[n]->kind != AGE_KIND_X25519)
                return false;
        recipient_format(x25519_public(keys->list[n]), out_recipient);
        return true;
}

bool age_keys_passphrase(const struct age_keys *keys, size_t n, struct secret_bytes *out) {
        assert(n < keys->count);
        if (keys->list[n]->kind != AGE_KIND_SCRYPT)
                return false;
        *out = keys->list[n]->passphrase;
        return true;
}

bool age_fingerprint_key(const struct age_keys *keys, uint8_t out_key[static 32]) {
        for (size_t i = 0; i < keys->count; i++) {
                const struct age_key *key = keys->list[i];

                if (key->kind == AGE_KIND_SCRYPT)
                        continue;
                hkdf_sha256(out_key, (struct bytes){key->secret, sizeof key->secret}, BYTES_OF(""),
                        "tacet fingerprint");
                return true;
        }
        return false;
}
