/* Locks on files and folders: see file_lock.h. For the verbs that write secret files, and for the supervisor
 * while it opens or removes a unix socket: before its loop begins and after it has ended, or without waiting.
 *
 * The folder itself is locked, not a file beside the socket: a lock file could never be removed (two
 * processes could get the lock then), and in some folders we may not make files. */

#include "lib/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "lib/duration.h"
#include "lib/fd.h"

#define RETRY_NS (10 * NS_PER_MS)

/* Polling, because flock(2) has no timeout and a signal handler for one is worse; two that want the same are
 * rare and hold it for milliseconds. */
int file_lock(int fd, int64_t deadline_ns) {
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno != EWOULDBLOCK)
                        return -1;
                if (time_now_ns() >= deadline_ns)
                        return FILE_LOCK_BUSY;
                nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
        }
        return 0;
}

int folder_lock(const char *path, int64_t wait_ns) {
        const char *slash = strrchr(path, '/');
        CLEANUP_FD int fd = -1;
        char folder[PATH_MAX];
        int length = snprintf(folder, sizeof folder, "%.*s.", slash ? (int)(slash - path) + 1 : 0, path);

        if (length < 0 || (size_t)length >= sizeof folder)
                return -1;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || file_lock(fd, time_add(time_now_ns(), wait_ns)) != 0)
                return -1;
        return fd_take(&fd);
}
