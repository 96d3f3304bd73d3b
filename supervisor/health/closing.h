#pragma once

/* Connections of health checks that are closed in order: we send our end (FIN) and read until the app's. */

#include <stddef.h>
#include <stdint.h>

#include "lib/loop.h"

#define LEAVING_MAX 32

/* One connection that ends. */
struct leaving_connection {
        struct loop_source source; /* no owner: not in use */
        struct loop_timer timer;
        size_t bytes; /* that came and were thrown away */
};

struct leaving {
        struct loop *loop;
        struct leaving_connection list[LEAVING_MAX];
};

/* End a stream connection, tcp or unix, in any state: send its end, discard what still comes, and close it
 * when the peer ends it, or after five seconds. It is never reset, unless the peer sends after that.
 * `take_fd` may be -1. */
void leaving_begin(struct leaving *leaving, struct loop *loop, int take_fd);
