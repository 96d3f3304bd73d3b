/* Reading the memory and sockets of a waiting process: see caller.h. Runs in the supervisor, and in children
 * of its own (look.c) where it may block.
 *
 * Only files of /proc/THREAD are opened, and links there are read as text, never followed into a file system:
 * a mount of the app's own making could hold up PID 1 for ever. Where the kernel refuses, the same is tried
 * once more with the caller's user and groups as those for files, which is what it asks for there (ptrace(2),
 * PTRACE_MODE_FSCREDS). */

#include "supervisor/adopt/caller.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/fd.h"

#define PROC_PATH_BYTES   64
#define PROC_STATUS_BYTES 1024 /* "Tgid:" stands among the first lines */

static void proc_path(pid_t thread, const char *name, char out[static PROC_PATH_BYTES]) {
        snprintf(out, PROC_PATH_BYTES, "/proc/%d/%s", (int)thread, name);
}

/* ---- identity ---- */

/* setfsuid(2) resets PR_SET_DUMPABLE and PR_SET_PDEATHSIG of this process (prctl(2)): set both again. */
void caller_identity_return(struct caller_identity *identity) {
        if (identity->has_mask)
                (void)umask(identity->mask);
        identity->has_mask = false;
        if (!identity->is_borrowed)
                return;
        (void)setfsuid(identity->user);
        (void)setfsgid(identity->group);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (identity->death_signal)
                (void)prctl(PR_SET_PDEATHSIG, identity->death_signal, 0, 0, 0);
        identity->is_borrowed = false;
}

/* Returns false when the caller's identity is our own, or already borrowed, or cannot be read. */
static bool identity_borrow(pid_t thread, struct caller_identity *out) {
        char path[PROC_PATH_BYTES];
        struct stat owner;

        proc_path(thread, "", path);
        if (out->is_borrowed || stat(path, &owner) < 0)
                return false;
        (void)prctl(PR_GET_PDEATHSIG, &out->death_signal, 0, 0, 0);
        out->group = (gid_t)setfsgid(owner.st_gid);
        out->user = (uid_t)setfsuid(owner.st_uid);
        out->is_borrowed = true;
        return out->user != owner.st_uid || out->group != owner.st_gid;
}

static bool code_is_refusal(int code) {
        return code == EACCES || code == EPERM;
}

static int proc_open(pid_t thread, const char *name, struct caller_identity *borrowed) {
        char path[PROC_PATH_BYTES];
        int fd;

        proc_path(thread, name, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && code_is_refusal(errno)) {
                int code = errno;

                if (identity_borrow(thread, borrowed))
                        fd = open(path, O_RDONLY | O_CLOEXEC);
                else
                        errno = code;
        }
        return fd;
}

/* Read a link as text. Returns its length, or -1 with errno: ENAMETOOLONG when it does not fit. */
static ssize_t proc_link(
        pid_t thread, const char *name, struct caller_identity *borrowed, char *out, size_t out_bytes) {
        char path[PROC_PATH_BYTES];
        ssize_t length;

        proc_path(thread, name, path);
        length = readlink(path, out, out_bytes);
        if (length < 0 && code_is_refusal(errno)) {
                int code = errno;

                if (identity_borrow(thread, borrowed))
                        length = readlink(path, out, out_bytes);
                else
                        errno = code;
        }
        if (length < 0)
                return -1;
        if ((size_t)length == out_bytes) {
                errno = ENAMETOOLONG;
                return -1;
        }
        out[length] = '\0';
        return length;
}

/* ---- memory ---- */

/* Copy up to `size` bytes, as many as are mapped. Returns the count, or an errno below 0. */
static ssize_t memory_copy(pid_t thread, uint64_t address, void *out, size_t size) {
        CLEANUP_IDENTITY struct caller_identity borrowed = {0};
        CLEANUP_FD int fd = proc_open(thread, "mem", &borrowed);
        ssize_t got;

        if (fd < 0)
                return -errno;
        if (address > INT64_MAX)
                return -EFAULT;
        got = pread(fd, out, size, (off_t)address);
        return got < 0 ? -errno : got;
}

int caller_read_memory(pid_t thread, uint64_t address, void *out, size_t size) {
        ssize_t got = memory_copy(thread, address, out, size);

        if (got < 0)
                return (int)-got;
        return (size_t)got == size ? 0 : EFAULT;
}

/* The kernel copies up to the first byte that is not mapped, so a string at the end of a mapping comes
 * whole. */
int caller_read_string(pid_t thread, uint64_t address, char *out, size_t size) {
        ssize_t got = memory_copy(thread, address, out, size);

        if (got < 0)
                return (int)-got;
        return memchr(out, '\0', (size_t)got) ? 0 : ENAMETOOLONG;
}

/* ---- the socket ---- */

static uint64_t socket_inode(pid_t thread, int number, struct caller_identity *borrowed) {
        char name[32], text[64];
        uint64_t inode;
        ssize_t length;

        snprintf(name, sizeof name, "fd/%d", number);
        length = proc_link(thread, name, borrowed, text, sizeof text);
        if (length < 0)
                return 0;
        errno = ENOTSOCK;
        if (length < 10 || strncmp(text, "socket:[", 8) != 0 || text[length - 1] != ']')
                return 0;
        text[length - 1] = '\0';
        return text_to_u64(text + 8, &inode) ? inode : 0;
}

uint64_t caller_inode(pid_t thread, int number) {
        CLEANUP_IDENTITY struct caller_identity borrowed = {0};

        return socket_inode(thread, number, &borrowed);
}

/* The number in a line "KEY\tNUMBER" of a file below /proc; false when there is none. */
static bool proc_number(pid_t thread, const char *name, const char *key, bool is_octal,
        struct caller_identity *borrowed, int *out) {
        CLEANUP_FD int fd = proc_open(thread, name, borrowed);
        char text[PROC_STATUS_BYTES];
        ssize_t got = fd < 0 ? -1 : fd_read_full(fd, text, sizeof text - 1);
        const char *at;
        int number = 0;

        if (got <= 0)
                return false;
        text[got] = '\0';
        at = strstr(text, key);
        if (!at)
                return false;
        at += strlen(key);
        at += strspn(at, " \t");
        if (*at < '0' || *at > '9')
                return false;
        for (int digits = 0; *at >= '0' && *at <= '9' && digits < 9; digits++)
                number = number * (is_octal ? 8 : 10) + (*at++ - '0');
        *out = number;
        return true;
}

void caller_identity_borrow(pid_t thread, struct caller_identity *out) {
        int mask;

        *out = (struct caller_identity){0};
        (void)identity_borrow(thread, out);
        if (!proc_number(thread, "status", "\nUmask:", true, out, &mask))
                return;
        out->mask = umask((mode_t)mask & 0777);
        out->has_mask = true;
}

static void flags_read(
        pid_t thread, int number, struct caller_identity *borrowed, struct caller_socket *out) {
        char name[32];

        snprintf(name, sizeof name, "fdinfo/%d", number);
        if (!proc_number(thread, name, "\nflags:", true, borrowed, &out->flags))
                out->flags = -1;
}

/* The kernel tells the name of a socket's protocol as an extended attribute (sockets_xattr). */
static void protocol_read(pid_t thread, int number, struct caller_socket *out) {
        static const struct {
                const char *name;
                int domain, type;
        } protocols[] = {
                {"TCP", AF_INET, SOCK_STREAM},
                {"TCPv6", AF_INET6, SOCK_STREAM},
                {"MPTCP", AF_INET, SOCK_STREAM},
                {"MPTCPv6", AF_INET6, SOCK_STREAM},
                {"UNIX-STREAM", AF_UNIX, SOCK_STREAM},
                {"UNIX", AF_UNIX, SOCK_DGRAM},
                {"UDP", AF_INET, SOCK_DGRAM},
                {"UDPv6", AF_INET6, SOCK_DGRAM},
        };
        char path[PROC_PATH_BYTES], name[32] = "";

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)thread, number);
        if (getxattr(path, "system.sockprotoname", name, sizeof name - 1) < 0)
                return;
        for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
                if (strcmp(protocols[i].name, name) == 0) {
                        out->domain = protocols[i].domain;
                        out->type = protocols[i].type;
                }
}

static bool namespace_differs(pid_t thread, const char *name) {
        char path[PROC_PATH_BYTES], own[PROC_PATH_BYTES];
        struct stat there, here;

        proc_path(thread, name, path);
        snprintf(own, sizeof own, "/proc/self/%s", name);
        return stat(path, &there) == 0 && stat(own, &here) == 0 &&
               (there.st_ino != here.st_ino || there.st_dev != here.st_dev);
}

/* pidfd_open(2) takes the first thread of a process; the call may come from another one. */
static int process_open(pid_t thread, struct caller_identity *borrowed, pid_t *out_process) {
        int fd = (int)syscall(SYS_pidfd_open, thread, 0);

        *out_process = thread;
        if (fd >= 0)
                return fd;
        if (!proc_number(thread, "status", "\nTgid:", false, borrowed, out_process))
                *out_process = 0;
        return *out_process > 0 ? (int)syscall(SYS_pidfd_open, *out_process, 0) : -1;
}

static const struct {
        int level, name;
        bool is_doubled; /* socket(7): the kernel tells twice what was asked for */
} options_table[] = {
        {SOL_SOCKET, SO_KEEPALIVE, false},
        {SOL_SOCKET, SO_LINGER, false},
        {SOL_SOCKET, SO_OOBINLINE, false},
        {SOL_SOCKET, SO_RCVLOWAT, false},
        {SOL_SOCKET, SO_RCVBUF, true},
        {SOL_SOCKET, SO_SNDBUF, true},
        {IPPROTO_TCP, TCP_NODELAY, false},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
        {IPPROTO_TCP, TCP_FASTOPEN, false},
        {IPPROTO_TCP, TCP_KEEPIDLE, false},
        {IPPROTO_TCP, TCP_KEEPINTVL, false},
        {IPPROTO_TCP, TCP_KEEPCNT, false},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, false},
        {IPPROTO_TCP, TCP_LINGER2, false},
        {IPPROTO_IP, IP_TOS, false},
        {IPPROTO_IPV6, IPV6_TCLASS, false},
};
static_assert(sizeof options_table / sizeof *options_table <= CALLER_OPTIONS_MAX, "room for all of them");

static void option_read(int fd, int level, int name, int *out) {
        socklen_t length = sizeof(int);
        int value;

        if (getsockopt(fd, level, name, &value, &length) == 0)
                *out = value;
}

static bool duplicate_read(int fd, struct caller_socket *out) {
        if (fd < 0)
                return false;
        option_read(fd, SOL_SOCKET, SO_DOMAIN, &out->domain);
        option_read(fd, SOL_SOCKET, SO_TYPE, &out->type);
        option_read(fd, SOL_SOCKET, SO_REUSEPORT, &out->reuses_port);
        option_read(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &out->device);
        option_read(fd, IPPROTO_IPV6, IPV6_V6ONLY, &out->ipv6_only);
        for (size_t i = 0; i < sizeof options_table / sizeof *options_table; i++) {
                struct caller_option *option = &out->options[i];
                socklen_t bytes = sizeof option->value;

                if (getsockopt(fd, options_table[i].level, options_table[i].name, option->value, &bytes) == 0)
                        option->bytes = bytes;
        }
        return out->domain && out->type;
}

void caller_options_give(const struct caller_socket *socket, int to) {
        for (size_t i = 0; i < sizeof options_table / sizeof *options_table; i++) {
                struct caller_option wanted = socket->options[i];
                int present[2] = {0};
                socklen_t bytes = sizeof present;

                if (!wanted.bytes ||
                        getsockopt(to, options_table[i].level, options_table[i].name, present, &bytes) < 0 ||
                        memcmp(wanted.value, present, sizeof present) == 0)
                        continue;
                if (options_table[i].is_doubled)
                        wanted.value[0] /= 2;
                (void)setsockopt(
                        to, options_table[i].level, options_table[i].name, wanted.value, wanted.bytes);
        }
}

int caller_look(pid_t thread, int number, struct caller_socket *out) {
        CLEANUP_IDENTITY struct caller_identity borrowed = {0};
        CLEANUP_FD int process_fd = -1;
        CLEANUP_FD int fd = -1;

        *out = CALLER_SOCKET_NONE;
        out->inode = socket_inode(thread, number, &borrowed);
        if (!out->inode)
                return errno;
        flags_read(thread, number, &borrowed, out);
        out->is_elsewhere = namespace_differs(thread, "ns/net");
        process_fd = process_open(thread, &borrowed, &out->process);
        if (process_fd >= 0)
                fd = (int)syscall(SYS_pidfd_getfd, process_fd, number, 0);
        if (!duplicate_read(fd, out))
                protocol_read(thread, number, out);
        return 0;
}

/* ---- paths ---- */

bool caller_path(pid_t thread, const char *path, char out[static CALLER_PATH_BYTES]) {
        CLEANUP_IDENTITY struct caller_identity borrowed = {0};
        char directory[CALLER_PATH_BYTES];
        int length;

        if (proc_link(thread, "root", &borrowed, directory, sizeof directory) < 0 ||
                strcmp(directory, "/") != 0 || namespace_differs(thread, "ns/mnt"))
                return false;
        while (path[0] == '.' && path[1] == '/')
                path += 2;
        if (path[0] == '/')
                length = snprintf(out, CALLER_PATH_BYTES, "%s", path);
        else if (proc_link(thread, "cwd", &borrowed, directory, sizeof directory) >= 0)
                length = snprintf(
                        out, CALLER_PATH_BYTES, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, path);
        else
                return false;
        return length > 0 && length < CALLER_PATH_BYTES;
}
