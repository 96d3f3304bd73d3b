/* Whom a file was for and will be for: see age_difference_find() in age.h. In the editing verbs; pure over
 * bytes.
 *
 * What an age header tells is little on purpose. A stanza that a key of ours opens is that key's; an SSH
 * stanza has the tag of its recipient; of all others only the number is known. So a recipient that fits none
 * of the former may be one of the unnamed stanzas, and only what cannot be explained so is a change for
 * certain. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/age/age.h"
#include "secrets/age/base64.h"
#include "secrets/age/bech32.h"
#include "secrets/age/key_text.h"
#include "secrets/age/open.h"
#include "secrets/age/wrap.h"

/* Characters of a post-quantum recipient, which has two thousand. */
#define HYBRID_SHOWN 32

/* What one comparison works with. The counts are by kind. */
struct comparison {
        const struct age_input *input;
        const struct age_keys *keys;
        const struct age_recipients *after;
        struct age_difference *out;
        struct age_scratch *scratch;
        size_t unnamed[AGE_KIND_COUNT];   /* stanzas that nothing names */
        size_t strangers[AGE_KIND_COUNT]; /* recipients to come that no stanza names */
};

static void buffer_cleanup(uint8_t **buffer) {
        free(*buffer);
}

/* The key that opens a stanza: its place, or keys->count. */
static size_t stanza_opener(
        const struct comparison *work, const struct age_stanza *stanza, const struct age_kind_calls *calls) {
        for (size_t i = 0; i < work->keys->count; i++)
                if (work->keys->list[i]->kind != AGE_KIND_SCRYPT &&
                        age_kind_calls_of(work->keys->list[i]->kind) == calls &&
                        calls->unwrap(
                                work->keys->list[i], stanza, work->input->limits, work->scratch, NULL) == 0)
                        return i;
        return work->keys->count;
}

/* True when an SSH stanza has the tag of a recipient to come; that one is not new then. */
static bool stanza_is_kept(const struct comparison *work, const struct age_stanza *stanza) {
        uint8_t tag[SSH_TAG_BYTES], other[SSH_TAG_BYTES];
        bool is_kept = false;

        age_stanza_argument_decode(stanza, 0, tag, sizeof tag);
        for (size_t i = 0; i < work->after->count; i++) {
                if (work->after->list[i]->kind != AGE_KIND_SSH)
                        continue;
                ssh_tag(work->after->list[i]->ssh_wire, other);
                if (memcmp(tag, other, sizeof tag) == 0) {
                        work->out->is_new[i] = false;
                        is_kept = true;
                }
        }
        return is_kept;
}

static void stanza_compare(struct comparison *work, const struct age_stanza *stanza) {
        const struct age_kind_calls *calls = age_kind_calls_for(stanza);
        size_t opener;

        if (!calls) { /* tacet writes none of those */
                work->out->removed++;
                return;
        }
        opener = stanza_opener(work, stanza, calls);
        if (opener < work->keys->count) {
                work->out->named++;
                work->out->opens[opener] = true;
        }
        if (calls == &ssh_calls)
                work->out->removed += !stanza_is_kept(work, stanza);
        else if (opener < work->keys->count)
                work->out->removed += !work->out->stays[opener];
        else
                work->unnamed[calls == &hybrid_calls ? AGE_KIND_HYBRID : AGE_KIND_X25519]++;
}

/* Which recipients to come are those of our keys. */
static int keys_place(struct comparison *work, size_t owner[static AGE_RECIPIENTS_MAX], struct error *error) {
        for (size_t i = 0; i < work->keys->count; i++) {
                struct age_key *key = work->keys->list[i];
                struct age_recipient own = {0};

                if (key->kind != AGE_KIND_SCRYPT &&
                        recipient_of_key(key, &own, work->input->arena, error) < 0)
                        return -1;
                for (size_t n = 0; n < work->after->count; n++) {
                        const struct age_recipient *other = work->after->list[n];
                        bool is_same =
                                key->kind == AGE_KIND_SCRYPT
                                        ? other->kind == AGE_KIND_SCRYPT &&
                                                  other->passphrase.length == key->passphrase.length &&
                                                  sodium_memcmp(other->passphrase.at, key->passphrase.at,
                                                          key->passphrase.length) == 0
                                        : recipient_is_same(&own, other);

                        if (is_same) {
                                owner[n] = i;
                                work->out->stays[i] = true;
                        }
                }
        }
        return 0;
}

static void passphrase_compare(struct comparison *work, const size_t owner[static AGE_RECIPIENTS_MAX]) {
        bool is_same = false;

        for (size_t i = 0; i < work->keys->count; i++)
                if (work->keys->list[i]->kind == AGE_KIND_SCRYPT)
                        work->out->opens[i] = true;
        work->out->named = 1;
        for (size_t n = 0; n < work->after->count; n++)
                is_same |= work->after->list[n]->kind == AGE_KIND_SCRYPT && owner[n] < work->keys->count;
        work->out->removed = !is_same;
        if (is_same)
                work->out->is_new[0] = false;
}

/* The certain numbers, from what is named and what is left on both sides. */
static void changes_count(struct comparison *work, const size_t owner[static AGE_RECIPIENTS_MAX]) {
        struct age_difference *out = work->out;

        for (size_t n = 0; n < work->after->count; n++) {
                if (owner[n] < work->keys->count && out->opens[owner[n]])
                        out->is_new[n] = false;
                if (!out->is_new[n])
                        continue;
                /* A key at hand that opens nothing was none of the unnamed. */
                if (owner[n] < work->keys->count)
                        out->added++;
                else
                        work->strangers[work->after->list[n]->kind]++;
        }
        for (unsigned kind = 0; kind < AGE_KIND_COUNT; kind++) {
                if (work->strangers[kind] > work->unnamed[kind])
                        out->added += work->strangers[kind] - work->unnamed[kind];
                else
                        out->removed += work->unnamed[kind] - work->strangers[kind];
        }
}

static int file_compare(
        struct comparison *work, const size_t owner[static AGE_RECIPIENTS_MAX], struct error *error) {
        __attribute__((cleanup(buffer_cleanup))) uint8_t *buffer = NULL;
        struct age_stanza_walk walk = {0};
        struct age_description file;
        struct age_header header;
        struct age_stanza stanza;

        if (age_header_read(work->input->bytes, work->input->limits, &buffer, &header, &file, error) < 0)
                return error_wrap(error, "%s", work->input->name);
        work->out->before = file.recipient_stanzas + file.unknown_stanzas;
        if (file.has_passphrase)
                passphrase_compare(work, owner);
        while (!file.has_passphrase && age_stanza_next(&header, &walk, &stanza))
                stanza_compare(work, &stanza);
        return 0;
}

int age_difference_find(const struct age_input *input, const struct age_keys *keys,
        const struct age_recipients *after, struct age_difference *out, struct error *error) {
        struct comparison work = {.input = input, .keys = keys, .after = after, .out = out};
        const size_t mark = input->arena->used;
        size_t owner[AGE_RECIPIENTS_MAX];
        int result;

        *out = (struct age_difference){.after = after->count};
        for (size_t n = 0; n < AGE_RECIPIENTS_MAX; n++) {
                out->is_new[n] = n < after->count;
                owner[n] = keys->count;
        }
        work.scratch = arena_take(input->arena, sizeof *work.scratch, error);
        if (!work.scratch)
                return -1;
        result = keys_place(&work, owner, error);
        if (result == 0 && input->bytes.length)
                result = file_compare(&work, owner, error);
        if (result == 0)
                changes_count(&work, owner);
        secret_wipe(work.scratch, sizeof *work.scratch);
        sodium_stackzero(AGE_STACK_WIPE_BYTES);
        arena_release(input->arena, mark);
        return result;
}

void age_recipient_show(
        const struct age_recipients *recipients, size_t n, char out[static AGE_RECIPIENT_SHOWN_BYTES]) {
        const struct age_recipient *recipient = recipients->list[n];
        char text[2 * HYBRID_PUBLIC_BYTES];
        size_t used = sizeof "ssh-ed25519 " - 1;

        switch (recipient->kind) {
        case AGE_KIND_X25519:
                recipient_format(recipient->public_key, out);
                break;
        case AGE_KIND_SCRYPT:
                memcpy(out, "a passphrase", sizeof "a passphrase");
                break;
        case AGE_KIND_SSH:
                memcpy(out, "ssh-ed25519 ", used);
                used += base64_encode(
                        BASE64_PADDED, (struct bytes){recipient->ssh_wire, SSH_WIRE_BYTES}, out + used);
                out[used] = 0;
                break;
        case AGE_KIND_HYBRID:
                bech32_encode(HYBRID_RECIPIENT_PREFIX,
                        (struct bytes){recipient->hybrid_key, HYBRID_PUBLIC_BYTES}, false, text);
                memcpy(out, text, HYBRID_SHOWN);
                memcpy(out + HYBRID_SHOWN, "...", sizeof "...");
                break;
        }
}
