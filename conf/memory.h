#pragma once

/* The memory of a configuration. Internal to conf/. */

#include <stddef.h>

/* As realloc(3), given how long the block was: NULL begins a new one. NULL when memory is short; `at` is then
 * as it was. */
void *config_memory_grow(void *at, size_t former_bytes, size_t bytes);

/* As strdup(3) and free(3). */
char *config_memory_text(const char *text);
void config_memory_free(void *at);
