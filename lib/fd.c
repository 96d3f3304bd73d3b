/* Descriptors: see fd.h. Used by every role; no policy here. */

#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_close(int fd) {
        int saved = errno;

        if (fd >= 0)
                close(fd);
        errno = saved;
}

int fd_take(int *fd) {
        int taken = *fd;

        *fd = -1;
        return taken;
}

void fd_cleanup(int *fd) {
        fd_close(*fd);
        *fd = -1;
}

void fd_close_others(int a, int b) {
        int low = a < b ? a : b, high = a < b ? b : a;

        if (low > 0)
                (void)syscall(SYS_close_range, 0U, (unsigned)low - 1, 0U);
        if (high - low > 1)
                (void)syscall(SYS_close_range, (unsigned)(low + 1), (unsigned)high - 1, 0U);
        (void)syscall(SYS_close_range, (unsigned)(high + 1), ~0U, 0U);
}

ssize_t fd_read_full(int fd, void *out, size_t size) {
        size_t done = 0;

        while (done < size) {
                ssize_t got = read(fd, (char *)out + done, size - done);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -1;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (ssize_t)done;
}

ssize_t fd_pread_full(int fd, void *out, size_t size, off_t offset) {
        size_t done = 0;

        while (done < size) {
                ssize_t got = pread(fd, (char *)out + done, size - done, offset + (off_t)done);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -1;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (ssize_t)done;
}

int fd_write_full(int fd, const void *bytes, size_t size) {
        size_t done = 0;

        while (done < size) {
                ssize_t put = write(fd, (const char *)bytes + done, size - done);

                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return -1;
                done += (size_t)put;
        }
        return 0;
}

unsigned fd_hold_standard_streams(void) {
        unsigned were_closed = 0;

        for (int fd = 0; fd <= 2; fd++) {
                int ends[2];

                if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
                        continue;
                were_closed |= 1U << fd;
                if (open("/dev/null", O_RDWR) == fd)
                        continue;
                /* No /dev: the read end of a pipe reads as end of file, writing to it fails with EBADF. */
                if (pipe(ends) == 0) {
                        if (ends[0] != fd)
                                close(ends[0]);
                        close(ends[1]);
                }
        }
        return were_closed;
}
