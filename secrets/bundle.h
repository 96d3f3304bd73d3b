#pragma once

/* A sealed generation: the final `NAME=value` strings, held as a descriptor that its holder does not map.
 *
 * The loader writes it, the supervisor holds it, the shim maps it. In memfd_secret(2) nobody reads it by
 * read(2), ptrace or /proc/PID/mem. Where that cannot be had the strings lie encrypted in a sealed ordinary
 * memfd, and the supervisor keeps the 32-byte key in a locked page that core files leave out. Closing the
 * descriptor drops it. */

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
        /* keyed with the supervisor's key over names and values: equal means equal */
        uint8_t digest[BUNDLE_DIGEST_BYTES];
};

void bundle_init(struct bundle *bundle); /* empty: fd -1 */
void bundle_deinit(struct bundle *bundle);
void bundle_move(struct bundle *to, struct bundle *from);

/* The strings, for as long as the view lives. Only the shim (or `tacet exec` before it becomes the app) makes
 * one. */
struct bundle_view {
        char *strings; /* NAME=value\0NAME=value\0... */
        uint32_t count;
        uint64_t bytes;
};
int bundle_map(const struct bundle *bundle, struct bundle_view *out, struct error *error);
