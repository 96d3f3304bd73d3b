#pragma once

/* Whole inputs into an arena, whole outputs to a file or to standard output. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"

/* Read `fd` to its end. More than `bytes_max` is an error that names the limit. `name` is for messages. */
int stream_read(int fd, const char *name, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* The same for a file; "-" is standard input. A missing file is EXIT_STATUS_NO_SOURCE. */
int stream_read_file(const char *path, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* Write all of `content` to `path` (NULL or "-": standard output). A regular file is replaced atomically
 * and gets `new_mode` when it did not exist; a device or FIFO is written to. Nothing is left half written
 * in a file. */
int stream_write(const char *path, struct bytes content, mode_t new_mode, struct error *error);

/* True when both name the same existing regular file. */
bool stream_is_same(const char *input, const char *output);
