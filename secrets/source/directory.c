/* A directory with one file per variable: Docker's /run/secrets, Kubernetes mounts, $CREDENTIALS_DIRECTORY,
 * or NAME.age files. Runs in the loader before it confines itself.
 *
 * Kubernetes replaces all files at once by moving the link `..data` to a new directory, and then empties the
 * old one. So the files are read below one open `..data`, and when the link has moved meanwhile everything is
 * read again: what is loaded is always one generation. Dot files and subdirectories are passed over, and with
 * a note the keys of this load; a file whose name is no variable name is refused, because silently leaving a
 * secret out is worse. */

#include "secrets/source/gather.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"

/* A kubelet that swaps faster than a directory of secrets can be read does not exist. */
#define SNAPSHOT_TRIES 5

#define SNAPSHOT_MOVED 1

static void directory_close(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

/* The variable that `file` holds: 0 with *out_length, or 1 when the file is none of ours, or -1. */
static int file_name_check(
        const char *path, const char *file, bool is_age, size_t *out_length, struct error *error) {
        size_t length = strlen(file);

        if (is_age) {
                if (length < 5 || strcmp(file + length - 4, ".age") != 0)
                        return 1;
                length -= 4;
        }
        *out_length = length;
        if (secret_name_is_valid(file, length))
                return 0;
        error_set(error, 0,
                "'%s/%s': the file's name is not a variable name: letters, digits and '_', at most %d bytes",
                path, file, SECRET_NAME_BYTES_MAX);
        error_hint(error, "rename it, or begin its name with a dot to leave it out");
        return error_status(error, EXIT_STATUS_DATA);
}

static bool is_directory(int parent, const struct dirent *entry) {
        struct stat status;

        if (entry->d_type == DT_DIR)
                return true;
        if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
                return false;
        return fstatat(parent, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

/* Open `name` in a directory that others may write to: a link leads only to what its owner owns, unless root
 * or this user made it. Otherwise whoever may add a secret could have any file that tacet can read handed to
 * the app. The link is read, not followed by name, so that it cannot be changed in between. Returns a
 * descriptor, or -1 with errno (EPERM). */
static int entry_open(int directory, const char *name, int flags) {
        CLEANUP_FD int fd = openat(directory, name, flags | O_NOFOLLOW), link = -1;
        char target[PATH_MAX];
        struct stat of_link, of_target;
        ssize_t length;

        if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR))
                return fd_take(&fd);
        link = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        length = link < 0 ? -1 : readlinkat(link, "", target, sizeof target - 1);
        if (length < 0 || fstat(link, &of_link) < 0)
                return -1;
        target[length] = 0;
        fd = openat(directory, target, flags);
        if (fd < 0 || fstat(fd, &of_target) < 0)
                return -1;
        if (of_link.st_uid != 0 && of_link.st_uid != geteuid() && of_link.st_uid != of_target.st_uid) {
                errno = EPERM;
                return -1;
        }
        return fd_take(&fd);
}

/* Add what `take_fd` holds, which may be -1 with errno; `length` is that of the variable's name in `file`. */
static int opened_gather(struct gathered *gathered, struct material material, const char *path,
        const char *file, size_t length, int take_fd, struct error *error) {
        CLEANUP_FD int fd = take_fd;
        const int code = errno;

        material.label = gathered_text(gathered, error, "%s/%s", path, file);
        material.name = gathered_text(gathered, error, "%.*s", (int)length, file);
        if (!material.label || !material.name)
                return -1;
        errno = code;
        if (read_opened(fd_take(&fd), material.label, &gathered->bounds, &material.bytes, error) < 0) {
                if (error->code == EPERM)
                        error_hint(error, "a link in a folder of secrets must be root's, this user's, or its "
                                          "target's owner's");
                return -1;
        }
        return gathered_add(gathered, material, error);
}

static int file_gather(struct gathered *gathered, uint16_t index, const char *path, int directory,
        const char *file, bool is_age, struct error *error) {
        struct material material = {.kind = MATERIAL_FILE_VALUE, .is_age = is_age, .source = index};
        size_t length;
        int state = file_name_check(path, file, is_age, &length, error);
        CLEANUP_FD int fd = -1;
        int is_key;

        if (state > 0)
                return 0;
        fd = entry_open(directory, file, READ_FLAGS);
        /* Whatever its name is: it is no secret of the app. */
        is_key = fd < 0 ? 0 : key_file_is_in_use(gathered, fd, error);
        if (is_key < 0)
                return error_wrap(error, "'%s/%s'", path, file);
        if (is_key) {
                gathered_note(gathered, "'%s/%s' is a key in use: the app does not get it", path, file);
                return 0;
        }
        if (state < 0)
                return -1;
        return opened_gather(gathered, material, path, file, length, fd_take(&fd), error);
}

static int files_gather(struct gathered *gathered, uint16_t index, const char *path, int take_directory,
        bool is_age, struct error *error) {
        __attribute__((cleanup(directory_close))) DIR *directory = fdopendir(take_directory);
        struct dirent *entry;

        if (!directory) {
                error_set(error, errno, "list '%s'", path);
                fd_close(take_directory);
                return -1;
        }
        key_files_look(gathered);
        for (errno = 0; (entry = readdir(directory)); errno = 0) {
                if (entry->d_name[0] == '.' || is_directory(dirfd(directory), entry))
                        continue;
                if (file_gather(gathered, index, path, dirfd(directory), entry->d_name, is_age, error) < 0)
                        return -1;
        }
        return errno ? error_set(error, errno, "list '%s'", path) : 0;
}

/* True when `..data` still leads to the directory that `snapshot` is. */
static bool snapshot_stands(int base, const struct stat *snapshot) {
        struct stat now;

        return fstatat(base, "..data", &now, 0) == 0 && now.st_dev == snapshot->st_dev &&
               now.st_ino == snapshot->st_ino;
}

/* Returns 0, SNAPSHOT_MOVED (nothing was kept), or -1. */
static int directory_try(
        struct gathered *gathered, uint16_t index, const char *path, bool is_age, struct error *error) {
        CLEANUP_FD int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), snapshot = -1;
        /* The list lies in the arena as well: to take back what was read is to take back its growth. */
        struct material *at = gathered->at;
        size_t count = gathered->count, room = gathered->room, used = gathered->bounds.arena->used;
        size_t noted = strlen(gathered->note);
        struct stat status;
        int copy, result;

        if (base < 0) {
                error_set(error, errno, "open directory '%s'", path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        snapshot = entry_open(base, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (snapshot < 0 && errno == EPERM)
                return error_set(error, EPERM, "open '%s/..data'", path);
        /* The link was read, and then what it led to was gone: the kubelet has moved on. */
        if (snapshot < 0 && fstatat(base, "..data", &status, AT_SYMLINK_NOFOLLOW) == 0)
                return SNAPSHOT_MOVED;
        if (snapshot < 0)
                return files_gather(gathered, index, path, fd_take(&base), is_age, error);
        if (fstat(snapshot, &status) < 0)
                return error_set(error, errno, "fstat '%s/..data'", path);
        /* It stays open until it has been compared: the number of a directory that is gone is soon
         * another's. */
        copy = fcntl(snapshot, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return error_set(error, errno, "open '%s/..data' once more", path);
        result = files_gather(gathered, index, path, copy, is_age, error);
        if (snapshot_stands(base, &status))
                return result;
        gathered->at = at;
        gathered->count = count;
        gathered->room = room;
        gathered->note[noted] = 0;
        arena_release(gathered->bounds.arena, used);
        return SNAPSHOT_MOVED;
}

int directory_gather(
        struct gathered *gathered, uint16_t index, const char *path, bool is_age, struct error *error) {
        for (int i = 0; i < SNAPSHOT_TRIES; i++) {
                int result = directory_try(gathered, index, path, is_age, error);

                if (result != SNAPSHOT_MOVED)
                        return result;
        }
        return error_set(error, EAGAIN, "'%s/..data' moved %d times while it was read", path, SNAPSHOT_TRIES);
}
