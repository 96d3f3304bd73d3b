/* Merging the sources: see merge.h. Pure; runs in the confined loader.
 *
 * The later source wins. Digests and fingerprints are keyed: a plain hash of a short secret can be
 * guessed. */

#include "secrets/merge.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/fingerprint.h"

/* What execve(2) counts beside the bytes of a string: its pointer. */
#define POINTER_BYTES ((uint64_t)8)
#define BIGGEST_SHOWN 3

static int entry_compare(const void *a, const void *b) {
        const struct secret_entry *left = a, *right = b;
        int order = strcmp(left->name, right->name);

        return order != 0 ? order : (left->source > right->source) - (left->source < right->source);
}

void merge_winners(struct secret_list *list, uint16_t *shadowed) {
        size_t kept = 0;

        qsort(list->at, list->count, sizeof *list->at, entry_compare);
        for (size_t i = 0; i < list->count; i++) {
                if (kept > 0 && strcmp(list->at[kept - 1].name, list->at[i].name) == 0) {
                        list->at[kept - 1] = list->at[i];
                        shadowed[kept - 1]++;
                } else {
                        shadowed[kept] = 0;
                        list->at[kept++] = list->at[i];
                }
        }
        list->count = kept;
}

static uint64_t entry_bytes(const struct secret_entry *entry) {
        return strlen(entry->name) + 1 + entry->value.length + 1;
}

/* Name the biggest entries, for the message: "A 70000, B 60000". */
static void biggest_describe(const struct secret_list *list, char *out, size_t room) {
        const struct secret_entry *last = NULL;
        size_t used = 0;

        for (int shown = 0; shown < BIGGEST_SHOWN; shown++) {
                const struct secret_entry *best = NULL;

                for (size_t i = 0; i < list->count; i++) {
                        const struct secret_entry *entry = &list->at[i];
                        bool is_shown =
                                last && (entry_bytes(entry) > entry_bytes(last) ||
                                                (entry_bytes(entry) == entry_bytes(last) && entry <= last));

                        if (!is_shown && (!best || entry_bytes(entry) > entry_bytes(best)))
                                best = entry;
                }
                if (!best || used >= room)
                        return;
                used += (size_t)snprintf(out + used, room - used, "%s%s %llu", shown ? ", " : "", best->name,
                        (unsigned long long)entry_bytes(best));
                last = best;
        }
}

int merge_check_size(const struct secret_list *list, uint64_t bytes_max, struct error *error) {
        char biggest[3 * (SECRET_NAME_BYTES_MAX + 24)] = "";
        uint64_t total = 0;

        for (size_t i = 0; i < list->count; i++)
                total += entry_bytes(&list->at[i]) + POINTER_BYTES;
        if (bytes_max == 0 || total <= bytes_max)
                return 0;
        biggest_describe(list, biggest, sizeof biggest);
        error_set(error, 0, "%zu variables take %llu bytes, execve(2) leaves room for %llu; the biggest: %s",
                list->count, (unsigned long long)total, (unsigned long long)bytes_max, biggest);
        error_hint(error, "a larger stack limit (ulimit -s) gives more room: a quarter of it, at most 6 MiB");
        return error_status(error, EXIT_STATUS_DATA);
}

int merge_strings(
        const struct secret_list *list, struct arena *arena, struct secret_bytes *out, struct error *error) {
        size_t total = 0;
        uint8_t *at;

        for (size_t i = 0; i < list->count; i++)
                total += (size_t)entry_bytes(&list->at[i]);
        at = arena_take(arena, total, error);
        if (!at)
                return -1;
        *out = (struct secret_bytes){at, total};
        for (size_t i = 0; i < list->count; i++) {
                const struct secret_entry *entry = &list->at[i];
                size_t name_length = strlen(entry->name);

                memcpy(at, entry->name, name_length);
                at[name_length] = '=';
                if (entry->value.length)
                        memcpy(at + name_length + 1, entry->value.at, entry->value.length);
                at[name_length + 1 + entry->value.length] = 0;
                at += entry_bytes(entry);
        }
        return 0;
}

void merge_digest(
        struct secret_bytes strings, const uint8_t key[static 32], uint8_t out[static BUNDLE_DIGEST_BYTES]) {
        static_assert(BUNDLE_DIGEST_BYTES >= crypto_generichash_BYTES_MIN, "a digest that BLAKE2b can make");
        crypto_generichash(out, BUNDLE_DIGEST_BYTES, strings.at, strings.length, key, 32);
}

void merge_items(const struct secret_list *list, const uint16_t *shadowed, const uint8_t key[static 32],
        struct load_item *out) {
        for (size_t i = 0; i < list->count; i++) {
                const struct secret_entry *entry = &list->at[i];

                out[i] = (struct load_item){.value_bytes = entry->value.length,
                        .line = entry->line,
                        .source = entry->source,
                        .shadowed = shadowed[i]};
                snprintf(out[i].name, sizeof out[i].name, "%s", entry->name);
                secret_fingerprint(key, entry->name, entry->value, out[i].fingerprint);
        }
}
