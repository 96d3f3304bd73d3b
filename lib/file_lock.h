#pragma once

/* Locks between processes (flock(2)): they end with the process that holds them, so none is left behind. */

#include <stdint.h>

#define FILE_LOCK_BUSY 1

/* Lock the file that `fd` is open on, exclusively; wait for the lock until `deadline_ns` (monotonic). Returns
 * 0, FILE_LOCK_BUSY, or -1 with errno. The lock ends when every copy of the descriptor is closed. */
int file_lock(int fd, int64_t deadline_ns);

/* Lock the folder that `path` is in, exclusively, before a file is checked and then replaced: two processes
 * at a time would remove each other's. Nothing is written for it. Waits at most `wait_ns`. Returns a
 * descriptor that the caller closes, or -1 (no right to read the folder, a file system without locks, another
 * process keeps the lock): then the caller goes on without, since it is almost certainly the only one. */
int folder_lock(const char *path, int64_t wait_ns);
