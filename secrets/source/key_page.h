#pragma once

/* One key in one page: locked where allowed, and never in a core file. What PID 1 keeps of an encrypted
 * generation. */

#include <stdbool.h>
#include <stdint.h>

#define KEY_PAGE_BYTES 32

/* A page with a copy of `key`; NULL with errno. *out_is_locked tells whether it can be swapped out. */
uint8_t *key_page_new(const uint8_t key[static KEY_PAGE_BYTES], bool *out_is_locked);

/* Wipe and unmap; NULL is fine. */
void key_page_free(uint8_t *page);
