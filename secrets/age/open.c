/* Opening an age file: armor, header, structure, unwrap, MAC, payload, in this order. Runs in the loader
 * after it confined itself, and in the editing verbs; opens no file, prompts for nothing, prints nothing.
 *
 * Nothing leaks out early: a file key is believed when the header's MAC verifies with it, and the plaintext
 * is the caller's when the last chunk verified. On any failure what was decrypted is wiped with the arena's
 * mark. */

#include "secrets/age/open.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/age/armor.h"
#include "secrets/age/format.h"
#include "secrets/age/hkdf.h"
#include "secrets/age/stream.h"
#include "secrets/age/wrap.h"

#define PAYLOAD_NONCE_BYTES 16
/* From here on the fast cipher saves more than finding it costs. */
#define HURRY_BYTES ((size_t)256 * 1024)

static void buffer_cleanup(uint8_t **buffer) {
        free(*buffer);
}

/* Take the armor off, if there is one, into heap memory (it is all ciphertext). */
static int file_unarmor(struct bytes *file, uint8_t **buffer, struct error *error) {
        size_t length;

        if (!armor_is_present(*file))
                return 0;
        *buffer = malloc(armor_decoded_bytes_max(file->length));
        if (!*buffer)
                return error_set(error, ENOMEM, "take %zu bytes for the armor's content", file->length);
        if (armor_decode(*file, *buffer, &length, error) < 0)
                return -1;
        *file = (struct bytes){*buffer, length};
        return 0;
}

/* What every stanza of a known kind must look like, and scrypt alone or not at all. */
static int header_check(const struct age_header *header, struct age_description *out, struct error *error) {
        struct age_stanza_walk walk = {0};
        struct age_stanza stanza;

        while (age_stanza_next(header, &walk, &stanza)) {
                const struct age_kind_calls *calls = age_kind_calls_for(&stanza);

                if (!calls) {
                        out->unknown_stanzas++;
                        continue;
                }
                if (calls->check(&stanza, error) < 0)
                        return -1;
                out->recipient_stanzas++;
                if (calls != &scrypt_calls)
                        continue;
                if (header->stanza_count != 1)
                        return error_set(
                                error, 0, "header line %zu: a scrypt stanza that is not alone", stanza.line);
                out->has_passphrase = true;
        }
        return 0;
}

/* Try each key on each stanza of its kind. 0: scratch->file_key is set; 1: none fits; -1. */
static int header_unwrap(const struct age_header *header, const struct age_keys *keys,
        const struct age_limits *limits, struct age_scratch *scratch, struct error *error) {
        struct age_stanza_walk walk = {0};
        struct age_stanza stanza;

        while (age_stanza_next(header, &walk, &stanza)) {
                const struct age_kind_calls *calls = age_kind_calls_for(&stanza);

                for (size_t i = 0; calls && i < keys->count; i++) {
                        int status;

                        if (age_kind_calls_of(keys->list[i]->kind) != calls)
                                continue;
                        status = calls->unwrap(keys->list[i], &stanza, limits, scratch, error);
                        if (status <= 0)
                                return status;
                }
        }
        return 1;
}

static bool header_has_hybrid(const struct age_header *header) {
        struct age_stanza_walk walk = {0};
        struct age_stanza stanza;

        while (age_stanza_next(header, &walk, &stanza))
                if (age_kind_calls_for(&stanza) == &hybrid_calls)
                        return true;
        return false;
}

/* Keys were tried and none fitted. */
static int say_no_key_fits(const struct age_header *header, const struct age_description *file,
        const struct age_keys *keys, struct error *error) {
        error_set(error, 0, "none of the given keys (%zu) opens it: known recipients %zu, others %zu",
                keys->count, file->recipient_stanzas, file->unknown_stanzas);
        if (!hybrid_is_built_in() && header_has_hybrid(header))
                return error_hint(error,
                        "it is encrypted for post-quantum keys: those need a tacet built with %s",
                        "libsodium 1.0.22 or newer");
        return error_hint(
                error, "encrypt it for this key, or name the identity file of one of its recipients");
}

/* Which of the usual mistakes was it? */
static int say_no_match(const struct age_header *header, const struct age_description *file,
        const struct age_keys *keys, struct error *error) {
        size_t passphrases = 0;

        for (size_t i = 0; i < keys->count; i++)
                passphrases += keys->list[i]->kind == AGE_KIND_SCRYPT;
        if (keys->count == 0) {
                error_set(error, 0, "no key was given to open it with");
                return error_hint(error, "name an identity file or a passphrase");
        }
        if (file->has_passphrase && passphrases == 0) {
                error_set(error, 0, "encrypted with a passphrase, and only identities were given");
                return error_hint(error, "give the passphrase: -i passphrase-file:PATH");
        }
        if (file->has_passphrase)
                return error_set(error, 0, "wrong passphrase");
        if (passphrases == keys->count) {
                error_set(error, 0, "encrypted for keys, not with a passphrase");
                return error_hint(error, "name the identity file of one of its recipients (there are %zu)",
                        file->recipient_stanzas);
        }
        return say_no_key_fits(header, file, keys, error);
}

static int header_verify(const struct age_header *header, struct age_scratch *scratch, struct error *error) {
        uint8_t mac[AGE_MAC_BYTES];
        const struct bytes none = BYTES_OF("");

        hkdf_sha256(scratch->wrap_key, (struct bytes){scratch->file_key, sizeof scratch->file_key}, none,
                "header");
        hmac_sha256(mac, (struct bytes){scratch->wrap_key, sizeof scratch->wrap_key},
                (struct bytes){header->text.at, header->signed_length}, none);
        if (sodium_memcmp(mac, header->mac, sizeof mac) != 0)
                return error_set(error, 0, "the header does not verify: it was damaged or changed");
        return 0;
}

static int payload_open(struct bytes payload, struct age_scratch *scratch, struct arena *arena,
        struct secret_bytes *out, enum age_fault *fault, struct error *error) {
        struct bytes nonce = {payload.at, PAYLOAD_NONCE_BYTES};
        struct secret_bytes plain;

        if (payload.length < PAYLOAD_NONCE_BYTES) {
                *fault = AGE_FAULT_HEADER; /* the vectors count the nonce as part of the header */
                return error_set(error, 0, "the payload is cut: %zu bytes are left of it", payload.length);
        }
        payload = (struct bytes){payload.at + PAYLOAD_NONCE_BYTES, payload.length - PAYLOAD_NONCE_BYTES};
        if (stream_plaintext_bytes(payload.length, &plain.length, error) < 0)
                return -1;
        if (plain.length > HURRY_BYTES && age_crypto_hurry(error) < 0)
                return -1;
        plain.at = arena_take(arena, plain.length, error);
        if (!plain.at) {
                *fault = AGE_FAULT_OTHER;
                return -1;
        }
        hkdf_sha256(scratch->payload_key, (struct bytes){scratch->file_key, sizeof scratch->file_key}, nonce,
                "payload");
        if (stream_open(payload, scratch->payload_key, plain.at, error) < 0)
                return -1;
        *out = plain;
        return 0;
}

static int header_open(struct bytes file, const struct age_keys *keys, const struct age_limits *limits,
        struct age_scratch *scratch, struct age_header *header, enum age_fault *fault, struct error *error) {
        struct age_description description = {0};
        int status;

        *fault = AGE_FAULT_HEADER;
        if (age_header_parse(file, header, error) < 0 || header_check(header, &description, error) < 0)
                return -1;
        status = header_unwrap(header, keys, limits, scratch, error);
        if (status < 0)
                return -1;
        if (status > 0) {
                *fault = AGE_FAULT_NO_MATCH;
                return say_no_match(header, &description, keys, error);
        }
        *fault = AGE_FAULT_MAC;
        return header_verify(header, scratch, error);
}

static int file_size_check(struct bytes file, const struct age_limits *limits, struct error *error) {
        size_t file_bytes_max = limits->file_bytes_max > 0 ? limits->file_bytes_max : AGE_FILE_BYTES_DEFAULT;

        if (file.length > file_bytes_max)
                return error_set(
                        error, 0, "%zu bytes are more than the limit of %zu", file.length, file_bytes_max);
        return 0;
}

int age_open_telling(const struct age_input *input, const struct age_keys *keys, struct secret_bytes *out,
        enum age_fault *out_fault, struct error *error) {
        __attribute__((cleanup(buffer_cleanup))) uint8_t *buffer = NULL;
        const size_t mark = input->arena->used;
        struct bytes file = input->bytes;
        struct age_scratch *scratch;
        struct age_header header;
        int status = -1;

        *out_fault = AGE_FAULT_OTHER;
        if (file_size_check(file, input->limits, error) < 0)
                return -1;
        scratch = arena_take(input->arena, sizeof *scratch, error);
        if (!scratch)
                return -1;
        *out_fault = AGE_FAULT_ARMOR;
        if (file_unarmor(&file, &buffer, error) == 0 &&
                header_open(file, keys, input->limits, scratch, &header, out_fault, error) == 0) {
                *out_fault = AGE_FAULT_PAYLOAD;
                status = payload_open(
                        (struct bytes){file.at + header.text.length, file.length - header.text.length},
                        scratch, input->arena, out, out_fault, error);
        }
        secret_wipe(scratch, sizeof *scratch);
        sodium_stackzero(AGE_STACK_WIPE_BYTES);
        if (status < 0) {
                arena_release(input->arena, mark);
                return -1;
        }
        *out_fault = AGE_FAULT_NONE;
        return 0;
}

int age_open(const struct age_input *input, const struct age_keys *keys, struct secret_bytes *out,
        struct error *error) {
        enum age_fault fault;

        if (age_open_telling(input, keys, out, &fault, error) == 0)
                return 0;
        error_status(error, EXIT_STATUS_DATA);
        return error_wrap(error, "%s", input->name);
}

int age_header_read(struct bytes file, const struct age_limits *limits, uint8_t **buffer,
        struct age_header *header, struct age_description *out, struct error *error) {
        struct age_description found = {.is_armored = armor_is_present(file)};

        if (file_size_check(file, limits, error) < 0 || file_unarmor(&file, buffer, error) < 0)
                return -1;
        if (age_header_parse(file, header, error) < 0 || header_check(header, &found, error) < 0)
                return -1;
        *out = found;
        return 0;
}

int age_describe(struct bytes file, const char *name, const struct age_limits *limits,
        struct age_description *out, struct error *error) {
        __attribute__((cleanup(buffer_cleanup))) uint8_t *buffer = NULL;
        struct age_header header;

        if (age_header_read(file, limits, &buffer, &header, out, error) == 0)
                return 0;
        error_status(error, EXIT_STATUS_DATA);
        return error_wrap(error, "%s", name);
}

bool age_is_age_file(struct bytes file) {
        const size_t length = sizeof AGE_VERSION_LINE - 1;
        /* the version may be another: then age_open() says so */
        const size_t prefix = length - sizeof "v1\n" + 1;

        return armor_is_present(file) ||
               (file.length >= prefix && memcmp(file.at, AGE_VERSION_LINE, prefix) == 0);
}
