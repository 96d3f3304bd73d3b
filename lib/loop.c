/* epoll(7), level-triggered: see loop.h. Runs in PID 1: it never gives up on an error. */

#include "lib/loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"

#define LOOP_EVENTS_MAX      8
#define LOOP_TIMERS_PER_TURN 64      /* then descriptors get their turn */
#define LOOP_WAIT_MS_MAX     3600000 /* an hour: far deadlines are re-computed on the way */
#define LOOP_ERROR_PAUSE_MS  50      /* should epoll_wait itself fail: do not spin */

int loop_init(struct loop *loop, struct error *error) {
        loop->timers = NULL;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll_fd < 0)
                return error_set(error, errno, "make the event loop (epoll_create1)");
        return 0;
}

void loop_deinit(struct loop *loop) {
        fd_cleanup(&loop->epoll_fd);
}

int loop_add(struct loop *loop, struct loop_source *source, struct error *error) {
        struct epoll_event event = {.events = source->events ? source->events : EPOLLIN, .data.ptr = source};

        int result = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event);

        if (result < 0 && errno == EEXIST) /* it could not be removed before: what is waited for counts */
                result = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
        if (result < 0)
                return error_set(error, errno, "watch descriptor %d (epoll_ctl)", source->fd);
        return 0;
}

void loop_remove(struct loop *loop, struct loop_source *source) {
        if (source->fd >= 0)
                (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer) {
        struct loop_timer **at = &loop->timers;

        if (!timer->is_set)
                return;
        while (*at && *at != timer)
                at = &(*at)->next;
        assert(*at); /* set in another loop */
        *at = timer->next;
        timer->next = NULL;
        timer->is_set = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ns) {
        struct loop_timer **at = &loop->timers;

        loop_timer_clear(loop, timer);
        if (deadline_ns == NS_FOREVER)
                return;
        while (*at && (*at)->deadline_ns <= deadline_ns)
                at = &(*at)->next;
        timer->deadline_ns = deadline_ns;
        timer->next = *at;
        timer->is_set = true;
        *at = timer;
}

/* Call the timers that are due. One that its handler sets again for a time that has passed waits for the next
 * turn. */
static void timers_fire(struct loop *loop) {
        int64_t now_ns = time_now_ns();
        int fired = 0;

        while (loop->timers && loop->timers->deadline_ns <= now_ns && fired++ < LOOP_TIMERS_PER_TURN) {
                struct loop_timer *timer = loop->timers;

                loop_timer_clear(loop, timer);
                timer->on_due(timer);
        }
}

static int epoll_timeout_ms(int64_t deadline_ns) {
        int64_t left;

        if (deadline_ns == NS_FOREVER)
                return -1;
        left = deadline_ns - time_now_ns();
        if (left <= 0)
                return 0;
        left = (left + NS_PER_MS - 1) / NS_PER_MS;
        return left > LOOP_WAIT_MS_MAX ? LOOP_WAIT_MS_MAX : (int)left;
}

void loop_wait(struct loop *loop, int64_t deadline_ns) {
        struct epoll_event events[LOOP_EVENTS_MAX];
        int count;

        if (loop->timers && loop->timers->deadline_ns < deadline_ns)
                deadline_ns = loop->timers->deadline_ns;
        /* Every signal is blocked: only being stopped, continued or traced interrupts the wait, and that is
         * no event. */
        do
                count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, epoll_timeout_ms(deadline_ns));
        while (count < 0 && errno == EINTR);
        if (count < 0)
                usleep(LOOP_ERROR_PAUSE_MS * 1000);
        for (int i = 0; i < count; i++) {
                struct loop_source *source = events[i].data.ptr;

                /* An earlier handler of this round may have removed it: then its descriptor is -1. */
                if (source->fd >= 0)
                        source->on_readable(source);
        }
        if (loop->timers)
                timers_fire(loop);
}
