#pragma once

/* The process that waits in a reported system call: its memory and the socket that it named.
 *
 * Functions marked "in a child" may block for as long as that process likes: its memory can be a file of a
 * file system of its own, and the last close of its connection can linger. They are called in an errand
 * (errand.h). The others do not block.
 *
 * All is read through /proc and pidfd_getfd(2), which the kernel allows to a process that may trace the
 * caller: one of the same user, or with CAP_SYS_PTRACE (ptrace(2)). A root without that capability (the
 * default of containers) reads as the caller's user instead (setfsuid(2)); only the options of its socket
 * stay unknown then. No path that the caller names is looked up in a file system.
 *
 * What was read is certainly the caller's only while its call still waits: check that (adopt_is_waiting())
 * before using it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLER_PATH_BYTES 512

/* Our own identity for files, kept while the caller's is borrowed. */
struct caller_identity {
        bool is_borrowed, has_mask;
        uid_t user; /* to go back to */
        gid_t group;
        mode_t mask;
        int death_signal;
};

/* From here on open and make files as the caller would: with its user, group and umask, as far as we may. */
void caller_identity_borrow(pid_t thread, struct caller_identity *out);

/* Go back to our own identity. Harmless when none is borrowed. */
void caller_identity_return(struct caller_identity *identity);
#define CLEANUP_IDENTITY __attribute__((cleanup(caller_identity_return)))

/* In a child: copy `size` bytes at `address` of the thread's memory. Returns 0 or an errno: EACCES or EPERM
 * when it may not be read, EIO or EFAULT when there is no such memory, ESRCH or ENOENT when the thread has
 * gone. */
int caller_read_memory(pid_t thread, uint64_t address, void *out, size_t size);

/* In a child: copy a string with its NUL. Returns 0 or an errno: as above, or ENAMETOOLONG when none ends
 * within `size` bytes. */
int caller_read_string(pid_t thread, uint64_t address, char *out, size_t size);

#define CALLER_OPTIONS_MAX 16

struct caller_option {
        int value[2];
        uint32_t bytes; /* 0: not known */
};

struct caller_socket {
        pid_t process;     /* the process of the thread; 0: not known */
        uint64_t inode;    /* which socket it is */
        int domain, type;  /* AF_*, SOCK_*; 0: not known */
        int flags;         /* O_NONBLOCK, O_CLOEXEC; -1: not known */
        bool is_elsewhere; /* in another network namespace than ours */
        /* SO_REUSEPORT, IPV6_V6ONLY, SO_BINDTOIFINDEX; -1: not known */
        int reuses_port, ipv6_only, device;
        struct caller_option options[CALLER_OPTIONS_MAX];
};
#define CALLER_SOCKET_NONE                                                                                   \
        ((struct caller_socket){.flags = -1, .reuses_port = -1, .ipv6_only = -1, .device = -1})

/* In a child: look at descriptor `number` of the thread. Returns 0 or an errno: ENOTSOCK when it is no
 * socket, ENOENT when it is not open or the thread has gone, EACCES or EPERM when it may not be seen. */
int caller_look(pid_t thread, int number, struct caller_socket *out);

/* Set those options on the socket `to` that an app sets before bind and that accepted connections inherit.
 * Options that concern the address are not among them: the listener's count. */
void caller_options_give(const struct caller_socket *socket, int to);

/* The inode of the socket at that descriptor; 0 with errno when it is none, not open, or not to be seen. */
uint64_t caller_inode(pid_t thread, int number);

/* Make a path that the caller names absolute, as text, seen from our root. Returns false when that cannot be
 * told: its root or mount namespace is another one, or the result is too long. */
bool caller_path(pid_t thread, const char *path, char out[static CALLER_PATH_BYTES]);
