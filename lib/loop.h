#pragma once

/* The event loop of the supervisor: a handful of descriptors and timers, level-triggered, no allocation. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct loop_source;
typedef void loop_handler(struct loop_source *source);

/* Embedded in its owner; must stay in place while it is added. */
struct loop_source {
        int fd;                    /* borrowed; -1 while not in use */
        loop_handler *on_readable; /* called when one of `events` has come, or an error or hang-up */
        void *owner;
        uint32_t events; /* epoll_ctl(2); 0: EPOLLIN */
};

struct loop_timer;
typedef void loop_timer_handler(struct loop_timer *timer);

/* Embedded in its owner; must stay in place while it is set. All zero is a timer that is off. */
struct loop_timer {
        loop_timer_handler *on_due; /* called once; may set it again */
        void *owner;
        int64_t deadline_ns; /* monotonic; read it only while it is set */
        struct loop_timer *next;
        bool is_set;
};

struct loop {
        int epoll_fd;
        struct loop_timer *timers; /* the earliest first; a list, for there are a few dozen at most */
};

/* Open the epoll(7) descriptor. Returns 0, or -1 with error. */
int loop_init(struct loop *loop, struct error *error);

/* Close it. Handlers are not called any more. */
void loop_deinit(struct loop *loop);

/* Watch source->fd; the source is borrowed and stays in place until loop_remove(). Returns 0, or -1 with
 * error. */
int loop_add(struct loop *loop, struct loop_source *source, struct error *error);

/* Stop watching; the descriptor itself stays open. Safe when it was never added. Handlers may call it, for
 * any source. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Call on_due when `deadline_ns` has come; a timer that was set is moved. NS_FOREVER turns it off. Handlers
 * may call both. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ns);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* Wait until a descriptor is ready, a timer is due or `deadline_ns` (monotonic; NS_FOREVER: no limit) is
 * reached, then call the handlers of descriptors, then those of timers. When epoll_wait(2) itself fails, it
 * returns after a pause: the caller loops. */
void loop_wait(struct loop *loop, int64_t deadline_ns);
