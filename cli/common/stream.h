#pragma once

/* Whole inputs into an arena, whole outputs to a file or to standard output: the only way by which the verbs
 * of the secret files read and write content. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"

/* Read `fd` to its end.
 * fd          borrowed; any kind of file, read from where it stands
 * name        what messages call it
 * bytes_max   more than so many bytes are an error that names the limit
 * out         lies in `arena`, in one piece; set only on success
 * Returns 0; or -1 with error, and the arena as it was. */
int stream_read(int fd, const char *name, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* The same for the file at `path`; "-" is standard input. The error of a missing file has the status
 * EXIT_STATUS_NO_SOURCE. */
int stream_read_file(const char *path, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* Write all of `content`.
 * path       NULL or "-": standard output. A regular file is replaced atomically, and old or new stands there
 *            at every moment, complete; a device or FIFO is written to
 * new_mode   of a file that did not exist; an old one keeps its own
 * Waits at most LOCK_WAIT_NS while another tacet changes that file. Returns 0 or -1 with error. */
int stream_write(const char *path, struct bytes content, mode_t new_mode, struct error *error);

/* True when both name the same existing regular file, by whatever path; "-" is standard input or output. A
 * verb that would replace its own input refuses that. */
bool stream_is_same(const char *input, const char *output);
