/* Atomic replacement: see atomic_file.h. For the verbs that write secret files and, later, the state
 * directory.
 *
 * The temporary file has no name while it is written (O_TMPFILE), so a process killed at almost any
 * instant leaves nothing behind; it gets one for the moment between linkat(2) and rename(2), because
 * linkat cannot replace. File systems without O_TMPFILE, and systems without /proc, get an ordinary file
 * with a random name from the start.
 *
 * What it refuses: to replace a file whose owner, mode or access control list it cannot give to the new
 * one. A secret that silently becomes readable to others, or unreadable to the service that needs it, is
 * worse than an error. */

#include "lib/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/file_lock.h"

#define ACL_ATTRIBUTE "system.posix_acl_access"
#define ACL_BYTES_MAX 4096
#define TEMP_TRIES    16

void atomic_file_close(struct atomic_file *file) {
        fd_close(fd_take(&file->target));
        fd_close(fd_take(&file->directory));
}

/* Fill file->path. For a name without a file only its directory is resolved. Returns 0 or -1 with error. */
static int path_resolve(struct atomic_file *file, const char *path, struct error *error) {
        char directory[PATH_MAX];
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        struct stat status;
        int length;

        if (realpath(path, file->path)) {
                file->name = strrchr(file->path, '/') + 1;
                return 0;
        }
        if (errno != ENOENT)
                return error_set(error, errno, "open '%s'", path);
        if (lstat(path, &status) == 0)
                return error_set(error, 0, "'%s' is a symbolic link to a file that does not exist", path);
        if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return error_set(error, ENOENT, "open '%s'", path);
        length = snprintf(
                directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
        if (length < 0 || (size_t)length >= sizeof directory)
                return error_set(error, ENAMETOOLONG, "open '%s'", path);
        if (!realpath(directory, file->path))
                return error_set(error, errno, "open directory '%s'", directory);
        length = (int)strlen(file->path);
        if (file->path[length - 1] == '/')
                length--;
        if ((size_t)length + 1 + strlen(name) >= sizeof file->path)
                return error_set(error, ENAMETOOLONG, "open '%s'", path);
        snprintf(file->path + length, sizeof file->path - (size_t)length, "/%s", name);
        file->name = file->path + length + 1;
        return 0;
}

static int directory_open(struct atomic_file *file, struct error *error) {
        char directory[PATH_MAX];
        size_t length = (size_t)(file->name - file->path);

        memcpy(directory, file->path, length);
        directory[length] = '\0';
        file->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (file->directory < 0)
                return error_set(error, errno, "open directory '%s'", directory);
        return 0;
}

bool atomic_file_is_current(const struct atomic_file *file) {
        struct stat now;

        if (fstatat(file->directory, file->name, &now, AT_SYMLINK_NOFOLLOW) < 0)
                return file->target < 0 && errno == ENOENT;
        return file->target >= 0 && now.st_dev == file->was.st_dev && now.st_ino == file->was.st_ino &&
               now.st_mtim.tv_sec == file->was.st_mtim.tv_sec &&
               now.st_mtim.tv_nsec == file->was.st_mtim.tv_nsec;
}

/* Open the name once and lock what it gave. Returns 0 also when the name has moved on: the caller looks. */
static int target_open(struct atomic_file *file, int64_t deadline_ns, struct error *error) {
        int result;

        /* O_NONBLOCK: opening a FIFO must not hang. O_NOFOLLOW: the links were resolved. */
        file->target = openat(
                file->directory, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (file->target < 0)
                return errno == ENOENT ? ATOMIC_FILE_NEW : error_set(error, errno, "open '%s'", file->path);
        if (fstat(file->target, &file->was) < 0)
                return error_set(error, errno, "look at '%s'", file->path);
        if (!S_ISREG(file->was.st_mode))
                return error_set(error, 0, "'%s' is not a regular file", file->path);
        result = file_lock(file->target, deadline_ns);
        if (result < 0)
                return error_set(error, errno, "lock '%s'", file->path);
        if (result == FILE_LOCK_BUSY)
                return ATOMIC_FILE_BUSY;
        if (fstat(file->target, &file->was) < 0)
                return error_set(error, errno, "look at '%s'", file->path);
        return result;
}

int atomic_file_open(struct atomic_file *file, const char *path, int64_t wait_ns, struct error *error) {
        int64_t deadline_ns = time_add(time_now_ns(), wait_ns);

        *file = ATOMIC_FILE_INIT;
        if (path_resolve(file, path, error) < 0 || directory_open(file, error) < 0)
                return -1;
        for (;;) {
                int result = target_open(file, deadline_ns, error);

                if (result != 0 || atomic_file_is_current(file))
                        return result;
                /* Replaced while we waited for the lock of the old one. */
                fd_close(fd_take(&file->target));
        }
}

/* ---- writing ---- */

struct temp {
        int fd;
        int directory;
        char name[32]; /* empty: it has none */
};

static void temp_name_make(struct temp *temp) {
        uint64_t random = 0;

        if (getrandom(&random, sizeof random, 0) < 0)
                random = (uint64_t)time_now_ns();
        snprintf(temp->name, sizeof temp->name, ".tacet-%016llx", (unsigned long long)random);
}

static void temp_remove(struct temp *temp) {
        if (temp->name[0])
                (void)unlinkat(temp->directory, temp->name, 0);
        temp->name[0] = '\0';
        fd_close(fd_take(&temp->fd));
}

static int temp_open_named(struct temp *temp) {
        for (int try = 0; try < TEMP_TRIES; try++) {
                temp_name_make(temp);
                temp->fd = openat(temp->directory, temp->name,
                        O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (temp->fd >= 0)
                        return 0;
                temp->name[0] = '\0';
                if (errno != EEXIST)
                        return -1;
        }
        return -1;
}

static int temp_open(struct temp *temp) {
        /* Without /proc a nameless file cannot be given a name by an ordinary user (linkat(2),
         * AT_EMPTY_PATH). */
        if (access("/proc/self/fd", X_OK) == 0) {
                temp->fd = openat(temp->directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
                if (temp->fd >= 0)
                        return 0;
        }
        return temp_open_named(temp);
}

/* Give the nameless file a name: `final` (fails with EEXIST when taken) or a random one. Returns 0 or -1
 * with errno. */
static int temp_link(struct temp *temp, const char *final) {
        char self[32];

        snprintf(self, sizeof self, "/proc/self/fd/%d", temp->fd);
        if (final)
                return linkat(AT_FDCWD, self, temp->directory, final, AT_SYMLINK_FOLLOW);
        for (int try = 0; try < TEMP_TRIES; try++) {
                temp_name_make(temp);
                if (linkat(AT_FDCWD, self, temp->directory, temp->name, AT_SYMLINK_FOLLOW) == 0)
                        return 0;
                temp->name[0] = '\0';
                if (errno != EEXIST)
                        return -1;
        }
        return -1;
}

/* The new file gets who may read and write the old one. Returns 0 or -1 with error. */
static int temp_take_rights(const struct temp *temp, const struct atomic_file *file, struct error *error) {
        const mode_t mode = file->was.st_mode & 07777;
        char acl[ACL_BYTES_MAX];
        struct stat now;
        ssize_t length;

        if (fstat(temp->fd, &now) < 0)
                return error_set(error, errno, "look at the new file for '%s'", file->path);
        if ((now.st_uid != file->was.st_uid || now.st_gid != file->was.st_gid) &&
                fchown(temp->fd, file->was.st_uid, file->was.st_gid) < 0) {
                error_set(error, errno, "keep the owner %u:%u of '%s'", file->was.st_uid, file->was.st_gid,
                        file->path);
                return error_hint(error, "run this as that user, or change the file's owner first");
        }
        length = fgetxattr(file->target, ACL_ATTRIBUTE, acl, sizeof acl);
        if (length < 0 && errno != ENODATA && errno != EOPNOTSUPP)
                return error_set(error, errno, "read the access control list of '%s'", file->path);
        /* Without one, the list that a new file inherits from its directory must go. */
        if (length <= 0 && fremovexattr(temp->fd, ACL_ATTRIBUTE) < 0 && errno != ENODATA &&
                errno != EOPNOTSUPP)
                return error_set(error, errno, "keep the access rights of '%s'", file->path);
        if (length > 0 && fsetxattr(temp->fd, ACL_ATTRIBUTE, acl, (size_t)length, 0) < 0)
                return error_set(error, errno, "keep the access control list of '%s'", file->path);
        /* After the owner: fchown(2) clears the set-id bits. */
        if (fchmod(temp->fd, mode) < 0)
                return error_set(error, errno, "keep the mode %04o of '%s'", mode, file->path);
        return 0;
}

/* The name must be free. Returns 0 or -1 with errno. */
static int temp_place_new(struct temp *temp, const char *final) {
        if (!temp->name[0])
                return temp_link(temp, final);
        if (syscall(SYS_renameat2, temp->directory, temp->name, temp->directory, final, RENAME_NOREPLACE) ==
                0) {
                temp->name[0] = '\0';
                return 0;
        }
        /* Not every file system knows RENAME_NOREPLACE; the second name is removed by temp_remove(). */
        return errno == EINVAL ? linkat(temp->directory, temp->name, temp->directory, final, 0) : -1;
}

/* Put the finished file under its name. */
static int temp_place(struct temp *temp, const struct atomic_file *file, struct error *error) {
        if (file->target < 0) {
                if (temp_place_new(temp, file->name) == 0)
                        return 0;
                if (errno == EEXIST)
                        return ATOMIC_FILE_EXISTS;
        } else if ((temp->name[0] || temp_link(temp, NULL) == 0) &&
                   renameat(temp->directory, temp->name, temp->directory, file->name) == 0) {
                temp->name[0] = '\0';
                return 0;
        }
        return error_set(error, errno, "put the new file in place as '%s'", file->path);
}

static int temp_fill(struct temp *temp, const struct atomic_file *file, struct bytes content, mode_t new_mode,
        struct error *error) {
        if (temp_open(temp) < 0)
                return error_set(error, errno, "make a temporary file beside '%s'", file->path);
        if (fd_write_full(temp->fd, content.at, content.length) < 0)
                return error_set(error, errno, "write %zu bytes for '%s'", content.length, file->path);
        if (file->target < 0 && fchmod(temp->fd, new_mode) < 0)
                return error_set(error, errno, "set the mode of '%s'", file->path);
        if (file->target >= 0 && temp_take_rights(temp, file, error) < 0)
                return -1;
        if (fsync(temp->fd) < 0)
                return error_set(error, errno, "write '%s' to its disk", file->path);
        /* Nobody else can know this file yet: the lock is there from the moment it is the one behind the
         * name. */
        if (flock(temp->fd, LOCK_EX | LOCK_NB) < 0)
                return error_set(error, errno, "lock the new file for '%s'", file->path);
        return 0;
}

/* After the rename: the locked file is now the new one, and the directory must know it for good. */
static int temp_settle(struct temp *temp, struct atomic_file *file, struct error *error) {
        fd_close(file->target);
        file->target = fd_take(&temp->fd);
        if (fstat(file->target, &file->was) < 0)
                return error_set(error, errno, "look at '%s'", file->path);
        /* Some file systems have no fsync for directories: EINVAL. */
        if (fsync(file->directory) < 0 && errno != EINVAL)
                return error_set(error, errno,
                        "'%s' was replaced, but its directory could not be written to disk", file->path);
        return 0;
}

int atomic_file_replace(
        struct atomic_file *file, struct bytes content, mode_t new_mode, struct error *error) {
        struct temp temp = {.fd = -1, .directory = file->directory};
        sigset_t all, before;
        int result;

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &before);
        result = temp_fill(&temp, file, content, new_mode, error);
        if (result == 0)
                result = temp_place(&temp, file, error);
        if (result == 0)
                result = temp_settle(&temp, file, error);
        temp_remove(&temp);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return result;
}
