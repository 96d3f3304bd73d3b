/* Writing an age file, and making keys. Runs in the editing verbs; the ciphertext goes to heap memory,
 * everything that could open it stays in an arena of its own.
 *
 * Recipients that the format does not let stand together are refused here too, although
 * age_recipients_add...() did. */

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/age/age.h"
#include "secrets/age/armor.h"
#include "secrets/age/bech32.h"
#include "secrets/age/format.h"
#include "secrets/age/hkdf.h"
#include "secrets/age/stream.h"
#include "secrets/age/key_text.h"
#include "secrets/age/wrap.h"

#define PAYLOAD_NONCE_BYTES 16
#define HEADER_FRAME_BYTES  128 /* version line and end line */

static int header_write(struct age_writer *writer, const struct age_recipients *recipients,
        struct age_scratch *scratch, struct error *error) {
        const struct bytes none = BYTES_OF("");
        uint8_t mac[AGE_MAC_BYTES];

        age_write_text(writer, AGE_VERSION_LINE);
        for (size_t i = 0; i < recipients->count; i++) {
                const struct age_recipient *recipient = recipients->list[i];

                if (age_kind_calls_of(recipient->kind)->wrap(recipient, scratch, writer, error) < 0)
                        return -1;
        }
        age_write_text(writer, "---");
        hkdf_sha256(scratch->wrap_key, (struct bytes){scratch->file_key, sizeof scratch->file_key}, none,
                "header");
        hmac_sha256(mac, (struct bytes){scratch->wrap_key, sizeof scratch->wrap_key},
                (struct bytes){writer->at, writer->length}, none);
        age_write_text(writer, " ");
        age_write_base64(writer, (struct bytes){mac, sizeof mac});
        age_write_text(writer, "\n");
        return 0;
}

static void payload_write(struct age_writer *writer, struct bytes plaintext, size_t payload_bytes,
        struct age_scratch *scratch) {
        uint8_t nonce[PAYLOAD_NONCE_BYTES];

        randombytes_buf(nonce, sizeof nonce);
        age_write_bytes(writer, (struct bytes){nonce, sizeof nonce});
        hkdf_sha256(scratch->payload_key, (struct bytes){scratch->file_key, sizeof scratch->file_key},
                (struct bytes){nonce, sizeof nonce}, "payload");
        stream_seal(plaintext, scratch->payload_key, writer->at + writer->length);
        writer->length += payload_bytes;
}

/* Wrap *file into armor. */
static int file_armor(struct age_file *file, struct error *error) {
        size_t length = armor_encoded_bytes(file->length);
        uint8_t *armored = length > 0 ? malloc(length) : NULL;

        if (!armored)
                return error_set(error, ENOMEM, "take memory for the armor of %zu bytes", file->length);
        armor_encode((struct bytes){file->at, file->length}, (char *)armored);
        free(file->at);
        *file = (struct age_file){armored, length};
        return 0;
}

static int file_write(struct bytes plaintext, const struct age_recipients *recipients,
        struct age_scratch *scratch, struct age_file *out, struct error *error) {
        size_t payload_bytes, room;
        struct age_writer writer;

        if (stream_payload_bytes(plaintext.length, &payload_bytes, error) < 0)
                return -1;
        room = HEADER_FRAME_BYTES + recipients->count * WRITTEN_STANZA_MAX + PAYLOAD_NONCE_BYTES;
        if (__builtin_add_overflow(room, payload_bytes, &room))
                return error_set(error, 0, "%zu bytes are too many to encrypt", plaintext.length);
        writer = (struct age_writer){.at = malloc(room), .room = room};
        if (!writer.at)
                return error_set(error, ENOMEM, "take %zu bytes for the encrypted file", room);
        if (header_write(&writer, recipients, scratch, error) < 0) {
                free(writer.at);
                return -1;
        }
        payload_write(&writer, plaintext, payload_bytes, scratch);
        *out = (struct age_file){writer.at, writer.length};
        return 0;
}

int age_seal(struct bytes plaintext, const struct age_recipients *recipients, bool is_armored,
        struct age_file *out, struct error *error) {
        CLEANUP_ARENA struct arena arena = {0};
        struct age_file file = {NULL, 0};
        struct age_scratch *scratch;
        int status;

        if (recipients->count == 0) {
                error_set(error, 0, "no recipient: nobody could open the file");
                return error_hint(error, "name a recipient (age1...), an identity or a passphrase");
        }
        if (age_recipients_check(recipients, error) < 0 || age_crypto_hurry(error) < 0 ||
                arena_init(&arena, sizeof *scratch, error) < 0)
                return -1;
        scratch = arena_take(&arena, sizeof *scratch, error);
        if (!scratch)
                return -1;
        randombytes_buf(scratch->file_key, sizeof scratch->file_key);
        status = file_write(plaintext, recipients, scratch, &file, error);
        sodium_stackzero(AGE_STACK_WIPE_BYTES);
        if (status < 0)
                return -1;
        if (is_armored && file_armor(&file, error) < 0) {
                free(file.at);
                return -1;
        }
        *out = file;
        return 0;
}

int age_keygen(struct arena *arena, struct secret_bytes *out_identity,
        char out_recipient[static AGE_RECIPIENT_TEXT_BYTES], struct error *error) {
        const size_t mark = arena->used;
        struct age_key *key;
        struct secret_bytes identity = {.length = bech32_encoded_bytes(IDENTITY_PREFIX, X25519_BYTES)};

        identity.at = arena_take(arena, identity.length, error);
        key = identity.at ? arena_take(arena, sizeof *key, error) : NULL;
        if (!key) {
                arena_release(arena, mark);
                return -1;
        }
        randombytes_buf(key->secret, sizeof key->secret);
        bech32_encode(
                IDENTITY_PREFIX, (struct bytes){key->secret, sizeof key->secret}, true, (char *)identity.at);
        recipient_format(x25519_public(key), out_recipient);
        secret_wipe(key, sizeof *key);
        sodium_stackzero(AGE_STACK_WIPE_BYTES);
        *out_identity = identity;
        return 0;
}
