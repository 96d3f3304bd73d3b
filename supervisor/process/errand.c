/* Child processes for work that may block: see errand.h. Started in the supervisor by notify/ and adopt/;
 * errand_run() runs in the child.
 *
 * A process and not a thread: a thread would share the table of descriptors, and one that hangs cannot be
 * ended. The child ends only after its answer was read, so that what ends with it (a descriptor whose end
 * somebody waits for) ends after the supervisor has handled the answer. */

#include "supervisor/process/errand.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"

#define HEARD_TIMEOUT_MS 1000 /* another child may have a copy of the other end, so poll(2) has a limit */
#define IDLE_NS          (100 * NS_PER_MS) /* for so long a child waits for another request */

static void place_release(struct errand *errand) {
        if (errand->child.pid == 0 && errand->source.fd < 0)
                errand->is_used = false;
}

static void channel_close(struct errand *errand) {
        loop_timer_clear(errand->errands->loop, &errand->idle);
        loop_remove(errand->errands->loop, &errand->source);
        fd_cleanup(&errand->source.fd);
}

static void idle_on_due(struct loop_timer *timer) {
        struct errand *errand = timer->owner;

        channel_close(errand);
        place_release(errand);
}

static void channel_on_readable(struct loop_source *source) {
        static _Alignas(max_align_t) char answer[ERRAND_BYTES_MAX];
        struct errand *errand = source->owner;
        ssize_t got = recv(source->fd, answer, sizeof answer, MSG_DONTWAIT);
        bool was_idle = errand->idle.is_set;

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (got > 0 && errand->stays && !was_idle) {
                loop_timer_set(errand->errands->loop, &errand->idle, time_add(time_now_ns(), IDLE_NS));
        } else {
                channel_close(errand);
                place_release(errand);
        }
        if (!was_idle)
                errand->on_done(errand->owner, got > 0 ? answer : NULL, got > 0 ? (size_t)got : 0);
}

static _Noreturn void errand_run(const struct errand_order *order, int channel, pid_t parent) {
        static _Alignas(max_align_t) char answer[ERRAND_BYTES_MAX];
        static _Alignas(max_align_t) char request[ERRAND_BYTES_MAX];
        struct pollfd heard = {.fd = channel, .events = POLLIN};
        const void *asked = order->request;
        size_t bytes;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_STATUS_SUPERVISOR);
        fd_close_others(channel, order->fd);
        for (;;) {
                bytes = order->work(asked, order->fd, answer, sizeof answer);
                if (!bytes || send(channel, answer, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
                        _exit(0);
                if (poll(&heard, 1, order->request_bytes ? -1 : HEARD_TIMEOUT_MS) != 1 ||
                        !order->request_bytes ||
                        recv(channel, request, sizeof request, 0) != (ssize_t)order->request_bytes)
                        _exit(0);
                asked = request;
        }
}

static void child_on_ended(struct child *child, int wait_status) {
        (void)wait_status;
        place_release(child->owner);
}

static struct errand *place_find(struct errands *errands) {
        for (size_t i = 0; i < errands->places; i++)
                if (!errands->list[i].is_used)
                        return &errands->list[i];
        return errands->places < ERRANDS_MAX ? &errands->list[errands->places++] : NULL;
}

/* Send the request to a child of this owner that waits for one. Returns false when there is none. */
static bool idle_send(struct errands *errands, const struct errand_order *order) {
        for (size_t i = 0; order->request_bytes && i < errands->places; i++) {
                struct errand *errand = &errands->list[i];

                if (!errand->is_used || errand->owner != order->owner || !errand->idle.is_set)
                        continue;
                loop_timer_clear(errands->loop, &errand->idle);
                if (send(errand->source.fd, order->request, order->request_bytes,
                            MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)order->request_bytes)
                        return true;
                idle_on_due(&errand->idle);
        }
        return false;
}

int errand_start(struct errands *errands, const struct errand_order *order, struct error *error) {
        struct errand *errand = place_find(errands);
        CLEANUP_FD int ours = -1;
        CLEANUP_FD int theirs = -1;
        pid_t parent = getpid(), pid;
        int ends[2];

        if (idle_send(errands, order))
                return 0;
        if (!errand)
                return error_set(error, EAGAIN, "start a process for an errand");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return error_set(error, errno, "make a channel for an errand (socketpair)");
        ours = ends[0];
        theirs = ends[1];
        *errand = (struct errand){.errands = errands,
                .child = {.on_ended = child_on_ended, .owner = errand},
                .source = {.fd = ours, .on_readable = channel_on_readable, .owner = errand},
                .idle = {.on_due = idle_on_due, .owner = errand},
                .on_done = order->on_done,
                .owner = order->owner,
                .stays = order->request_bytes > 0};
        if (loop_add(errands->loop, &errand->source, error) < 0)
                return -1;
        pid = fork();
        if (pid == 0)
                errand_run(order, theirs, parent);
        if (pid < 0) {
                error_set(error, errno, "start a process for an errand (fork)");
                loop_remove(errands->loop, &errand->source);
                return -1;
        }
        errand->is_used = true;
        children_add(errands->children, &errand->child, pid);
        (void)fd_take(&ours);
        return 0;
}

void errands_open(struct errands *errands, struct loop *loop, struct children *children) {
        errands->loop = loop;
        errands->children = children;
}

size_t errands_of(const struct errands *errands, const void *owner) {
        size_t count = 0;

        for (size_t i = 0; i < errands->places; i++)
                count += errands->list[i].is_used && errands->list[i].owner == owner;
        return count;
}

void errands_call_off(struct errands *errands, const void *owner) {
        for (size_t i = 0; i < errands->places; i++) {
                struct errand *errand = &errands->list[i];

                if (!errand->is_used || errand->owner != owner)
                        continue;
                if (errand->child.pid)
                        (void)kill(errand->child.pid, SIGKILL);
                if (errand->source.fd >= 0)
                        channel_close(errand);
                errand->owner = NULL;
                place_release(errand);
        }
}
