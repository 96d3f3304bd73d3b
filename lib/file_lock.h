#pragma once

/* Locks between processes (flock(2)): they end with the process that holds them, so none is ever left
 * over. */

#include <stdint.h>

#define FILE_LOCK_BUSY 1

/* Lock what `fd` is open on, alone, and wait for it until `deadline_ns`. Returns 0, FILE_LOCK_BUSY, or -1
 * with errno. The lock ends when every copy of the descriptor is closed. */
int file_lock(int fd, int64_t deadline_ns);

/* Lock the folder that `path` is in, alone, for those who look at what has that name and then replace it: two
 * of them would else remove each other's. Nothing is written for it. Waits at most `wait_ns`. Returns a
 * descriptor to close, or -1 when it cannot be had (no right to read the folder, a file system without locks,
 * somebody does not let go of it): then the caller goes on without, as one who is alone there almost surely
 * is right to. */
int folder_lock(const char *path, int64_t wait_ns);
