#pragma once

/* A sealed generation: the final `NAME=value` strings, held as a descriptor that its holder does not map.
 *
 * The loader writes it, the supervisor holds it, the shim maps it. memfd_secret(2) cannot be read by read(2),
 * ptrace or /proc/PID/mem. Where it is not available, the strings are encrypted in a sealed ordinary memfd,
 * and the supervisor keeps the 32-byte key in a locked page that core files leave out. Closing the descriptor
 * frees all. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define BUNDLE_DIGEST_BYTES 32

struct bundle {
        int fd;            /* -1: none */
        bool is_encrypted; /* ordinary memfd; `key` opens it */
        uint8_t *key;      /* 32 bytes in a locked page of its own, or NULL */
        uint32_t count;    /* strings */
        uint64_t bytes;    /* all strings with their NULs */
        /* over names and values, keyed with the supervisor's key: equal digests mean equal content */
        uint8_t digest[BUNDLE_DIGEST_BYTES];
};

/* Set *bundle to an empty one: fd -1. */
void bundle_init(struct bundle *bundle);

/* Close the descriptor, wipe and free the key; *bundle is empty then. */
void bundle_deinit(struct bundle *bundle);

/* Move `from` to `to`, which holds nothing yet; `from` is empty then. */
void bundle_move(struct bundle *to, struct bundle *from);

/* The strings, mapped until this process ends. Only the shim (or `tacet exec` before it becomes the app)
 * makes one: bundle_map() returns 0, or -1 with error. */
struct bundle_view {
        char *strings; /* NAME=value\0NAME=value\0... */
        uint32_t count;
        uint64_t bytes;
};
int bundle_map(const struct bundle *bundle, struct bundle_view *out, struct error *error);
