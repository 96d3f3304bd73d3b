#pragma once

/* The process that waits in a reported system call: its memory and the socket that it named.
 *
 * All of it is read through /proc and pidfd_getfd(2), which the kernel allows to who might trace the process: one of the same
 * user, or with CAP_SYS_PTRACE. A root without that capability (the default of containers) reads as the caller's user instead
 * (setfsuid(2)); only the options of its socket stay unknown then. Nothing here waits, and nothing of the
 * caller's choice is opened or looked up in a file system.
 *
 * What is read is only true while the call still waits: ask the kernel (SECCOMP_IOCTL_NOTIF_ID_VALID) before using it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLER_PATH_BYTES 512

/* What files are opened and made as, while it is the caller's instead of our own. */
struct caller_identity {
        bool is_borrowed, has_mask;
        uid_t user; /* to go back to */
        gid_t group;
        mode_t mask;
        int death_signal;
};

/* From here on files are opened and made as the caller would make them: its user, group and umask, as far as we may. */
void caller_identity_borrow(pid_t thread, struct caller_identity *out);
void caller_identity_return(struct caller_identity *identity);
#define CLEANUP_IDENTITY __attribute__((cleanup(caller_identity_return)))

/* Copy `size` bytes at `address` of the thread's memory. Returns 0 or an errno: EACCES or EPERM when it may not be read, EIO or
 * EFAULT when there is no such memory, ESRCH or ENOENT when the thread has gone. */
int caller_read_memory(pid_t thread, uint64_t address, void *out, size_t size);

/* Copy a string with its NUL. Returns 0 or an errno: as above, or ENAMETOOLONG when none ends within `size` bytes. */
int caller_read_string(pid_t thread, uint64_t address, char *out, size_t size);

struct caller_socket {
        pid_t process;     /* the process of the thread; 0: not known */
        uint64_t inode;    /* which socket it is */
        int domain, type;  /* AF_*, SOCK_*; 0: not known */
        int flags;         /* O_NONBLOCK, O_CLOEXEC; -1: not known */
        int fd;            /* a duplicate of it, to be closed; -1: not permitted */
        bool is_elsewhere; /* in another network namespace than ours */
};
#define CALLER_SOCKET_NONE ((struct caller_socket){.fd = -1, .flags = -1})

/* Look at descriptor `number` of the thread. Returns 0 or an errno: ENOTSOCK when it is no socket, ENOENT when it is not open or
 * the thread has gone, EACCES or EPERM when it may not be seen. */
int caller_look(pid_t thread, int number, struct caller_socket *out);
void caller_socket_deinit(struct caller_socket *socket);
#define CLEANUP_CALLER __attribute__((cleanup(caller_socket_deinit)))

/* The inode of the socket at that descriptor; 0 with errno when it is none, not open, or not to be seen. */
uint64_t caller_inode(pid_t thread, int number);

/* Make a path that the caller names absolute, as text, seen from our root. Returns false when that cannot be told: its root or
 * mount namespace is another one, or the result is too long. */
bool caller_path(pid_t thread, const char *path, char out[static CALLER_PATH_BYTES]);
