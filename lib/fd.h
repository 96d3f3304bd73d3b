#pragma once

/* File descriptors: ownership helpers, and the loops around read(2) and write(2) that all parts need. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

/* Close `fd` if it is not negative. errno is kept. A close is never retried on EINTR: Linux has closed it. */
void fd_close(int fd);

/* Move the descriptor out: returns *fd and leaves -1 there. */
int fd_take(int *fd);

/* Close *fd if it is not negative, and set it to -1. */
void fd_cleanup(int *fd);
#define CLEANUP_FD __attribute__((cleanup(fd_cleanup)))

/* In a child that needs nothing else: close every descriptor but these two (-1: none), also the standard
 * streams. Linux before 5.9 refuses. */
void fd_close_others(int a, int b);

/* Read until `size` bytes came or end of file; EINTR is retried. Returns the count, or -1 with errno. */
ssize_t fd_read_full(int fd, void *out, size_t size);

/* As fd_read_full from `offset` with pread(2): the descriptor's own position is not moved. */
ssize_t fd_pread_full(int fd, void *out, size_t size, off_t offset);

/* Write all of `size` bytes; EINTR is retried. Returns 0, or -1 with errno. A closed pipe is EPIPE: SIGPIPE
 * is blocked in every role of tacet. */
int fd_write_full(int fd, const void *bytes, size_t size);

/* Make sure that 0, 1 and 2 are open (on /dev/null, else on an empty pipe), so that no descriptor opened
 * later is mistaken for a standard stream, in this process or in the app. Must be called before anything else
 * is opened. Returns a bit mask of those that were closed. */
unsigned fd_hold_standard_streams(void);
