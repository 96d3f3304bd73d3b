/* Reading files, descriptors and sockets into the arena: see read.h.
 *
 * Runs in the loader before it confines itself: these calls move bytes and look at none of them. Sizes are
 * limited by what is read, not by what fstat(2) promises, since a file may grow or be one of /proc. Nothing
 * waits without a deadline: files are opened O_NONBLOCK so that a FIFO in a directory of secrets cannot hold
 * the load up. */

#include "secrets/source/read.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "secrets/source/yield.h"

#define READ_FIRST_BYTES ((size_t)4096)

/* A buffer at the end of the arena; while it grows nothing else is taken from there. */
struct growing {
        const struct read_bounds *bounds;
        struct secret_bytes bytes;
        size_t room;
};

static uint8_t *room_take(const struct read_bounds *bounds, size_t room, struct error *error) {
        uint8_t *at = arena_take(bounds->arena, room, error);

        if (bounds->arena->used > YIELD_BYTES)
                memory_yield();
        return at;
}

static int growing_open(
        struct growing *buffer, const struct read_bounds *bounds, size_t expected, struct error *error) {
        size_t room = expected < READ_FIRST_BYTES ? READ_FIRST_BYTES : expected;

        /* One byte over the limit can be held, so that reaching it is noticed. */
        if (room > bounds->bytes_max + 1)
                room = bounds->bytes_max + 1;
        *buffer = (struct growing){.bounds = bounds, .room = room};
        buffer->bytes.at = room_take(bounds, room, error);
        return buffer->bytes.at ? 0 : -1;
}

/* Make room for at least one more byte. */
static int growing_widen(struct growing *buffer, struct error *error) {
        size_t room = 2 * buffer->room;
        uint8_t *at;

        if (buffer->bytes.length < buffer->room)
                return 0;
        if (buffer->room > buffer->bounds->bytes_max) {
                error_set(error, 0, "more than %zu bytes", buffer->bounds->bytes_max);
                return error_status(error, EXIT_STATUS_DATA);
        }
        if (room > buffer->bounds->bytes_max + 1)
                room = buffer->bounds->bytes_max + 1;
        at = room_take(buffer->bounds, room, error);
        if (!at)
                return -1;
        memcpy(at, buffer->bytes.at, buffer->bytes.length);
        secret_wipe(buffer->bytes.at, buffer->bytes.length);
        buffer->bytes.at = at;
        buffer->room = room;
        return 0;
}

/* Give the unused rest back to the arena. */
static struct secret_bytes growing_close(struct growing *buffer) {
        size_t end = (size_t)(buffer->bytes.at - buffer->bounds->arena->at) + buffer->bytes.length;

        arena_release(buffer->bounds->arena, (end + 15) & ~(size_t)15);
        return buffer->bytes;
}

static int file_read_all(int fd, size_t expected, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error) {
        struct growing buffer;

        if (growing_open(&buffer, bounds, expected, error) < 0)
                return -1;
        for (;;) {
                size_t room = buffer.room - buffer.bytes.length;
                ssize_t got = fd_pread_full(
                        fd, buffer.bytes.at + buffer.bytes.length, room, (off_t)buffer.bytes.length);

                if (got < 0)
                        return error_set(error, errno, "read");
                buffer.bytes.length += (size_t)got;
                if ((size_t)got < room)
                        break;
                if (growing_widen(&buffer, error) < 0)
                        return -1;
        }
        *out = growing_close(&buffer);
        return 0;
}

/* Read a file that is open, and see that it is still the same afterwards. */
static int regular_read(int fd, const struct stat *before, const struct read_bounds *bounds,
        struct secret_bytes *out, struct error *error) {
        size_t expected =
                before->st_size > 0 && before->st_size < SSIZE_MAX ? (size_t)before->st_size + 1 : 0;
        struct stat after;

        if (file_read_all(fd, expected, bounds, out, error) < 0)
                return -1;
        if (fstat(fd, &after) < 0)
                return error_set(error, errno, "fstat");
        if (after.st_size != before->st_size || after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
                after.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
                error_set(error, EAGAIN, "changed while it was read");
                return error_hint(error, "write a new file and rename it over the old one");
        }
        return 0;
}

static const char *file_type(mode_t mode) {
        return S_ISDIR(mode)    ? "a directory"
               : S_ISFIFO(mode) ? "a FIFO"
               : S_ISSOCK(mode) ? "a socket"
                                : "a device";
}

/* What open(2) returned is a regular file. */
static int opened_check(int fd, const char *label, struct stat *out_status, struct error *error) {
        if (fd < 0) {
                error_set(error, errno, "open '%s'", label);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (fstat(fd, out_status) < 0)
                return error_set(error, errno, "fstat '%s'", label);
        if (!S_ISREG(out_status->st_mode)) {
                error_set(error, 0, "'%s' is %s, not a regular file", label, file_type(out_status->st_mode));
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        return 0;
}

int read_opened(int take_fd, const char *label, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error) {
        CLEANUP_FD int fd = take_fd;
        struct stat status;

        if (opened_check(fd, label, &status, error) < 0)
                return -1;
        return regular_read(fd, &status, bounds, out, error) < 0 ? error_wrap(error, "'%s'", label) : 0;
}

int read_file(const char *path, const struct read_bounds *bounds, struct secret_bytes *out,
        struct stat *out_status, struct error *error) {
        CLEANUP_FD int fd = open(path, READ_FLAGS);
        struct stat status;

        if (opened_check(fd, path, &status, error) < 0)
                return -1;
        if (out_status)
                *out_status = status;
        return regular_read(fd, &status, bounds, out, error) < 0 ? error_wrap(error, "'%s'", path) : 0;
}

/* Wait until `fd` can be read. */
static int stream_wait(int fd, const struct read_bounds *bounds, struct error *error) {
        for (;;) {
                struct pollfd wanted = {.fd = fd, .events = POLLIN};
                int64_t left_ns = bounds->deadline_ns - time_now_ns();
                int64_t left_ms = left_ns / NS_PER_MS + 1;
                int ready;

                if (left_ns <= 0) {
                        error_set(error, ETIMEDOUT, "no end of the data before the deadline");
                        return error_status(error, EXIT_STATUS_NO_SOURCE);
                }
                ready = poll(&wanted, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
                if (ready > 0)
                        return 0;
                if (ready < 0 && errno != EINTR)
                        return error_set(error, errno, "poll");
        }
}

static int stream_read_all(
        int fd, const struct read_bounds *bounds, struct secret_bytes *out, struct error *error) {
        struct growing buffer;

        if (growing_open(&buffer, bounds, 0, error) < 0)
                return -1;
        for (;;) {
                ssize_t got;

                if (growing_widen(&buffer, error) < 0 || stream_wait(fd, bounds, error) < 0)
                        return -1;
                got = read(fd, buffer.bytes.at + buffer.bytes.length, buffer.room - buffer.bytes.length);
                if (got == 0)
                        break;
                if (got > 0)
                        buffer.bytes.length += (size_t)got;
                else if (errno != EINTR && errno != EAGAIN)
                        return error_set(error, errno, "read");
        }
        *out = growing_close(&buffer);
        return 0;
}

int read_descriptor(int fd, const char *label, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error) {
        struct stat status;
        int result;

        if (fstat(fd, &status) < 0) {
                error_set(error, errno, "'%s'", label);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (S_ISREG(status.st_mode))
                result = regular_read(fd, &status, bounds, out, error);
        else
                result = stream_read_all(fd, bounds, out, error);
        if (result < 0)
                return error_wrap(error, "'%s'", label);
        if (out->length == 0 && !S_ISREG(status.st_mode)) {
                error_set(error, 0, "'%s' has nothing to read: a pipe or socket gives its data only once",
                        label);
                error_hint(error, "give a file or a memory file: those are read again at every load");
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        return 0;
}

/* What systemd tells a credential server by its own address (systemd.exec(5), LoadCredential=): which unit
 * asks for which credential. Best effort: a server that looks only at the connection works without it. */
static void socket_introduce(int fd, const char *id) {
        struct sockaddr_un own = {.sun_family = AF_UNIX};
        uint64_t number = 0;
        int length;

        if (getrandom(&number, sizeof number, GRND_NONBLOCK) < 0)
                number = (uint64_t)time_now_ns();
        length = snprintf(own.sun_path + 1, sizeof own.sun_path - 1, "%016llx/unit/tacet.service/%s",
                (unsigned long long)number, id);
        if (length > 0 && (size_t)length < sizeof own.sun_path - 1)
                (void)bind(fd, (struct sockaddr *)&own,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length));
}

static int socket_connect(int fd, const char *path, const struct read_bounds *bounds, struct error *error) {
        struct sockaddr_un peer = {.sun_family = AF_UNIX};
        int64_t left_ns = bounds->deadline_ns - time_now_ns();
        struct timeval left = {.tv_sec = left_ns / NS_PER_S, .tv_usec = (left_ns % NS_PER_S) / NS_PER_US + 1};
        size_t length = strlen(path);

        if (length >= sizeof peer.sun_path)
                return error_set(
                        error, ENAMETOOLONG, "a socket path has at most %zu bytes", sizeof peer.sun_path - 1);
        memcpy(peer.sun_path, path, length + 1);
        if (path[0] == '@')
                peer.sun_path[0] = 0;
        else
                length++;
        if (left_ns <= 0)
                return error_set(error, ETIMEDOUT, "connect");
        /* A full backlog makes connect(2) wait; on unix sockets the send timeout ends that wait with
         * EAGAIN. */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
        if (connect(fd, (struct sockaddr *)&peer,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
                return error_set(error, errno == EAGAIN ? ETIMEDOUT : errno, "connect");
        if (shutdown(fd, SHUT_WR) < 0)
                return error_set(error, errno, "shutdown");
        return 0;
}

int read_socket(const char *path, const char *id, const struct read_bounds *bounds, struct secret_bytes *out,
        struct error *error) {
        CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return error_set(error, errno, "socket");
        socket_introduce(fd, id);
        if (socket_connect(fd, path, bounds, error) < 0) {
                error_wrap(error, "'%s'", path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (stream_read_all(fd, bounds, out, error) < 0)
                return error_wrap(error, "'%s'", path);
        return 0;
}

struct secret_bytes without_newline(struct secret_bytes value) {
        if (value.length > 0 && value.at[value.length - 1] == '\n')
                value.length--;
        return value;
}
