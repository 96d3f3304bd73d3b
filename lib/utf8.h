#pragma once

/* Well-formed UTF-8, as RFC 3629 has it: nothing overlong, no surrogate, up to U+10FFFF. Pure. */

#include <stddef.h>
#include <stdint.h>

/* How many of the `left` bytes at `at` the character there takes: 1 to 4, or 0 when none begins there or it
 * does not end within them. `left` may be 0. */
size_t utf8_character_bytes(const uint8_t *at, size_t left);

/* How many bytes from the start are whole characters: `length` when the text is UTF-8. */
size_t utf8_valid_bytes(const uint8_t *at, size_t length);
