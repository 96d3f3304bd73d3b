/* Recipients: whom a file is written for. In the editing verbs. Public keys only, and at most one passphrase.
 *
 * Refused: a secret key given as a recipient (without repeating it), kinds that tacet does not write, a
 * passphrase beside anything, hybrid beside classic recipients (the weaker one would undo what the stronger
 * promises). */

#include <sodium.h>
#include <string.h>

#include "secrets/age/age.h"
#include "secrets/age/bech32.h"
#include "secrets/age/key_text.h"
#include "secrets/age/wrap.h"

void recipient_format(const uint8_t public_key[static 32], char out[static AGE_RECIPIENT_TEXT_BYTES]) {
        bech32_encode(RECIPIENT_PREFIX, (struct bytes){public_key, 32}, false, out);
        out[AGE_RECIPIENT_TEXT_BYTES - 1] = '\0';
}

int age_recipients_check(const struct age_recipients *recipients, struct error *error) {
        size_t passphrases = 0, hybrids = 0;

        for (size_t i = 0; i < recipients->count; i++) {
                passphrases += recipients->list[i]->kind == AGE_KIND_SCRYPT;
                hybrids += recipients->list[i]->kind == AGE_KIND_HYBRID;
        }
        if (passphrases > 0 && recipients->count > 1)
                return error_set(error, 0, "a passphrase must be the only recipient of a file");
        if (hybrids > 0 && hybrids < recipients->count)
                return error_set(error, 0, "post-quantum and other recipients cannot be in one file");
        return 0;
}

bool recipient_is_same(const struct age_recipient *a, const struct age_recipient *b) {
        if (a->kind != b->kind || a->kind == AGE_KIND_SCRYPT)
                return false;
        if (a->kind == AGE_KIND_HYBRID)
                return memcmp(a->hybrid_key, b->hybrid_key, HYBRID_PUBLIC_BYTES) == 0;
        return memcmp(a->public_key, b->public_key, X25519_BYTES) == 0 &&
               memcmp(a->ssh_wire, b->ssh_wire, SSH_WIRE_BYTES) == 0;
}

/* Append unless it is there; `recipient` lies in the arena. */
static int recipients_append(
        struct age_recipients *recipients, struct age_recipient *recipient, struct error *error) {
        for (size_t i = 0; i < recipients->count; i++)
                if (recipient_is_same(recipients->list[i], recipient))
                        return 0;
        if (recipients->count == AGE_RECIPIENTS_MAX)
                return error_set(error, 0, "more than %d recipients", AGE_RECIPIENTS_MAX);
        recipients->list[recipients->count++] = recipient;
        if (age_recipients_check(recipients, error) < 0) {
                recipients->count--;
                return -1;
        }
        return 0;
}

static int recipient_refuse(struct bytes text, struct error *error) {
        if (key_text_begins(text, "AGE-") || key_text_begins(text, "age-secret-key-")) {
                error_set(error, 0, "an identity (secret) stands where a recipient belongs");
                return error_hint(error,
                        "if anybody saw it there, make a new one; give its recipient, age1..., instead");
        }
        if (key_text_begins(text, "-----BEGIN"))
                return error_set(
                        error, 0, "a private key or an encrypted file stands where recipients belong");
        if (key_text_begins(text, "ssh-") || key_text_begins(text, "ecdsa-") || key_text_begins(text, "sk-"))
                return error_set(error, 0, "an SSH key of another type than ssh-ed25519");
        if (!key_text_begins(text, "age1"))
                return error_set(error, 0, "neither age1... nor an ssh-ed25519 public key");
        return 0;
}

static int recipient_parse_bech32(
        struct bytes text, struct age_recipient *out, uint8_t *room, struct error *error) {
        size_t prefix_length, length;

        if (bech32_decode(text, &prefix_length, room, HYBRID_PUBLIC_BYTES, &length, error) < 0)
                return -1;
        if (prefix_length == sizeof RECIPIENT_PREFIX - 1 && length == X25519_BYTES) {
                out->kind = AGE_KIND_X25519;
                memcpy(out->public_key, room, X25519_BYTES);
                return 0;
        }
        if (key_text_begins(text, HYBRID_RECIPIENT_PREFIX "1") &&
                prefix_length == sizeof HYBRID_RECIPIENT_PREFIX - 1 && length == HYBRID_PUBLIC_BYTES) {
                if (!hybrid_is_built_in())
                        return hybrid_refuse(error);
                out->kind = AGE_KIND_HYBRID;
                out->hybrid_key = room;
                return 0;
        }
        return error_set(
                error, 0, "a recipient of a kind that is not supported (age1... of 62 characters is)");
}

static int recipient_parse(
        struct bytes text, struct age_recipient *out, struct arena *arena, struct error *error) {
        const char ssh[] = "ssh-ed25519 ";
        uint8_t *room;

        if (key_text_begins(text, ssh)) {
                struct bytes word = {text.at + sizeof ssh - 1, text.length - (sizeof ssh - 1)};
                const uint8_t *space = memchr(word.at, ' ', word.length);

                if (space) /* a comment follows */
                        word.length = (size_t)(space - word.at);
                return ssh_recipient_parse(word, out, error);
        }
        if (recipient_refuse(text, error) < 0)
                return -1;
        room = arena_take(arena, HYBRID_PUBLIC_BYTES, error);
        return room ? recipient_parse_bech32(text, out, room, error) : -1;
}

static int recipients_add_text(
        struct age_recipients *recipients, struct bytes text, struct arena *arena, struct error *error) {
        const size_t mark = arena->used, count = recipients->count;
        struct age_recipient *recipient = arena_take(arena, sizeof *recipient, error);
        size_t end = arena->used;

        if (!recipient)
                return -1;
        if (recipient_parse(text, recipient, arena, error) < 0 ||
                recipients_append(recipients, recipient, error) < 0) {
                arena_release(arena, mark);
                return -1;
        }
        if (recipients->count == count)
                arena_release(arena, mark);
        else if (recipient->kind != AGE_KIND_HYBRID)
                arena_release(arena, end);
        return 0;
}

int age_recipients_add(
        struct age_recipients *recipients, const char *text, struct arena *arena, struct error *error) {
        struct bytes bytes = {(const uint8_t *)text, strlen(text)};

        if (recipients_add_text(recipients, bytes, arena, error) == 0)
                return 0;
        error_status(error, EXIT_STATUS_DATA);
        /* Which of several? Shown is only what claims to be public by its first letters. */
        if (key_text_begins(bytes, "age1"))
                return error_wrap(error, "recipient %.12s...", text);
        return error_wrap(error, "recipient");
}

int age_recipients_remove(
        struct age_recipients *recipients, const char *text, struct arena *arena, struct error *error) {
        struct age_recipients one = {0};
        const size_t mark = arena->used;
        int result = age_recipients_add(&one, text, arena, error) < 0 ? -1 : 1;

        for (size_t i = 0; result == 1 && i < recipients->count; i++)
                if (recipient_is_same(recipients->list[i], one.list[0])) {
                        recipients->count--;
                        memmove(&recipients->list[i], &recipients->list[i + 1],
                                (recipients->count - i) * sizeof recipients->list[0]);
                        result = 0;
                }
        arena_release(arena, mark);
        return result;
}

int age_recipients_add_file(struct age_recipients *recipients, struct bytes text, const char *name,
        struct arena *arena, struct error *error) {
        const size_t count = recipients->count, mark = arena->used;
        struct bytes rest = text, one;
        size_t line = 0, found = 0;

        while (key_text_line(&rest, &one, &line)) {
                if (one.length == 0 || one.at[0] == '#')
                        continue;
                found++;
                if (recipients_add_text(recipients, one, arena, error) == 0)
                        continue;
                recipients->count = count;
                arena_release(arena, mark);
                error_status(error, EXIT_STATUS_DATA);
                return error_wrap(error, "%s: line %zu", name, line);
        }
        if (found > 0)
                return 0;
        error_set(error, 0, "%s: there is no recipient in it", name);
        return error_status(error, EXIT_STATUS_DATA);
}

int recipient_of_key(
        struct age_key *key, struct age_recipient *out, struct arena *arena, struct error *error) {
        out->kind = key->kind;
        if (key->kind == AGE_KIND_HYBRID) {
                uint8_t *room = arena_take(arena, HYBRID_PUBLIC_BYTES, error);

                out->hybrid_key = room;
                return room ? hybrid_public(key->secret, room, error) : -1;
        }
        memcpy(out->public_key, x25519_public(key), X25519_BYTES);
        memcpy(out->ssh_wire, key->ssh_wire, SSH_WIRE_BYTES);
        return 0;
}

int age_recipients_add_keys(struct age_recipients *recipients, const struct age_keys *keys,
        struct arena *arena, struct error *error) {
        for (size_t i = 0; i < keys->count; i++) {
                struct age_recipient *recipient;

                if (keys->list[i]->kind == AGE_KIND_SCRYPT)
                        continue;
                recipient = arena_take(arena, sizeof *recipient, error);
                if (!recipient || recipient_of_key(keys->list[i], recipient, arena, error) < 0 ||
                        recipients_append(recipients, recipient, error) < 0)
                        return -1;
        }
        return 0;
}

int age_recipients_add_passphrase(struct age_recipients *recipients, struct secret_bytes passphrase,
        unsigned log_n, const struct age_limits *limits, struct arena *arena, struct error *error) {
        struct age_recipient *recipient;

        if (passphrase.length == 0)
                return error_set(error, 0, "an empty passphrase");
        if (log_n < 1 || log_n > AGE_SCRYPT_LOG_N_DEFAULT)
                return error_set(error, 0, "a work factor of %u: readers take 1 to %d", log_n,
                        AGE_SCRYPT_LOG_N_DEFAULT);
        if (scrypt_refuse_cost(log_n, limits, error) < 0)
                return -1;
        recipient = arena_take(arena, sizeof *recipient, error);
        if (!recipient)
                return -1;
        recipient->kind = AGE_KIND_SCRYPT;
        recipient->passphrase = passphrase;
        recipient->log_n = log_n;
        return recipients_append(recipients, recipient, error);
}
