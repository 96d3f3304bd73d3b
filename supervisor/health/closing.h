#pragma once

/* Connections of health checks that end in order: the app reads our end, and we read until its own. */

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

/* End a stream connection, tcp or unix, whatever state it is in: no more comes from us, what still comes is
 * thrown away, and it is closed at the peer's end or after five seconds. Never resets unless the peer sends
 * after that. -1 is nothing. */
void leaving_begin(struct leaving *leaving, struct loop *loop, int take_fd);
