/* Passphrase stanzas. In the loader and the editing verbs.
 *
 * scrypt needs 2^(logN + 10) bytes at once, taken with MAP_POPULATE: beyond the control group's limit that is
 * an out-of-memory kill, not an error. The file chooses logN, so a stranger does: the need is compared with
 * both limits before a byte is allocated. */

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "secrets/age/wrap.h"

#define SCRYPT_LABEL       "age-encryption.org/v1/scrypt"
#define SCRYPT_SALT_BYTES  16
#define SCRYPT_BLOCKS      8  /* r; p is 1 */
#define SCRYPT_LOG_N_HARD  30 /* 1 TiB; keeps the shifts below in range whatever the limits say */
#define SCRYPT_SLACK_BYTES (UINT64_C(4) * 1024 * 1024) /* the process itself beside the table */
#define SCRYPT_DIGITS_MAX  9

/* [1-9][0-9]*, of a length that fits. */
static bool scrypt_log_n(struct bytes text, uint64_t *out) {
        return text.length <= SCRYPT_DIGITS_MAX && text.at[0] != '0' &&
               bytes_to_u64((const char *)text.at, text.length, out);
}

static int scrypt_check(const struct age_stanza *stanza, struct error *error) {
        uint64_t log_n;

        if (stanza->argument_count != 2 || !age_stanza_argument_has(stanza, 0, SCRYPT_SALT_BYTES))
                return error_set(error, 0,
                        "header line %zu: a scrypt stanza without a salt of 16 bytes and a work factor",
                        stanza->line);
        if (!scrypt_log_n(age_stanza_argument(stanza, 1), &log_n))
                return error_set(error, 0, "header line %zu: the work factor of scrypt is not a plain number",
                        stanza->line);
        if (!age_stanza_has_wrapped_key(stanza))
                return error_set(error, 0, "header line %zu: a scrypt stanza whose body is not 32 bytes",
                        stanza->line);
        return 0;
}

int scrypt_refuse_cost(uint64_t log_n, const struct age_limits *limits, struct error *error) {
        unsigned log_n_max =
                limits->scrypt_log_n_max > 0 ? limits->scrypt_log_n_max : AGE_SCRYPT_LOG_N_DEFAULT;
        uint64_t need;

        if (log_n > log_n_max || log_n > SCRYPT_LOG_N_HARD) {
                error_set(error, 0, "the passphrase's work factor %llu is over the limit %u",
                        (unsigned long long)log_n, log_n_max);
                return error_hint(error, "encrypt it again with work factor %d, or raise the limit",
                        AGE_SCRYPT_LOG_N_WRITE);
        }
        need = (UINT64_C(1) << (log_n + 10)) + SCRYPT_SLACK_BYTES;
        if (limits->scrypt_memory_max > 0 && need > limits->scrypt_memory_max) {
                error_set(error, 0,
                        "the passphrase's work factor %llu needs %llu MiB of memory and the limit is %llu "
                        "MiB",
                        (unsigned long long)log_n, (unsigned long long)(need >> 20),
                        (unsigned long long)(limits->scrypt_memory_max >> 20));
                return error_hint(error, "use a key file instead of a passphrase, or give it more memory");
        }
        return 0;
}

static int scrypt_derive(struct secret_bytes passphrase, const uint8_t salt[static SCRYPT_SALT_BYTES],
        uint64_t log_n, struct age_scratch *scratch, struct error *error) {
        uint8_t full_salt[sizeof SCRYPT_LABEL - 1 + SCRYPT_SALT_BYTES];
        static const uint8_t nothing[1];

        if (age_crypto_hurry(error) < 0)
                return -1;
        memcpy(full_salt, SCRYPT_LABEL, sizeof SCRYPT_LABEL - 1);
        memcpy(full_salt + sizeof SCRYPT_LABEL - 1, salt, SCRYPT_SALT_BYTES);
        if (crypto_pwhash_scryptsalsa208sha256_ll(passphrase.at ? passphrase.at : nothing, passphrase.length,
                    full_salt, sizeof full_salt, UINT64_C(1) << log_n, SCRYPT_BLOCKS, 1, scratch->wrap_key,
                    sizeof scratch->wrap_key) != 0)
                return error_set(error, errno, "take %llu MiB of memory for the passphrase",
                        (unsigned long long)(UINT64_C(1) << (log_n + 10)) >> 20);
        return 0;
}

static int scrypt_unwrap(struct age_key *key, const struct age_stanza *stanza,
        const struct age_limits *limits, struct age_scratch *scratch, struct error *error) {
        uint8_t salt[SCRYPT_SALT_BYTES];
        uint64_t log_n = 0;

        age_stanza_argument_decode(stanza, 0, salt, sizeof salt);
        (void)scrypt_log_n(age_stanza_argument(stanza, 1), &log_n);
        if (scrypt_refuse_cost(log_n, limits, error) < 0 ||
                scrypt_derive(key->passphrase, salt, log_n, scratch, error) < 0)
                return -1;
        return age_wrap_open(stanza, scratch);
}

static int scrypt_wrap(const struct age_recipient *recipient, struct age_scratch *scratch,
        struct age_writer *writer, struct error *error) {
        uint8_t salt[SCRYPT_SALT_BYTES];
        char log_n[16];

        randombytes_buf(salt, sizeof salt);
        if (scrypt_derive(recipient->passphrase, salt, recipient->log_n, scratch, error) < 0)
                return -1;
        snprintf(log_n, sizeof log_n, " %u", recipient->log_n);
        age_write_text(writer, "-> scrypt ");
        age_write_base64(writer, (struct bytes){salt, sizeof salt});
        age_write_text(writer, log_n);
        age_wrap_seal(scratch, writer);
        return 0;
}

const struct age_kind_calls scrypt_calls = {"scrypt", scrypt_check, scrypt_unwrap, scrypt_wrap};
