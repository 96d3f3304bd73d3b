#pragma once

/* How a file key is wrapped for one recipient and unwrapped with one key: one file per kind of stanza, all
 * behind the same five functions. Inside secrets/age only. */

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"
#include "secrets/age/format.h"

#define X25519_BYTES        32
#define SSH_WIRE_BYTES      51 /* string "ssh-ed25519", string key: RFC 8709, section 4 */
#define SSH_TAG_BYTES       4
#define HYBRID_SEED_BYTES   32
#define HYBRID_PUBLIC_BYTES 1216
#define HYBRID_SHARE_BYTES  1120
#define WRITTEN_STANZA_MAX  1600 /* characters; the hybrid one is the longest */

enum age_kind { AGE_KIND_X25519, AGE_KIND_SCRYPT, AGE_KIND_SSH, AGE_KIND_HYBRID };
#define AGE_KIND_COUNT 4

/* All of it secret or derived from secrets, so it lies in the caller's arena. */
struct age_key {
        enum age_kind kind;
        bool has_public;    /* `public_key` is computed when a stanza first asks for it */
        uint8_t secret[32]; /* X25519: the scalar; SSH: the clamped scalar; hybrid: the seed */
        uint8_t public_key[X25519_BYTES];
        uint8_t ssh_wire[SSH_WIRE_BYTES];
        struct secret_bytes passphrase; /* scrypt; borrowed */
};

struct age_recipient {
        enum age_kind kind;
        uint8_t public_key[X25519_BYTES];
        uint8_t ssh_wire[SSH_WIRE_BYTES];
        const uint8_t *hybrid_key;      /* HYBRID_PUBLIC_BYTES in the arena */
        struct secret_bytes passphrase; /* scrypt; borrowed */
        unsigned log_n;
};

/* The intermediate secrets of one open or seal, in the arena: libsodium writes the scalar into its output for
 * a moment, so not even that may lie on the stack. */
struct age_scratch {
        uint8_t scalar[X25519_BYTES];
        uint8_t shared[X25519_BYTES];
        uint8_t tweak[X25519_BYTES];
        uint8_t tweaked[X25519_BYTES];
        uint8_t wrap_key[32];
        uint8_t file_key[AGE_FILE_KEY_BYTES];
        uint8_t payload_key[32];
};

struct age_kind_calls {
        const char *stanza_type;

        /* Structure only, on every stanza of this type whether or not a key for it is there. 0 or -1. */
        int (*check)(const struct age_stanza *stanza, struct error *error);

        /* Into scratch->file_key. 0: unwrapped; 1: not for this key; -1: the stanza is bad, or a limit is
         * passed. */
        int (*unwrap)(struct age_key *key, const struct age_stanza *stanza, const struct age_limits *limits,
                struct age_scratch *scratch, struct error *error);

        /* Write one stanza around scratch->file_key. 0 or -1. */
        int (*wrap)(const struct age_recipient *recipient, struct age_scratch *scratch,
                struct age_writer *writer, struct error *error);
};

extern const struct age_kind_calls x25519_calls, scrypt_calls, ssh_calls, hybrid_calls;

/* kinds.c: the calls of a kind; never NULL. */
const struct age_kind_calls *age_kind_calls_of(enum age_kind kind);

/* libsodium's code leaves intermediate values below our frames; so much of the stack is wiped
 * (sodium_stackzero) before secrets leave this folder. Measured: the curve, hash and cipher functions reach
 * 3.3 KiB down, X-Wing 24 KiB. Not more than that, because in a young process each page costs a fault. */
#ifdef crypto_kem_xwing_SECRETKEYBYTES
#define AGE_STACK_WIPE_BYTES ((size_t)32 * 1024)
#else
#define AGE_STACK_WIPE_BYTES ((size_t)8 * 1024)
#endif

/* The calls for a stanza's type, or NULL when tacet does not know it. */
const struct age_kind_calls *age_kind_calls_for(const struct age_stanza *stanza);

/* Let libsodium choose the fast code for this processor, once per process. Nothing here needs it: without it
 * the portable code runs, which for the curve is as fast. It asks the processor about itself (cpuid), and in
 * a virtual machine each question goes to the hypervisor: 200 us and more, as much as all the rest of opening
 * a small file. So it is called where it pays: scrypt, large payloads, writing. */
int age_crypto_hurry(struct error *error);

/* ---- shared by the kinds ---- */

/* file_key sealed with `wrap_key` under the all-zero nonce: each wrap_key is used once. */
void age_wrap_seal(const struct age_scratch *scratch, struct age_writer *writer);

/* 0 into scratch->file_key, or 1 when the tag is wrong. */
int age_wrap_open(const struct age_stanza *stanza, struct age_scratch *scratch);

/* The public half of an X25519 or SSH key. */
const uint8_t *x25519_public(struct age_key *key);

/* wrap_key = HKDF(shared, share || public, info): the last step of X25519 and SSH. */
void x25519_wrap_key(struct age_scratch *scratch, const uint8_t *shared,
        const uint8_t share[static X25519_BYTES], const uint8_t public_key[static X25519_BYTES],
        const char *info);

/* A fresh scalar in scratch->scalar and its share; scratch->shared with `public_key`. -1: that is no usable
 * point. */
int x25519_ephemeral(struct age_scratch *scratch, const uint8_t public_key[static X25519_BYTES],
        uint8_t out_share[static X25519_BYTES], struct error *error);

/* Refuse a work factor that is over a limit, before anything is taken for it. */
int scrypt_refuse_cost(uint64_t log_n, const struct age_limits *limits, struct error *error);

/* ---- SSH texts (ssh.c) ---- */

/* The first four bytes of a hash of the key: what a stanza names its recipient by. */
void ssh_tag(const uint8_t wire[static SSH_WIRE_BYTES], uint8_t out[static SSH_TAG_BYTES]);

/* Parse the base64 word of an `ssh-ed25519 AAAA...` line. */
int ssh_recipient_parse(struct bytes word, struct age_recipient *out, struct error *error);

/* Parse an unencrypted OpenSSH private key file; `arena` holds the decoded file meanwhile. */
int ssh_key_parse(struct bytes text, struct age_key *out, struct arena *arena, struct error *error);

/* ---- hybrid (hybrid.c), which needs libsodium 1.0.22 at build time ---- */

/* Set the error that this build has no hybrid keys; returns -1. */
int hybrid_refuse(struct error *error);

/* The public key of a seed. Returns 0, or -1 with error. */
int hybrid_public(const uint8_t seed[static HYBRID_SEED_BYTES], uint8_t out[static HYBRID_PUBLIC_BYTES],
        struct error *error);

/* True when this build has hybrid keys. */
bool hybrid_is_built_in(void);
