/* Inputs and outputs of the secret-file verbs: see stream.h. No stdio: its buffers would keep copies of
 * secrets. */

#include "cli/common/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "lib/atomic_file.h"
#include "lib/duration.h"
#include "lib/fd.h"

/* A multiple of the arena's alignment: pieces taken one after the other then lie side by side. */
#define PIECE_BYTES ((size_t)64 * 1024)

/* Takes pieces one after the other, which lie side by side since nothing else takes from the arena
 * meanwhile; so a pipe, whose size nobody knows, needs no copying. What the last piece has too much is
 * given back, up to the alignment of the next arena_take(). */
int stream_read(int fd, const char *name, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        struct secret_bytes all = {.at = arena->at + arena->used};
        size_t mark = arena->used;

        for (;;) {
                uint8_t *piece = arena_take(arena, PIECE_BYTES, error);
                ssize_t got;

                if (!piece)
                        return error_wrap(error, "read %s", name);
                got = fd_read_full(fd, piece, PIECE_BYTES);
                if (got < 0)
                        error_set(error, errno, "read %s", name);
                else if ((all.length += (size_t)got) > bytes_max)
                        got = error_set(error, 0, "%s is larger than %zu bytes, the limit", name, bytes_max);
                if (got < 0) {
                        arena_release(arena, mark);
                        return -1;
                }
                if ((size_t)got < PIECE_BYTES)
                        break;
        }
        arena_release(arena, mark + ((all.length + 15) & ~(size_t)15));
        *out = all;
        return 0;
}

int stream_read_file(const char *path, size_t bytes_max, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        CLEANUP_FD int fd = -1;
        char name[300];

        if (strcmp(path, "-") == 0)
                return stream_read(STDIN_FILENO, "standard input", bytes_max, arena, out, error);
        /* Links are followed: the person names the file, and /dev/stdin or a mounted secret are links. A
         * terminal that is named must not become the controlling one, to which ^C would then belong. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0) {
                bool is_missing = errno == ENOENT || errno == ENOTDIR;

                error_set(error, errno, "open '%s'", path);
                return is_missing ? error_status(error, EXIT_STATUS_NO_SOURCE) : -1;
        }
        snprintf(name, sizeof name, "'%.280s'", path);
        return stream_read(fd, name, bytes_max, arena, out, error);
}

static int stream_write_fd(int fd, const char *name, struct bytes content, struct error *error) {
        if (fd_write_full(fd, content.at, content.length) < 0)
                return error_set(error, errno, "write to %s", name);
        return 0;
}

static int stream_write_device(const char *path, struct bytes content, struct error *error) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return error_set(error, errno, "open '%s'", path);
        if (stream_write_fd(fd, path, content, error) < 0) {
                close(fd);
                return -1;
        }
        /* Some file systems tell only now that the content has not arrived (close(2)). */
        return close(fd) < 0 ? error_set(error, errno, "write to %s", path) : 0;
}

int stream_write(const char *path, struct bytes content, mode_t new_mode, struct error *error) {
        CLEANUP_ATOMIC_FILE struct atomic_file file = ATOMIC_FILE_INIT;
        struct stat status;
        int result;

        if (!path || strcmp(path, "-") == 0) {
                if (verb_output_is_closed())
                        return error_set(error, EBADF, "write to standard output");
                return stream_write_fd(STDOUT_FILENO, "standard output", content, error);
        }
        /* A device cannot be replaced by a rename: `-o /dev/stdout`, `-o /dev/fd/3`, a FIFO. */
        if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
                return stream_write_device(path, content, error);
        /* Somebody may make the file between our look and our rename; then it is locked and replaced as
         * an old one, with the mode that its maker gave it. */
        do {
                atomic_file_close(&file);
                result = atomic_file_open(&file, path, LOCK_WAIT_NS, error);
                if (result == 0 || result == ATOMIC_FILE_NEW)
                        result = atomic_file_replace(&file, content, new_mode, error);
        } while (result == ATOMIC_FILE_EXISTS);
        return result == ATOMIC_FILE_BUSY ? verb_error_busy(path, error) : result;
}

bool stream_is_same(const char *input, const char *output) {
        struct stat one, two;
        /* By device and inode: two names, a link, and `tacet decrypt -o x < x` are all the same file. */
        bool is_input = strcmp(input, "-") == 0 ? fstat(STDIN_FILENO, &one) == 0 : stat(input, &one) == 0;

        return is_input && strcmp(output, "-") != 0 && stat(output, &two) == 0 && S_ISREG(one.st_mode) &&
               one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}
