#pragma once

/* Borrowed byte strings, and the one number parser of the program. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
        const uint8_t *at;
        size_t length;
};

#define BYTES_OF(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

/* Parse all of `length` characters as an unsigned decimal number: digits only, no sign, no blank, no
 * overflow, at least one digit. Returns true and writes *out, or false with *out untouched. */
bool bytes_to_u64(const char *text, size_t length, uint64_t *out);

/* The same for a whole C string. */
bool text_to_u64(const char *text, uint64_t *out);

/* True when the two are equal. Not for secrets: use sodium_memcmp there. */
bool bytes_equal(struct bytes a, struct bytes b);

/* True when `text` begins with `prefix`; then *rest, if given, points behind it. */
bool text_after(const char *text, const char *prefix, const char **rest);

/* Edit distance (insert, delete, change, swap of neighbours) up to `max`, for "did you mean". Returns max + 1
 * when larger. Both strings are cut at 63 characters. */
unsigned text_distance(const char *a, const char *b, unsigned max);
