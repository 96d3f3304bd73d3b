#pragma once

/* What a load is asked for: sources and keys as the user wrote them, and limits. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "secrets/document/document.h"

#define LOAD_SOURCES_MAX         64
#define LOAD_KEYS_MAX            64
#define LOAD_DEADLINE_NS_DEFAULT (30 * INT64_C(1000000000))
/* Waiting for a source ends at the deadline with an error that names it; computing ends this much later, with
 * SIGKILL. */
#define LOAD_GRACE_NS         (INT64_C(500) * 1000000)
#define LOAD_SOURCE_BYTES_MAX ((size_t)8 * 1024 * 1024)

/* One source as the user wrote it. Strings are borrowed. */
struct load_source {
        const char *name;              /* section name, or the URI itself */
        const char *uri;               /* see conf/scheme.h; names behind env: stay whole */
        const char *where;             /* FILE:LINE of the configuration, or "command line"; for messages */
        const struct dialect *dialect; /* of `dialect`/`format`; NULL: not given */
        bool is_watched;               /* not for the loader: its parent watches the files */
        bool may_hold_identities;      /* values that are age identities are the app's own */
};

/* One key: an identity file PATH, `fd:N`, `credential:NAME`, `env:NAME`, or `passphrase-file:PATH`,
 * `passphrase-fd:N`. Descriptors must be open when load_start() is called; they stay the caller's. */
struct load_key {
        const char *spec;
        const char *where;
};

struct load_request {
        struct load_source sources[LOAD_SOURCES_MAX];
        size_t source_count;
        struct load_key keys[LOAD_KEYS_MAX];
        size_t key_count;
        /* duration; 0: LOAD_DEADLINE_NS_DEFAULT. The loader ends itself when it is over */
        int64_t deadline_ns;
        size_t source_bytes_max;   /* of one file or reply; 0: LOAD_SOURCE_BYTES_MAX */
        unsigned scrypt_log_n_max; /* 0: AGE_SCRYPT_LOG_N_DEFAULT */
        /* what execve(2) will take for the secrets: strings with NUL and 8 bytes each; 0: not checked */
        uint64_t environment_bytes_max;
        bool require_secret_memory; /* refuse the encrypted-memfd fallback */
        bool wants_inventory;   /* names, sizes, fingerprints are wanted (check, the first lines of a log) */
        uint8_t digest_key[32]; /* random, made once by the parent */
        int captured_environment; /* from the last result that had one, or -1; borrowed */
};

/* The descriptor that a key `fd:N` (or `passphrase-fd:N`) names, or -1 for other kinds. */
int load_key_descriptor(const struct load_key *key);

/* The path of a source that is a file or a directory of files, and of a key that is a file; false for other
 * kinds. */
bool load_source_path(const struct load_source *source, const char **out_path, bool *out_is_directory);
bool load_key_path(const struct load_key *key, const char **out_path);
