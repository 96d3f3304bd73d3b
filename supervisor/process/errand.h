#pragma once

/* A short errand in a process of its own: for what may hold up whoever does it. An app, or a stranger, can
 * make a page of memory, a file or a connection whose read or close(2) takes as long as they like; the
 * supervisor must not be the one that waits.
 *
 * The child has nothing open but what it was given, says its answer, and ends when the supervisor has heard
 * it; or stays a moment for the next request of its owner, which then costs no fork. One that never comes
 * back holds its place until it is reaped. */

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

/* In the child: do it with `fd`, and write the answer to `out`. Returns its length, above 0; or 0, and there
 * is none. */
typedef size_t errand_work(const void *request, int fd, void *out, size_t room);

struct errand_order {
        errand_work *work;
        const void *request;
        /* 0: one request, and the child ends; else it stays, for requests of that length */
        size_t request_bytes;
        int fd; /* all that stays open in the child; -1: nothing */
        errand_handler *on_done;
        void *owner;
};

struct errand {
        bool is_used;
        struct child child;
        struct errands *errands;
        struct loop_source source; /* fd -1: over, or called off */
        struct loop_timer idle;    /* set: it waits for another request */
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

/* Before anything else here. `loop` and `children` are borrowed for as long as errands run. */
void errands_open(struct errands *errands, struct loop *loop, struct children *children);

/* Begin one. on_done is called once, from the loop, unless it is called off. Returns 0, or -1 with error. */
int errand_start(struct errands *errands, const struct errand_order *order, struct error *error);

/* How many of this owner's have not ended yet. */
size_t errands_of(const struct errands *errands, const void *owner);

/* End what runs for this owner: its handler is not called any more. */
void errands_call_off(struct errands *errands, const void *owner);
