/* The filter that reports bind and listen: see adopt.h. Installed in the shim, while it still has the rights
 * of tacet and before the app's limits (a limit on open files must not stand in the way); probed once in a
 * child of the supervisor.
 *
 * The program is written at build time with libseccomp (shim/filter). It decides nothing and is no wall: an
 * app that wants to bind without being seen can (io_uring(7)), and loses nothing but the hand-over of that
 * socket. */

#include "shim/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* Made by the build, not in the tree. */
#define ADOPT_CALL(arch, number, call)
static const struct sock_filter sockets_filter[] = {
#define ADOPT_INSTRUCTION(code, jt, jf, k) {code, jt, jf, k},
#define ADOPT_PATHS_INSTRUCTION(code, jt, jf, k)
#define ADOPT_ALL_INSTRUCTION(code, jt, jf, k)
#include <shim/adopt_filter.h>
#undef ADOPT_INSTRUCTION
#undef ADOPT_PATHS_INSTRUCTION
};

static const struct sock_filter paths_filter[] = {
#define ADOPT_INSTRUCTION(code, jt, jf, k)
#define ADOPT_PATHS_INSTRUCTION(code, jt, jf, k) {code, jt, jf, k},
#include <shim/adopt_filter.h>
#undef ADOPT_PATHS_INSTRUCTION
#undef ADOPT_ALL_INSTRUCTION
};

static const struct sock_filter all_filter[] = {
#define ADOPT_PATHS_INSTRUCTION(code, jt, jf, k)
#define ADOPT_ALL_INSTRUCTION(code, jt, jf, k) {code, jt, jf, k},
#include <shim/adopt_filter.h>
#undef ADOPT_ALL_INSTRUCTION
};
#undef ADOPT_CALL

enum adopt_call adopt_call_of(uint32_t arch, int number) {
        static const struct {
                uint32_t arch;
                int number;
                enum adopt_call call;
        } calls[] = {
#define ADOPT_CALL(arch, number, call) {arch, number, call},
#define ADOPT_ALL_INSTRUCTION(code, jt, jf, k)
#include <shim/adopt_filter.h>
        };

        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
                if (calls[i].arch == arch && calls[i].number == number)
                        return calls[i].call;
        return ADOPT_CALL_NONE;
}

#define FILTER(array)                                                                                        \
        { sizeof(array) / sizeof *(array), (struct sock_filter *)(uintptr_t)(array) }

static int filter_load(enum adopt_reports reports) {
        /* The kernel copies the program and does not write to it. */
        static const struct sock_fprog programs[ADOPT_REPORTS_COUNT] = {
                [ADOPT_REPORTS_SOCKETS] = FILTER(sockets_filter),
                [ADOPT_REPORTS_PATHS] = FILTER(paths_filter),
                [ADOPT_REPORTS_ALL] = FILTER(all_filter),
        };
        struct sock_fprog program = programs[reports];
        /* A signal shall not interrupt a bind that is being answered; before Linux 5.19 it can. */
        unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

        if (fd < 0 && errno == EINVAL)
                fd = syscall(
                        SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
        return (int)fd;
}

int adopt_filter_install(enum adopt_reports reports) {
        int fd = filter_load(reports);

        if (fd >= 0 || errno != EACCES)
                return fd;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
                errno = EACCES;
                return -1;
        }
        return filter_load(reports);
}

const char *adopt_filter_hint(int code) {
        switch (code) {
        case EBUSY:
                return "a seccomp filter with a notification descriptor is there already (another tacet with "
                       "adopt, "
                       "or a container manager's): declare the socket and let the app take it over";
        case EACCES:
        case EPERM:
                return "it takes CAP_SYS_ADMIN or no_new_privs, and a container profile that allows "
                       "seccomp(2)";
        case ENOSYS:
        case EINVAL:
                return "it takes Linux 5.9 or newer with seccomp filters: declare the socket and let the app "
                       "take "
                       "it over";
        default:
                return "it takes some memory and a free descriptor";
        }
}

int adopt_descriptor_send(int channel, int fd) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof fd)];
        } control = {0};
        char byte = 0;
        struct iovec data = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control.bytes,
        };

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int adopt_descriptor_receive(int channel) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char byte;
        struct iovec data = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control.bytes,
        };
        const struct cmsghdr *header;
        ssize_t got;
        int fd;

        do
                got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return -1;
        header = CMSG_FIRSTHDR(&message);
        errno = got == 0 ? EPIPE : EMFILE; /* no room for one here, and the kernel has dropped it */
        if (got == 0 || !header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fd))
                return -1;
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        return fd;
}

/* Kernels 5.0 to 5.8 report calls but cannot put a descriptor in place. An answer to a call that does not
 * exist tells: only a kernel that knows the request fails with ENOENT. */
static int addfd_try(int fd) {
        struct seccomp_notif_addfd nothing = {.id = UINT64_MAX, .srcfd = (uint32_t)fd};

        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &nothing) < 0 && errno == ENOENT)
                return 0;
        return ENOSYS;
}

/* In the child: try all. Returns 0, or the errno for the parent. */
static int probe_child(void) {
        struct seccomp_notif_sizes sizes;
        int fd;

        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return errno;
        fd = adopt_filter_install(ADOPT_REPORTS_ALL);
        return fd < 0 ? errno : addfd_try(fd);
}

int adopt_probe(struct error *error) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0)
                _exit(probe_child());
        if (pid < 0)
                return error_set(error, errno, "try whether sockets can be adopted (fork)");
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_set(error, errno, "try whether sockets can be adopted (waitpid)");
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        /* A filter of somebody else's may answer by killing. */
        error_set(error, WIFEXITED(status) ? WEXITSTATUS(status) : EACCES,
                "install a filter that reports bind and listen (seccomp)");
        return error_hint(error, "%s", adopt_filter_hint(error->code));
}
