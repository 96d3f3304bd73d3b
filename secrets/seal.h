#pragma once

/* Making a sealed generation; the loader's half of bundle.h. Internal to secrets/. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/secret_memory.h"

#define SEAL_KEY_BYTES 32
/* An encrypted area is this much longer than what it holds: the authenticator (crypto_secretbox). */
#define SEAL_EXTRA_BYTES 16

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d /* linux/magic.h, since 5.14 */
#endif

struct seal {
        int fd;
        bool is_encrypted;
        uint8_t key[SEAL_KEY_BYTES]; /* when encrypted */
};

/* Whether memfd_secret(2) is asked for. */
enum seal_memory {
        SEAL_SECRET_IF_THERE,
        SEAL_SECRET_REQUIRED,
        SEAL_SECRET_FORBIDDEN, /* a filter would end this process: trial.h */
};

/* Put `strings` into memfd_secret(2), or, when that cannot be had and is not required, encrypted into a
 * sealed memfd. key   for the second case; NULL makes a random one */
int seal_make(struct bytes strings, const uint8_t *key, enum seal_memory memory, struct seal *out,
        struct error *error);

/* Copy what a seal holds: `length` bytes in *out, in a mapping of its own that core files leave out. With
 * memfd_secret it is that memory itself, shared. */
int seal_map(int fd, bool is_encrypted, const uint8_t *key, uint64_t length, char **out, struct error *error);

/* What kind of seal `fd` is, and how many bytes it holds. Fails when it is neither, or could still be
 * changed. */
int seal_inspect(int fd, bool *out_is_encrypted, uint64_t *out_length, struct error *error);

/* Put `bytes` (nothing secret) into a sealed ordinary memfd called `name`. Returns the descriptor or -1. */
int seal_plain(const char *name, struct bytes bytes, struct error *error);
