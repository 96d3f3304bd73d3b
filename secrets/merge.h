#pragma once

/* From entries of all sources to the one list that the app gets. Pure. Internal to secrets/. */

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/bundle.h"
#include "secrets/load.h"

/* Sort by name and keep the last source's entry of each name. shadowed[n] is how many others had the n-th
 * name; it has room for list->count. */
void merge_winners(struct secret_list *list, uint16_t *shadowed);

/* Check that execve(2) can take all strings: their bytes with NUL and a pointer each, at most `bytes_max` (0:
 * not checked). */
int merge_check_size(const struct secret_list *list, uint64_t bytes_max, struct error *error);

/* Write "NAME=value\0" for each entry, in the list's order, into the arena. */
int merge_strings(
        const struct secret_list *list, struct arena *arena, struct secret_bytes *out, struct error *error);

/* The keyed digest over all strings. */
void merge_digest(
        struct secret_bytes strings, const uint8_t key[static 32], uint8_t out[static BUNDLE_DIGEST_BYTES]);

/* Describe each entry of `list` in out[], with fingerprints keyed by `key`. */
void merge_items(const struct secret_list *list, const uint16_t *shadowed, const uint8_t key[static 32],
        struct load_item *out);
