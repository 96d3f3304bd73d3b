/* The memory of a configuration: see memory.h. Used while options and files are read, before anything is
 * started.
 *
 * What a command line says is a few hundred bytes. They come from a room of the program's own, because the
 * first block of a heap costs it two or three system calls and four pages, which every start would pay for
 * and every child that is forked copy. What does not fit is on the heap. The room is used up from its front
 * and is empty again when its last block was given back, as by config_deinit(); nothing in it is secret. */

#include "conf/memory.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef TACET_SANITIZE
#define ROOM_BYTES ((size_t)16) /* all is on the heap, where a sanitizer looks at the ends of blocks */
#else
#define ROOM_BYTES ((size_t)2048)
#endif
#define ROOM_ALIGN alignof(max_align_t)

static alignas(max_align_t) char room[ROOM_BYTES];
static size_t room_used, room_blocks;

static bool is_of_room(const void *at) {
        return (uintptr_t)at >= (uintptr_t)room && (uintptr_t)at < (uintptr_t)(room + ROOM_BYTES);
}

/* NULL when it does not fit. */
static void *room_take(size_t bytes) {
        char *at = room + room_used;

        if (bytes > ROOM_BYTES - room_used)
                return NULL;
        room_used += (bytes + ROOM_ALIGN - 1) & ~(ROOM_ALIGN - 1);
        room_blocks++;
        return at;
}

void *config_memory_grow(void *at, size_t former_bytes, size_t bytes) {
        void *grown;

        if (at && !is_of_room(at))
                return realloc(at, bytes);
        grown = room_take(bytes);
        if (!grown)
                grown = malloc(bytes);
        if (!grown || !at)
                return grown;
        memcpy(grown, at, former_bytes);
        config_memory_free(at);
        return grown;
}

char *config_memory_text(const char *text) {
        size_t bytes = strlen(text) + 1;
        char *copy = config_memory_grow(NULL, 0, bytes);

        if (copy)
                memcpy(copy, text, bytes);
        return copy;
}

void config_memory_free(void *at) {
        if (!is_of_room(at))
                free(at);
        else if (--room_blocks == 0)
                room_used = 0;
}
