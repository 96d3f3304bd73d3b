#pragma once

/* One reported call on its way to its answer: what adopt.c and bind.c share. */

#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/adopt.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/adopt/caller.h"
#include "supervisor/process/errand.h"

/* A call is answered with 0, an errno below 0, or this: the kernel performs it. */
enum { ADOPT_GOES_ON = 1 };

/* What the child read of one call: all that the caller can change or delay. */
struct adopt_sight {
        enum adopt_call kind; /* it and the next three: of a socketcall(2), the call that it stands for */
        int number;
        uint64_t address, length;
        int memory_code; /* 0: `memory` has been read; else an errno */
        union {
                char path[CALLER_PATH_BYTES];
                struct sockaddr_storage socket_address;
        } memory;
        int socket_code; /* 0 or an errno */
        struct caller_socket socket;
};
static_assert(sizeof(struct adopt_sight) <= ERRAND_BYTES_MAX, "an answer of an errand");

/* Have a child read the call, which may block for as long as the caller likes. Returns 0, and on_seen gets
 * the tree as owner and a struct adopt_sight, or no answer; or -1 with error. */
int adopt_look(const struct adopt_request *call, errand_handler *on_seen, struct error *error);

/* ioctl(2) on the descriptor of a tree; the C libraries disagree about the type of the request. Being stopped
 * or traced interrupts it; a RECV is not repeated then: the call may be gone, and RECV would block. */
static inline int adopt_ioctl(const struct adopt_tree *tree, unsigned long request, void *argument) {
        long result;

        do
                result = syscall(SYS_ioctl, tree->source.fd, request, argument);
        while (result < 0 && errno == EINTR && request != SECCOMP_IOCTL_NOTIF_RECV);
        return (int)result;
}

/* Returns the answer to a bind; if that is 0, the generation's socket has been put in place. Does not
 * block. */
int adopt_answer_bind(struct adopt_request *call, const struct adopt_sight *sight);

/* Returns the answer to a connect. */
int adopt_answer_connect(const struct adopt_request *call, const struct adopt_sight *sight);

/* True when every address of the rules was bound: then no connect is of interest. */
bool adopt_has_bound_all(const struct adopt_tree *tree);

/* Read the address of a bind or a connect. Returns false when it cannot be read: the call goes on. */
bool adopt_address_take(
        const struct adopt_request *call, const struct adopt_sight *sight, struct socket_address *out);

/* Before a start in the slot: vacate its addresses, where the one before it has shown that it must find them
 * so. */
void adopt_vacate(struct adopt *adopt, uint32_t slot);

/* Returns the answer to the removal of a file: 0, without removing it, for that of a listener's socket. */
int adopt_answer_unlink(const struct adopt_request *call, const struct adopt_sight *sight);

/* True while the caller waits for the answer: only then what was read of it is certainly its own. */
static inline bool adopt_is_waiting(const struct adopt_request *call) {
        uint64_t id = call->id;

        return adopt_ioctl(call->tree, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* True for an errno by which we could not read the caller, false for one by which its call was wrong. */
static inline bool adopt_is_our_lack(int code) {
        return code == EACCES || code == EPERM || code == EMFILE || code == ENFILE || code == ENOMEM;
}

/* ---- tree.c ---- */

/* Give `adopt` its table of trees. */
void adopt_trees_open(struct adopt *adopt);

/* A place for the tree of one more instance; NULL when there is none. */
struct adopt_tree *adopt_tree_take(struct adopt *adopt);

/* End the watch on a tree. Reported calls of its processes fail with ENOSYS from then on (seccomp(2)). */
void adopt_tree_close(struct adopt_tree *tree);

/* Make the address of a unix stream socket from a path as the caller names it. Returns false when where it
 * leads cannot be told. */
bool adopt_path_address(const struct adopt_request *call, const char *path, struct socket_address *out);

/* The tree's socket with this inode; NULL when there is none, or `inode` is 0. */
struct adopt_socket *adopt_socket_by_inode(struct adopt_tree *tree, uint64_t inode);

/* Log, once per instance, that we cannot do `what` to the process because of the errno `code`. */
void adopt_complain(struct adopt_tree *tree, pid_t thread, int code, const char *what);

/* ---- unnamed.c ---- */

/* A bind goes on that no rule names: remember it, and log the first one of a generation. */
void adopt_note_unnamed(
        struct adopt_tree *tree, const struct adopt_sight *sight, const struct socket_address *address);
