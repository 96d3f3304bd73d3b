#pragma once

/* Loading: a child process opens every source and key, confines itself, parses, and seals one generation.
 *
 * The parent never sees a plaintext byte: it gets one message with a descriptor, names, sizes and digests. A
 * loader that crashes, hangs or is killed is one failed load and nothing more. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "secrets/bundle.h"
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
        const char *name; /* section name, or the URI itself */
        const char *
                /* age:PATH, age-dir:PATH, dir:PATH, env-file:PATH, unix:PATH, env:PREFIX (names stay
                 * whole) */
                uri;
        const char *where;             /* FILE:LINE of the configuration, or "command line"; for messages */
        const struct dialect *dialect; /* of `dialect`/`format`; NULL: not given */
        bool is_watched;               /* not for the loader: its parent watches the files */
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

/* The child. The parent reaps `pid` itself and watches `channel` for readability; then it calls
 * load_finish(). */
struct load_process {
        pid_t pid;
        int channel;
        int64_t deadline_ns; /* monotonic; LOAD_GRACE_NS later the loader is dead by its own timer */
};

/* One secret as anybody may see it. */
struct load_item {
        char name[SECRET_NAME_BYTES_MAX + 1];
        uint64_t value_bytes;
        uint32_t line;
        uint16_t source;     /* who won */
        uint16_t shadowed;   /* how many earlier sources also had it */
        char fingerprint[9]; /* 8 hex digits, keyed with the identity where there is one */
};

struct load_result {
        struct bundle bundle;
        int captured_environment; /* new, or -1; the parent keeps it for the next request */
        struct load_item *items;  /* heap, sorted by name; NULL unless wants_inventory */
        size_t item_count;
        bool is_unlocked;  /* some plaintext page could not be locked */
        char warning[256]; /* e.g. a plaintext source readable by others; empty as a rule */
};

void load_result_deinit(struct load_result *result);

/* Check the request without opening anything: URI schemes, dialects, keys. Errors carry
 * EXIT_STATUS_CONFIG/USAGE. */
int load_request_check(const struct load_request *request, struct error *error);

/* The descriptor that a key `fd:N` (or `passphrase-fd:N`) names, or -1 for other kinds. */
int load_key_descriptor(const struct load_key *key);

/* The path of a source that is a file or a directory of files, and of a key that is a file; false for other
 * kinds. */
bool load_source_path(const struct load_source *source, const char **out_path, bool *out_is_directory);
bool load_key_path(const struct load_key *key, const char **out_path);

/* Fork the loader. Returns 0 or -1 (EAGAIN, ENOMEM: try again later). The child inherits nothing but what it
 * opens. */
int load_start(const struct load_request *request, struct load_process *out, struct error *error);

/* Take the loader's message. Never blocks when `channel` is readable. Returns 0 with *out; -1 with the
 * loader's own error (status and hint set), or "the loader ended without an answer". Closes the channel and
 * kills the loader, which has nothing more to do; when `process->pid` was reaped before, it must be 0. */
int load_finish(struct load_process *process, struct load_result *out, struct error *error);

/* Wipe from this process's initial environment area (what /proc/PID/environ shows) every variable that a key
 * `env:NAME` or a source `env:PREFIX` of the request named, and remove it from `environ`, so that it is never
 * passed on. Call it once the first load has succeeded: until then the values lie nowhere else, and a load
 * may be tried again. Later loads find the values of sources in `captured_environment` and have no key from
 * `env:NAME` any more, which their error says. */
void load_environment_wipe(const struct load_request *request);
