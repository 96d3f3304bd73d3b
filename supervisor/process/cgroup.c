/* Cgroups of version 2: see cgroup.h.
 *
 * Used by tree.c in the supervisor, with whatever rights that has. Files of the cgroup file system are opened
 * below a descriptor of our own cgroup, by names that are ours. */

#include "supervisor/process/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/fd.h"

#define PROC_FILE_BYTES 65536
#define PATH_BYTES      4096
#define PROBE_NAME      "tacet.probe"

/* The whole of a small file as text; false when it does not fit. */
static bool file_read(int at, const char *path, char *out, size_t room) {
        CLEANUP_FD int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? -1 : fd_read_full(fd, out, room - 1);

        if (length < 0 || (size_t)length == room - 1)
                return false;
        out[length] = '\0';
        return true;
}

/* The path of version 2 in /proc/self/cgroup: the line that begins with "0::". */
static char *cgroup_own_path(char *text) {
        for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, "0::", 3) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        return line + 3;
                }
        return NULL;
}

/* One line of mountinfo (proc(5)): ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS] - TYPE ... */
static bool mount_parse(char *line, char **out_root, char **out_point) {
        char *type = strstr(line, " - "), *save = NULL, *word = NULL;

        if (!type || strncmp(type + 3, "cgroup2 ", 8) != 0)
                return false;
        *type = '\0';
        for (int field = 0; field < 5; field++) {
                word = strtok_r(field ? NULL : line, " ", &save);
                if (!word)
                        return false;
                if (field == 3)
                        *out_root = word;
        }
        *out_point = word;
        return true;
}

/* Where cgroup `path` is mounted. */
static bool cgroup_mount_path(const char *path, char out[static PATH_BYTES]) {
        static char text[PROC_FILE_BYTES];
        char *root, *point, *save = NULL;

        if (!file_read(AT_FDCWD, "/proc/self/mountinfo", text, sizeof text))
                return false;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                size_t length;

                if (!mount_parse(line, &root, &point) || strchr(point, '\\'))
                        continue;
                length = strcmp(root, "/") == 0 ? 0 : strlen(root);
                if (strncmp(path, root, length) != 0 || (path[length] && path[length] != '/'))
                        continue;
                if (snprintf(out, PATH_BYTES, "%s%s", point, path + length) < PATH_BYTES)
                        return true;
        }
        return false;
}

/* In systemd's tree only cgroups that it has marked as delegated may be written:
 * https://systemd.io/CGROUP_DELEGATION */
static bool cgroup_is_delegated(const char *path, int fd) {
        static const char *const marks[] = {"trusted.delegate", "user.delegate"};
        char value[2];

        if (strcmp(path, "/") == 0 || access("/run/systemd/system", F_OK) < 0)
                return true;
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
                if (fgetxattr(fd, marks[i], value, sizeof value) == 1 && value[0] == '1')
                        return true;
        return false;
}

/* Check that processes can be moved into a cgroup made below `base_fd`: try all but the move. */
static int cgroup_check(int base_fd, struct error *error) {
        CLEANUP_FD int here = openat(base_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        CLEANUP_FD int there = -1;
        char type[32] = "";

        if (here < 0)
                return error_set(error, errno, "move processes out of our own cgroup");
        there = cgroup_make(base_fd, PROBE_NAME, error);
        if (there < 0)
                return -1;
        (void)file_read(base_fd, PROBE_NAME "/cgroup.type", type, sizeof type);
        (void)cgroup_remove(base_fd, PROBE_NAME);
        if (strcmp(type, "domain\n") != 0)
                return error_set(error, 0, "our own cgroup is threaded");
        return 0;
}

int cgroup_open_own(struct error *error) {
        static char text[PROC_FILE_BYTES];
        CLEANUP_FD int fd = -1;
        char place[PATH_BYTES];
        const char *path;

        path = file_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) ? cgroup_own_path(text) : NULL;
        if (!path || strncmp(path, "/..", 3) == 0 || !cgroup_mount_path(path, place))
                return error_set(error, 0, "no cgroup of version 2 is mounted here");
        fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set(error, errno, "open our own cgroup %s", place);
        if (!cgroup_is_delegated(path, fd))
                return error_set(error, 0, "our own cgroup is not delegated (Delegate=yes)");
        if (cgroup_check(fd, error) < 0)
                return -1;
        return fd_take(&fd);
}

int cgroup_make(int base_fd, const char *name, struct error *error) {
        char path[128];
        int fd;

        /* A tacet that had our pid may have left one of this name. If it is not empty, it is not ours. */
        if (mkdirat(base_fd, name, 0755) < 0 &&
                (errno != EEXIST || !cgroup_remove(base_fd, name) || mkdirat(base_fd, name, 0755) < 0))
                return error_set(error, errno, "make a cgroup");
        snprintf(path, sizeof path, "%s/cgroup.procs", name);
        fd = openat(base_fd, path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
                error_set(error, errno, "open %s", path);
                (void)cgroup_remove(base_fd, name);
        }
        return fd;
}

bool cgroup_is_populated(int base_fd, const char *name) {
        char path[128], text[256];

        snprintf(path, sizeof path, "%s/cgroup.events", name);
        errno = 0;
        if (!file_read(base_fd, path, text, sizeof text))
                return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
        return strstr(text, "populated 1");
}

long cgroup_count(int base_fd, const char *name) {
        static char text[PROC_FILE_BYTES];
        char path[128];
        long count = 0;

        snprintf(path, sizeof path, "%s/cgroup.procs", name);
        if (!file_read(base_fd, path, text, sizeof text))
                return 0;
        for (const char *at = text; *at; at++)
                count += *at == '\n';
        return count;
}

/* Since the list was read, the pid may have become another process's: so it is looked for once more, while a
 * pidfd is open. */
static void member_signal(int base_fd, const char *path, pid_t pid, int number) {
        static char again[PROC_FILE_BYTES];
        CLEANUP_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        char *save = NULL;
        uint64_t other;

        if (fd < 0 || !file_read(base_fd, path, again, sizeof again))
                return;
        for (char *line = strtok_r(again, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (text_to_u64(line, &other) && other == (uint64_t)pid)
                        (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

void cgroup_signal(int base_fd, const char *name, int number) {
        static char text[PROC_FILE_BYTES];
        char path[128], *save = NULL;
        uint64_t pid;

        if (number == SIGKILL) {
                CLEANUP_FD int fd = -1;

                snprintf(path, sizeof path, "%s/cgroup.kill", name); /* Linux 5.14 */
                fd = openat(base_fd, path, O_WRONLY | O_CLOEXEC);
                if (fd >= 0 && fd_write_full(fd, "1", 1) == 0)
                        return;
        }
        snprintf(path, sizeof path, "%s/cgroup.procs", name);
        if (!file_read(base_fd, path, text, sizeof text))
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (text_to_u64(line, &pid) && pid > 0 && pid <= INT32_MAX)
                        member_signal(base_fd, path, (pid_t)pid, number);
}

bool cgroup_remove(int base_fd, const char *name) {
        return unlinkat(base_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}
