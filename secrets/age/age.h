#pragma once

/* The age v1 file format (age-encryption.org/v1; C2SP age.md): what the rest of tacet needs of it.
 *
 * Pure over bytes: nothing here opens a file, logs or prompts. Plaintext, identities and passphrases lie in
 * the caller's arena. A file is verified to its last byte before age_open() hands out the first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"

#define AGE_FILE_BYTES_DEFAULT    ((size_t)8 * 1024 * 1024)
#define AGE_SCRYPT_LOG_N_DEFAULT  22 /* the reference reader's own limit */
#define AGE_SCRYPT_LOG_N_WRITE    18 /* the reference writer's choice */
#define AGE_KEYS_MAX              256
#define AGE_RECIPIENTS_MAX        256
#define AGE_RECIPIENT_TEXT_BYTES  63 /* "age1...", 62 characters and the NUL */
#define AGE_RECIPIENT_SHOWN_BYTES 96 /* of age_recipient_show() */

struct age_limits {
        size_t file_bytes_max;     /* of the age file, armored or not */
        unsigned scrypt_log_n_max; /* refuse a higher work factor at once */
        /* bytes that scrypt may use: the cgroup's limit where there is one; 0: none. A larger need is an
         * error here instead of an out-of-memory kill. */
        uint64_t scrypt_memory_max;
};

/* What can open a file. Zero-initialise; entries lie in the arena that the add functions were given. */
struct age_keys {
        struct age_key *list[AGE_KEYS_MAX];
        size_t count;
};

/* Whom a file is written for. Zero-initialise. Holds public keys (and at most one passphrase, in the
 * arena). */
struct age_recipients {
        struct age_recipient *list[AGE_RECIPIENTS_MAX];
        size_t count;
};

/* A file from outside, and what it is read with. */
struct age_input {
        struct bytes bytes; /* borrowed for the call; wiping it is the caller's */
        const char *name;   /* how messages call it, a path as a rule */
        const struct age_limits *limits;
        struct arena *arena; /* for what comes out of it */
};

/* Add every identity of an identity file: AGE-SECRET-KEY-1 lines, `#` comments, CRLF tolerated; or an
 * unencrypted OpenSSH ed25519 private key; or an age file (armored or not) that holds an identity file and is
 * opened with the keys already in `keys` (a passphrase, as a rule). Returns 0 or -1; errors name line and
 * column, never a character of a key. */
int age_keys_add(struct age_keys *keys, const struct age_input *input, struct error *error);

/* True when `text` holds an age identity in the clear: AGE-SECRET-KEY-1..., AGE-SECRET-KEY-PQ-1... or
 * AGE-PLUGIN-NAME-1..., in any case, where a line begins (blanks before it do not count), or anywhere when
 * as much follows as a key has. OpenSSH keys do not count: they have other uses. */
bool age_text_has_identity(struct bytes text);

/* Add a passphrase. `passphrase` must stay valid as long as `keys`. */
int age_keys_add_passphrase(
        struct age_keys *keys, struct secret_bytes passphrase, struct arena *arena, struct error *error);

/* Decrypt a file, binary or armored, told apart by its first bytes. Returns 0 with *out in the arena; -1 with
 * error: not an age file, wrong key, torn, not canonical, over a limit. */
int age_open(const struct age_input *input, const struct age_keys *keys, struct secret_bytes *out,
        struct error *error);

/* What age_describe() reads of a file without any key. It returns 0, or -1 with error, which names `name`. */
struct age_description {
        bool is_armored;
        bool has_passphrase;      /* its only stanza is scrypt */
        size_t recipient_stanzas; /* of kinds that tacet knows */
        size_t unknown_stanzas;
};
int age_describe(struct bytes file, const char *name, const struct age_limits *limits,
        struct age_description *out, struct error *error);

/* True when `file` begins like an age file of either form. */
bool age_is_age_file(struct bytes file);

/* Add one recipient: `age1...` or an `ssh-ed25519 AAAA...` line. Post-quantum recipients need libsodium
 * 1.0.22 at build time; without it the error says so. Duplicates are ignored. */
int age_recipients_add(
        struct age_recipients *recipients, const char *text, struct arena *arena, struct error *error);

/* Add every line of a recipients file (`#` comments). */
int age_recipients_add_file(struct age_recipients *recipients, struct bytes text, const char *name,
        struct arena *arena, struct error *error);

/* Take out the recipient that `text` names. Returns 0, 1 when it is not among them, or -1 with error. */
int age_recipients_remove(
        struct age_recipients *recipients, const char *text, struct arena *arena, struct error *error);

/* The n-th recipient as a person may see it: age1..., an ssh-ed25519 line, the beginning of a post-quantum
 * one, or "a passphrase". */
void age_recipient_show(
        const struct age_recipients *recipients, size_t n, char out[static AGE_RECIPIENT_SHOWN_BYTES]);

/* Add the recipient that belongs to each identity in `keys` (no passphrases). */
int age_recipients_add_keys(struct age_recipients *recipients, const struct age_keys *keys,
        struct arena *arena, struct error *error);

/* Write with a passphrase: must stay the only recipient. `log_n` AGE_SCRYPT_LOG_N_WRITE as a rule; refused
 * when it is over `limits` (scrypt takes the same memory for writing). */
int age_recipients_add_passphrase(struct age_recipients *recipients, struct secret_bytes passphrase,
        unsigned log_n, const struct age_limits *limits, struct arena *arena, struct error *error);

/* Whom a file is for, compared with whom it shall be for. An X25519 or post-quantum stanza hides its
 * recipient from everybody but its key, an SSH one names it by a tag; so some things are certain and others
 * are not. */
struct age_difference {
        size_t before, after;  /* how many; a passphrase is one */
        size_t named;          /* of `before`: stanzas that one of the keys opens */
        size_t added, removed; /* at least so many, for certain: both 0 where nothing shows a change */
        bool is_new[AGE_RECIPIENTS_MAX]; /* nothing shows that the n-th of them could open it before */
        bool opens[AGE_KEYS_MAX];        /* the n-th key opens it (of a passphrase: is assumed to) */
        bool stays[AGE_KEYS_MAX];        /* the n-th key will open it */
};

/* Compare. No passphrase is tried on the file: one of `keys` that is also in `after` counts as the same.
 * input   the file as it is; no bytes at all: there is none yet
 * keys    whose places in it are wanted: those that open it, and others of the same person
 * Returns 0 or -1 with error. */
int age_difference_find(const struct age_input *input, const struct age_keys *keys,
        const struct age_recipients *after, struct age_difference *out, struct error *error);

/* Encrypt `plaintext` for all recipients. *out is heap memory (ciphertext; the caller frees out->at). */
struct age_file {
        uint8_t *at;
        size_t length;
};
int age_seal(struct bytes plaintext, const struct age_recipients *recipients, bool is_armored,
        struct age_file *out, struct error *error);

/* Make a new X25519 identity: its 74 characters in `arena`, its recipient as text. */
int age_keygen(struct arena *arena, struct secret_bytes *out_identity,
        char out_recipient[static AGE_RECIPIENT_TEXT_BYTES], struct error *error);

/* The recipient text of the n-th key; false when it is a passphrase, an SSH key or a post-quantum key. */
bool age_key_recipient(
        const struct age_keys *keys, size_t n, char out_recipient[static AGE_RECIPIENT_TEXT_BYTES]);

/* The n-th key when it is a passphrase (borrowed); false when it is none. */
bool age_keys_passphrase(const struct age_keys *keys, size_t n, struct secret_bytes *out);

/* 32 bytes that depend on the first key in `keys` that is no passphrase (HKDF, info "tacet fingerprint"): the
 * key of displayed fingerprints, the same wherever the same identity is used. False when there is none
 * (passphrases give none: a fingerprint must not become an oracle for one). */
bool age_fingerprint_key(const struct age_keys *keys, uint8_t out_key[static 32]);
