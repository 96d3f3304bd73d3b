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
#include "secrets/source/request.h"
#include "secrets/wipe.h"

/* The child. The parent reaps `pid` itself and watches `channel` for readability; then it calls
 * load_finish(). */
struct load_process {
        pid_t pid;
        int channel;
        int64_t deadline_ns; /* monotonic; LOAD_GRACE_NS later the loader is dead by its own timer */
        int wait_status; /* of wait(2), when the parent has reaped it before load_finish(); `pid` is 0 then */
        volatile uint8_t *trial; /* shared with it: secrets/trial.h */
};

/* One secret as anybody may see it. */
struct load_item {
        char name[SECRET_NAME_BYTES_MAX + 1];
        uint64_t value_bytes;
        uint32_t line;
        uint16_t source;     /* that its value is from */
        uint16_t shadowed;   /* how many earlier sources also had the name */
        char fingerprint[9]; /* 8 hex digits, keyed with the identity where there is one */
};

struct load_result {
        struct bundle bundle;
        int captured_environment; /* new, or -1; the parent keeps it for the next request */
        struct load_item *items;  /* heap, sorted by name; NULL unless wants_inventory */
        size_t item_count;
        bool is_unlocked;  /* some plaintext page could not be locked */
        char warning[256]; /* e.g. a plaintext source readable by others; empty as a rule */
        char note[256];    /* what was passed over on purpose: keys among the secrets; empty as a rule */
};

/* Free and close what *result holds. */
void load_result_deinit(struct load_result *result);

/* Check the request without opening anything: URI schemes, dialects, keys. Errors carry
 * EXIT_STATUS_CONFIG/USAGE. */
int load_request_check(const struct load_request *request, struct error *error);

/* Fork the loader. Returns 0, or -1 with error (EAGAIN, ENOMEM: try again later). After reading the keys, the
 * child closes all descriptors of the parent but its channel. */
int load_start(const struct load_request *request, struct load_process *out, struct error *error);

/* Take the loader's message. Never blocks when `channel` is readable. Returns 0 with *out; -1 with the
 * loader's own error (status and hint set), or "the loader ended without an answer"; 1 when a system call
 * filter has ended the loader at a protection that it can do without, before it had opened anything: *error
 * says which, for the log, and load_start() is to be called again, which leaves that out from now on (so this
 * comes at most once for each). Closes the channel and kills the loader, which has nothing more to do; when
 * `process->pid` was reaped before, it must be 0. */
int load_finish(struct load_process *process, struct load_result *out, struct error *error);

/* Give a load up: kill the loader, close its channel. The parent reaps. */
void load_abandon(struct load_process *process);
