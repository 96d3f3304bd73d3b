#pragma once

/* An errand: a piece of work in a child process, because it may block. An app, or a stranger, can make a page
 * of memory, a file or a connection whose read or close(2) takes as long as they like; the supervisor must
 * not wait for that.
 *
 * The child has only those descriptors open that it was given. It sends its answer and ends when the
 * supervisor has read that; or it stays for a moment, so that the next request of its owner needs no fork. A
 * child that blocks for ever keeps its place in the table until it is killed and reaped. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "supervisor/core/fleet.h"
#include "supervisor/process/children.h"

#define ERRANDS_MAX      (2 * FLEET_INSTANCES_MAX + 64)
#define ERRAND_BYTES_MAX 2048

/* In the supervisor: the answer. NULL: the child ended without one. */
typedef void errand_handler(void *owner, const void *answer, size_t bytes);

/* In the child: do the work with `fd`, and write the answer to `out`, of `room` bytes. Returns its length, or
 * 0 for no answer. */
typedef size_t errand_work(const void *request, int fd, void *out, size_t room);

struct errand_order {
        errand_work *work;
        const void *request;
        /* 0: one request, and the child ends; else it stays, for requests of that length */
        size_t request_bytes;
        int fd; /* the only descriptor that stays open in the child, borrowed; -1: none */
        errand_handler *on_done;
        void *owner;
};

struct errand {
        bool is_used;
        struct child child;
        struct errands *errands;
        struct loop_source source; /* channel to the child; fd -1: answered for good, or called off */
        struct loop_timer idle;    /* set: the child waits for another request */
        errand_handler *on_done;
        void *owner;
        bool stays;
};

/* All zero but for what errands_open() sets. */
struct errands {
        struct errand list[ERRANDS_MAX];
        struct loop *loop;
        struct children *children;
        size_t places; /* of `list` that were ever used */
};

/* Call this first. `loop` and `children` are borrowed for as long as errands run. */
void errands_open(struct errands *errands, struct loop *loop, struct children *children);

/* Start an errand. on_done is called once, from the loop, unless the errand is called off. Returns 0, or -1
 * with error. */
int errand_start(struct errands *errands, const struct errand_order *order, struct error *error);

/* How many errands of this owner hold a place. */
size_t errands_of(const struct errands *errands, const void *owner);

/* Kill all errands of this owner: its handler is not called any more. */
void errands_call_off(struct errands *errands, const void *owner);
