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

/* What a call is answered with: 0, an errno below 0, or this. */
enum { ADOPT_GOES_ON = 1 };

/* What the child saw of one call: all that the caller has a hand in. */
struct adopt_sight {
        enum adopt_call kind; /* and what follows, as socketcall(2) says them */
        int number;
        uint64_t address, length;
        int memory_code; /* 0: what stands at the address is there; else an errno */
        union {
                char path[CALLER_PATH_BYTES];
                struct sockaddr_storage socket_address;
        } memory;
        int socket_code; /* 0 or an errno */
        struct caller_socket socket;
};
static_assert(sizeof(struct adopt_sight) <= ERRAND_BYTES_MAX, "an answer of an errand");

/* Have a child look at the call: it may take as long as the caller likes. Returns 0, and on_seen gets the
 * tree and a struct adopt_sight, or nothing; or -1 with error. */
int adopt_look(const struct adopt_request *call, errand_handler *on_seen, struct error *error);

/* ioctl(2) on the descriptor of a tree; the C libraries disagree about the type of the request. Being stopped
 * or traced interrupts it; a RECV is not repeated then, because what there was to receive may be gone, and it
 * would wait. */
static inline int adopt_ioctl(const struct adopt_tree *tree, unsigned long request, void *argument) {
        long result;

        do
                result = syscall(SYS_ioctl, tree->source.fd, request, argument);
        while (result < 0 && errno == EINTR && request != SECCOMP_IOCTL_NOTIF_RECV);
        return (int)result;
}

/* Decide a bind, and put the socket in place when it is ours to answer. Waits for nothing. */
int adopt_answer_bind(struct adopt_request *call, const struct adopt_sight *sight);

/* Decide the removal of a file: the name of a socket that we keep stays. */
int adopt_answer_unlink(const struct adopt_request *call, const struct adopt_sight *sight);

/* Does the call still wait? What was read of the caller is only true if it does. */
static inline bool adopt_is_waiting(const struct adopt_request *call) {
        uint64_t id = call->id;

        return adopt_ioctl(call->tree, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* What keeps us from looking, in contrast to what the caller did wrong. */
static inline bool adopt_is_our_lack(int code) {
        return code == EACCES || code == EPERM || code == EMFILE || code == ENFILE || code == ENOMEM;
}

/* ---- tree.c ---- */

void adopt_trees_open(struct adopt *adopt);

/* A place for the tree of one more instance; NULL when there is none. */
struct adopt_tree *adopt_tree_take(struct adopt *adopt);

/* Nothing of it is watched any more. Its processes get ENOSYS from then on, if there are any. */
void adopt_tree_close(struct adopt_tree *tree);

/* A stream address of that path as the caller sees it. Returns false when that cannot be told. */
bool adopt_path_address(const struct adopt_request *call, const char *path, struct socket_address *out);

struct adopt_socket *adopt_socket_by_inode(struct adopt_tree *tree, uint64_t inode);

/* Say once per instance what will not work. */
void adopt_complain(struct adopt_tree *tree, pid_t thread, int code, const char *what);
