#pragma once

/* The event loop of the supervisor: a handful of descriptors and one deadline, level-triggered, no allocation. */

#include <stdint.h>

#include "lib/error.h"

struct loop_source;
typedef void loop_handler(struct loop_source *source);

/* Embedded in its owner; must stay in place while it is added. */
struct loop_source {
        int fd;                    /* borrowed; -1 while not in use */
        loop_handler *on_readable; /* called when the descriptor is readable or hung up */
        void *owner;
};

struct loop {
        int epoll_fd;
};

int loop_init(struct loop *loop, struct error *error);
void loop_deinit(struct loop *loop);
int loop_add(struct loop *loop, struct loop_source *source, struct error *error);

/* Stop watching; the descriptor itself stays open. Safe when it was never added. Handlers may call it, for any source. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Wait until something is readable or `deadline_ns` (monotonic; NS_FOREVER: no time limit, no wake-up) is reached, then call the
 * handlers of what is. A failure of the wait itself returns as if nothing had happened, after a pause: the caller loops. */
void loop_wait(struct loop *loop, int64_t deadline_ns);
