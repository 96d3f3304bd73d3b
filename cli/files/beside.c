/* `.age-recipients`: see beside.h.
 *
 * Nobody names this file on the command line; it is found. So it is believed only where whoever could have
 * put it there could as well have changed the program or its keys: root and this user. All looks are taken at
 * descriptors, and the folder is the one that is open for the file that is written. */

#include "cli/files/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "lib/fd.h"

/* Root's or this user's, and nobody else may write it. An access control list that lets somebody write shows
 * in the group's bits (acl(5)). */
static int trust_check(int fd, const char *path, struct error *error) {
        struct stat status;

        if (fstat(fd, &status) < 0)
                return error_set(error, errno, "fstat '%s'", path);
        if (status.st_uid != 0 && status.st_uid != geteuid()) {
                error_set(error, 0,
                        "'%s' belongs to user %u and is not trusted: it would decide who can read", path,
                        (unsigned)status.st_uid);
                return error_hint(
                        error, "chown it to root or to yourself, or name the recipients with -r or -R");
        }
        if (status.st_mode & (S_IWGRP | S_IWOTH)) {
                error_set(error, 0, "'%s' can be written by others (mode %04o) and is not trusted", path,
                        (unsigned)status.st_mode & 07777U);
                return error_hint(error, "chmod go-w '%s', or name the recipients with -r or -R", path);
        }
        return 0;
}

/* Split "FOLDER/NAME" in place; the name. */
static const char *path_split(char *path) {
        char *slash = strrchr(path, '/');

        if (slash == path)
                return path + 1; /* in the root: the folder is left to the caller */
        *slash = 0;
        return slash + 1;
}

/* `name` in a folder that is trusted. The link that it may be was made by somebody trusted, but what it leads
 * to lies in another folder, which is looked at in turn. */
static int name_open(int folder, const char *path, const char *name, struct error *error) {
        char resolved[PATH_MAX];
        const char *last;
        CLEANUP_FD int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        CLEANUP_FD int other = -1;

        if (fd >= 0)
                return fd_take(&fd);
        if (errno != ELOOP || !realpath(path, resolved))
                return error_set(error, errno, "open '%s'", path);
        last = path_split(resolved);
        other = open(last == resolved + 1 ? "/" : resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (other < 0)
                return error_set(error, errno, "open '%s'", resolved);
        if (trust_check(other, resolved, error) < 0)
                return -1;
        fd = openat(other, last, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        return fd < 0 ? error_set(error, errno, "open '%s'", path) : fd_take(&fd);
}

bool beside_is_there(const struct secret_file *file) {
        struct stat status;

        return fstatat(file->file.directory, BESIDE_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
               errno != ENOENT;
}

int beside_recipients_add(struct age_recipients *recipients, const struct secret_file *file,
        struct arena *arena, struct error *error) {
        const char *name = file->file.name;
        int folder_length = (int)(name - file->file.path);
        char folder[PATH_MAX], path[PATH_MAX];
        CLEANUP_FD int fd = -1;
        struct secret_bytes text;

        if (!beside_is_there(file))
                return BESIDE_NONE;
        snprintf(folder, sizeof folder, "%.*s", folder_length > 1 ? folder_length - 1 : folder_length,
                file->file.path);
        if (snprintf(path, sizeof path, "%.*s" BESIDE_NAME, folder_length, file->file.path) >=
                (int)sizeof path)
                return error_set(error, ENAMETOOLONG, "look for the recipients of '%s'", file->path);
        if (trust_check(file->file.directory, folder, error) < 0)
                return -1;
        fd = name_open(file->file.directory, path, BESIDE_NAME, error);
        if (fd < 0 || trust_check(fd, path, error) < 0 ||
                stream_read(fd, path, KEY_FILE_BYTES_MAX, arena, &text, error) < 0)
                return -1;
        return age_recipients_add_file(recipients, secret_view(text), path, arena, error);
}
