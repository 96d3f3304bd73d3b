#pragma once

/* Bytes from outside into the arena: the only reads the loader makes. Internal to secrets/. */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/error.h"
#include "lib/secret_memory.h"

/* Where the bytes go and what bounds them. */
struct read_bounds {
        struct arena *arena;
        size_t bytes_max;
        int64_t deadline_ns; /* monotonic; for streams */
};

/* Open and read one regular file, following links. A FIFO, socket, device or directory is refused without
 * waiting for it, and a file that changes meanwhile too. *out_status is that of the file as read, and may be
 * NULL. Returns 0 or -1 with error, which names the path. */
int read_file(const char *path, const struct read_bounds *bounds, struct secret_bytes *out,
        struct stat *out_status, struct error *error);

#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* The same for what open(2) with READ_FLAGS returned, also -1 with errno; `label` is how messages call it.
 * Closes it. */
int read_opened(int take_fd, const char *label, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error);

/* Read an open descriptor: a file from its start with pread(2) (its position stays), anything else to its end
 * before the deadline. */
int read_descriptor(int fd, const char *label, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error);

/* Connect to a unix socket (`@` for an abstract name) as systemd does for a credential named `id`, close our
 * direction and read to the end before the deadline. */
int read_socket(const char *path, const char *id, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error);

/* Without the one line feed that editors and `echo` leave behind a value. */
struct secret_bytes without_newline(struct secret_bytes value);
