/* The locked arena: see secret_memory.h. Runs in the loader and in the verbs that handle values; it never
 * logs. */

#include "lib/secret_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Pages are opened and locked in steps, so that a small document costs one mprotect and one mlock. */
#define ARENA_STEP_BYTES  ((size_t)64 * 1024)
#define ARENA_GUARD_BYTES ((size_t)64 * 1024)
#define ARENA_ALIGN       ((size_t)16)

int arena_init(struct arena *arena, size_t capacity, struct error *error) {
        size_t rounded, total;
        void *at;

        *arena = (struct arena){0};
        if (__builtin_add_overflow(capacity, ARENA_STEP_BYTES - 1, &rounded))
                return error_set(error, ENOMEM, "reserve %zu bytes for secrets", capacity);
        rounded -= rounded % ARENA_STEP_BYTES;
        if (__builtin_add_overflow(rounded, 2 * ARENA_GUARD_BYTES, &total))
                return error_set(error, ENOMEM, "reserve %zu bytes for secrets", capacity);
        at = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
                return error_set(error, errno, "reserve %zu bytes for secrets", capacity);
        arena->at = (uint8_t *)at + ARENA_GUARD_BYTES;
        arena->capacity = rounded;
        return 0;
}

static int arena_open_pages(struct arena *arena, size_t end, struct error *error) {
        size_t step = end - arena->ready;

        step += ARENA_STEP_BYTES - 1;
        step -= step % ARENA_STEP_BYTES;
        if (mprotect(arena->at + arena->ready, step, PROT_READ | PROT_WRITE) < 0)
                return error_set(error, errno, "make %zu bytes ready for secrets", step);
        (void)madvise(arena->at + arena->ready, step, MADV_DONTDUMP);
        if (mlock2(arena->at + arena->ready, step, MLOCK_ONFAULT) < 0)
                arena->is_unlocked = true;
        arena->ready += step;
        return 0;
}

void *arena_take(struct arena *arena, size_t length, struct error *error) {
        size_t start = arena->used, end;

        if (__builtin_add_overflow(length, ARENA_ALIGN - 1, &end) ||
                __builtin_add_overflow(start, end - end % ARENA_ALIGN, &end) || end > arena->capacity) {
                error_set(error, 0, "more secret bytes than fit: %zu wanted, %zu of %zu in use", length,
                        arena->used, arena->capacity);
                return NULL;
        }
        if (end > arena->ready && arena_open_pages(arena, end, error) < 0)
                return NULL;
        arena->used = end;
        return arena->at + start;
}

void arena_release(struct arena *arena, size_t mark) {
        if (mark >= arena->used)
                return;
        secret_wipe(arena->at + mark, arena->used - mark);
        arena->used = mark;
}

void arena_deinit(struct arena *arena) {
        if (arena->at) {
                arena_release(arena, 0);
                munmap(arena->at - ARENA_GUARD_BYTES, arena->capacity + 2 * ARENA_GUARD_BYTES);
        }
        *arena = (struct arena){0};
}

void arena_cleanup(struct arena *arena) {
        arena_deinit(arena);
}

void secret_wipe(void *at, size_t length) {
        explicit_bzero(at, length);
}

void process_harden(void) {
        struct rlimit core;

        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /* The soft limit alone: a lowered hard limit could not be given back to the app without
         * CAP_SYS_RESOURCE. */
        if (getrlimit(RLIMIT_CORE, &core) == 0) {
                core.rlim_cur = 0;
                (void)setrlimit(RLIMIT_CORE, &core);
        }
}
