#pragma once

/* Memory for secret bytes: locked, left out of core files, wiped before it is given back.
 *
 * One arena per process that handles plaintext (the loader, a cli verb), instead of one locked mapping per
 * value: sodium_malloc needs four mappings and 27 us each and hides a refused mlock(2). The arena reports it.
 * PID 1 never makes one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/error.h"

/* A secret byte string inside an arena. Not NUL-terminated, and a struct so that printf's %s refuses it. */
struct secret_bytes {
        uint8_t *at;
        size_t length;
};

struct arena {
        /* start of the usable bytes; a guard page lies before them and one behind the capacity */
        uint8_t *at;
        size_t used;      /* bytes handed out */
        size_t ready;     /* bytes made accessible (and locked where allowed) so far */
        size_t capacity;  /* bytes that can ever be handed out */
        bool is_unlocked; /* mlock(2) was refused for some page: RLIMIT_MEMLOCK is too small */
};

/* Reserve `capacity` bytes of address space (nothing is touched or locked yet). Returns 0 or -1 with
 * error. */
int arena_init(struct arena *arena, size_t capacity, struct error *error);

/* Hand out `length` zeroed bytes, aligned to 16; `length` 0 gives a valid pointer. NULL when the capacity is
 * used up or memory is short: *error then says so. */
void *arena_take(struct arena *arena, size_t length, struct error *error);

/* Give back everything taken since `mark` (a former arena->used), wiping it. */
void arena_release(struct arena *arena, size_t mark);

/* Wipe all that was handed out and unmap. Idempotent; safe on a zeroed struct. */
void arena_deinit(struct arena *arena);

/* The same, for CLEANUP_ARENA. */
void arena_cleanup(struct arena *arena);
#define CLEANUP_ARENA __attribute__((cleanup(arena_cleanup)))

/* Wipe `length` bytes in a way the compiler cannot remove. */
void secret_wipe(void *at, size_t length);

/* View secret bytes as plain bytes for a parser. The caller keeps them out of every message. */
static inline struct bytes secret_view(struct secret_bytes secret) {
        return (struct bytes){secret.at, secret.length};
}

/* Turn off core files and the reading of this process's memory by others of the same user: a soft RLIMIT_CORE
 * of 0 and PR_SET_DUMPABLE 0. The first thing that the program does, by startup_harden(), and once more the
 * loader. Best effort: there is nothing to do about a refusal. Both are undone for the app: execve(2) resets
 * dumpable; the shim restores the limit it was started with. */
void process_harden(void);
