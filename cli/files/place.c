/* The editor's folder: see place.h. Runs in the guard process of `tacet edit`.
 *
 * Editors leave copies: swap and backup files beside the file, undo files, viminfo and history in the home
 * directory, temporary files in /tmp. So the file lies in a file system that only this process and the
 * editor have, and everything else is read-only for them: what the editor wants to keep it can keep there
 * alone, and there it is gone with the editor, however both end. No clean-up has to run for that.
 *
 * ramfs comes before plain tmpfs because its pages are never swapped; tmpfs learned that (noswap) in Linux
 * 6.4, outside user namespaces. Where no mount namespace can be had (containers, hardened kernels) an
 * ordinary folder on a memory file system must do, and is wiped. */

#include "cli/files/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"

#define PLACE_FILES_OPEN 16

/* mount_setattr(2), Linux 5.12; <linux/mount.h> and <sys/mount.h> do not go together in every C library. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define MOUNT_RDONLY UINT64_C(1)
struct mount_attributes {
        uint64_t set, clear, propagation, user_namespace;
};

static int text_write(const char *path, const char *text) {
        CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -1 : fd_write_full(fd, text, strlen(text));
}

/* Leave the shared mount namespace; with a user namespace (this user mapped to itself) where that takes
 * privilege.
 * Returns 0 or -1 with errno. */
static int namespace_leave(void) {
        char map[64];
        uid_t user = geteuid();
        gid_t group = getegid();

        if (unshare(CLONE_NEWNS) == 0)
                return 0;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return -1;
        /* /proc/self belongs to root while a process is not dumpable. */
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        /* An unprivileged process may map its group only then (user_namespaces(7)). */
        (void)text_write("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", user, user);
        if (text_write("/proc/self/uid_map", map) < 0)
                return -1;
        snprintf(map, sizeof map, "%u %u 1", group, group);
        return text_write("/proc/self/gid_map", map);
}

static int memory_mount(const char *path) {
        static const struct {
                const char *type, *options;
        } kinds[] = {{"tmpfs", "noswap,mode=0700"}, {"ramfs", "mode=0700"}, {"tmpfs", "mode=0700"}};

        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
                if (mount("tacet", path, kinds[i].type, MS_NOSUID | MS_NODEV | MS_NOEXEC, kinds[i].options) ==
                        0)
                        return 0;
        return -1;
}

static int place_make_private(struct place *place, struct error *error) {
        struct mount_attributes read_only = {.set = MOUNT_RDONLY};
        struct stat status;

        snprintf(place->path, sizeof place->path, "%s",
                stat("/dev/shm", &status) == 0 && S_ISDIR(status.st_mode) ? "/dev/shm" : "/tmp");
        if (namespace_leave() < 0)
                return error_set(error, errno, "make a mount namespace");
        /* systemd makes every mount shared: without this, ours would appear in the namespace that we
         * left. */
        if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
                return error_set(error, errno, "keep mounts to itself");
        /* Before Linux 5.12 the rest stays writable, as for any editor. */
        (void)syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof read_only);
        if (memory_mount(place->path) < 0)
                return error_set(error, errno, "mount a file system in memory");
        place->folder = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        place->is_private = true;
        return place->folder < 0 ? error_set(error, errno, "open %s", place->path) : 0;
}

static bool folder_is_in_memory(const char *path) {
        struct statfs status;

        return statfs(path, &status) == 0 && (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

static int place_make_visible(struct place *place, struct error *error) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        const char *const parents[] = {"/dev/shm", runtime && *runtime ? runtime : "/run", "/run", "/tmp"};

        /* On a disk the text could be found long after it was removed, so any other file system is passed
         * over. */
        for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
                if (!folder_is_in_memory(parents[i]) ||
                        snprintf(place->path, sizeof place->path, "%s/tacet-edit-XXXXXX", parents[i]) >=
                                (int)sizeof place->path)
                        continue;
                if (!mkdtemp(place->path))
                        continue;
                /* mkdtemp(3) gave it mode 0700 and a name that was free; from here on only the descriptor
                 * counts. */
                place->folder = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (place->folder >= 0)
                        return 0;
                (void)rmdir(place->path);
        }
        error_set(error, 0,
                "there is no folder in memory for the editor's file (tried /dev/shm, $XDG_RUNTIME_DIR, "
                "/run and /tmp)");
        return error_hint(error, "mount a tmpfs on /dev/shm, or use 'tacet set', which needs no file");
}

int place_make(struct place *place, bool is_private, struct error *error) {
        *place = (struct place){.folder = -1};
        return is_private ? place_make_private(place, error) : place_make_visible(place, error);
}

/* ---- removal of a visible one ---- */

/* A file system in memory writes to the pages that held the text; O_NOFOLLOW and O_NONBLOCK for what an
 * editor may have left under the name. */
static void file_wipe(const char *path) {
        static const char zeros[64 * 1024];
        CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat status;

        if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return;
        for (off_t at = 0; at < status.st_size; at += (off_t)sizeof zeros)
                if (fd_write_full(fd, zeros, sizeof zeros) < 0)
                        return;
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *position) {
        (void)status;
        (void)position;
        if (kind == FTW_F)
                file_wipe(path);
        (void)remove(path);
        return 0;
}

void place_remove(struct place *place) {
        if (place->folder >= 0 && !place->is_private)
                (void)nftw(place->path, entry_remove, PLACE_FILES_OPEN, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        fd_close(fd_take(&place->folder));
}
