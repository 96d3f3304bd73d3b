/* Requests that are cut: connections of an instance that was told to stop, which end without an answer. See
 * listeners.h. Called before its signal is sent and when it is gone, in the supervisor.
 *
 * Whoever looks only now and then cannot tell a server that answers and ends from one that just ends. The
 * kernel can: it tells of every tcp socket that is destroyed, with its last counters, to who wants to hear it
 * (SKNLGRP_INET_TCP_DESTROY, Linux 4.4; no right is needed). Whose it was is known of those that the last
 * look has seen, by their cookies. Where nobody has looked (drain_timeout = 0, an emergency, the end, a
 * shared socket) any connection of our ports that ends meanwhile counts: one of another instance that ends
 * is answered, or its client has gone.
 *
 * A connection that somebody else still holds is not cut. Where the kernel does not tell, nothing is
 * counted. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define READ_BYTES     8192
#define READS_PER_TURN 64
#define QUEUE_BYTES    (1 << 20)
#define WAIT_NS        (4 * NS_PER_MS)  /* for what the kernel tells a moment after a process is gone */
#define LATE_NS        (50 * NS_PER_MS) /* where nobody waits for the number */

/* net/tcp_states.h */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE_WAIT  8

/* ---- what has become of a connection ---- */

static struct listener_drain *drain_that_knows(struct listeners *listeners, uint64_t cookie) {
        struct listener_drain *any = NULL;

        for (size_t i = 0; i < listeners->drain_places; i++) {
                struct listener_drain *drain = &listeners->drains[i];

                if (!drain->is_used || !drain->is_ending)
                        continue;
                if (drain_knows(&drain->drain, cookie))
                        return drain;
                if (drain->takes_all && !any)
                        any = drain;
        }
        return any;
}

static void connection_judge(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length) {
        struct listener_drain *drain;
        struct drain_sample sample;

        if (!inquiry_sample_read(message, attributes, length, &sample))
                return;
        drain = drain_that_knows(context, sample.cookie);
        if (!drain)
                return;
        if (drain_knows(&drain->drain, sample.cookie)) {
                drain->cut += drain_is_cut(&drain->drain, &sample, time_now_ns());
        } else {
                drain_look_resume(&drain->drain, time_now_ns());
                drain->cut += drain_is_unanswered(&drain->drain, &sample);
        }
}

/* ---- hearing it ---- */

static void ends_parse(struct listeners *listeners, const uint8_t *bytes, size_t length) {
        const size_t fixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct inet_diag_msg));
        struct nlmsghdr header;
        struct inet_diag_msg message;

        for (size_t at = 0; at + sizeof header <= length; at += NLMSG_ALIGN(header.nlmsg_len)) {
                memcpy(&header, bytes + at, sizeof header);
                if (header.nlmsg_len > length - at || header.nlmsg_len < fixed)
                        return;
                memcpy(&message, bytes + at + NLMSG_HDRLEN, sizeof message);
                connection_judge(listeners, &message, bytes + at + fixed, header.nlmsg_len - fixed);
        }
}

/* Read a turn's share. Returns true when there is nothing more for now. */
static bool ends_read(struct listeners *listeners) {
        uint8_t bytes[READ_BYTES];

        for (int i = 0; i < READS_PER_TURN; i++) {
                ssize_t length = recv(listeners->ends.fd, bytes, sizeof bytes, 0);

                if (length > 0)
                        ends_parse(listeners, bytes, (size_t)length);
                else if (length == 0 || (errno != ENOBUFS && errno != EINTR)) /* some were lost: go on */
                        return true;
        }
        return false;
}

static void ends_on_readable(struct loop_source *source) {
        (void)ends_read(source->owner);
}

/* Only of our ports: else every connection of the machine would wake us up. */
static int ends_filter(int fd, const struct listeners *listeners) {
        const uint32_t place = NLMSG_HDRLEN + offsetof(struct inet_diag_msg, id.idiag_sport);
        struct sock_filter program[LISTENERS_MAX + 3];
        struct sock_fprog filter = {.filter = program};

        program[filter.len++] = (struct sock_filter){BPF_LD | BPF_H | BPF_ABS, 0, 0, place};
        for (size_t i = 0; i < listeners->count; i++) {
                const uint16_t port = socket_address_port(&listeners->list[i].address);
                const uint8_t to_end = (uint8_t)(listeners->count - i);

                program[filter.len++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, to_end, 0, port};
        }
        program[filter.len++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, 0};
        program[filter.len++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, UINT32_MAX};
        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

/* Returns false when the kernel does not tell. */
static bool ends_open(struct listeners *listeners) {
        const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                .nl_groups = 1U << (SKNLGRP_INET_TCP_DESTROY - 1) | 1U << (SKNLGRP_INET6_TCP_DESTROY - 1)};
        CLEANUP_FD int fd = -1;
        struct error error;

        if (listeners->ends.on_readable)
                return true;
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        if (fd < 0 || ends_filter(fd, listeners) < 0)
                return false;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){QUEUE_BYTES}, sizeof(int));
        if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return false;
        listeners->ends = (struct loop_source){.fd = fd, .on_readable = ends_on_readable, .owner = listeners};
        if (loop_add(listeners->rooms.loop, &listeners->ends, &error) < 0) {
                listeners->ends.on_readable = NULL;
                return false;
        }
        (void)fd_take(&fd);
        return true;
}

/* When nobody is ending any more. */
static void ends_close(struct listeners *listeners) {
        if (!listeners->ends.on_readable)
                return;
        for (size_t i = 0; i < listeners->drain_places; i++)
                if (listeners->drains[i].is_used && listeners->drains[i].is_ending)
                        return;
        loop_remove(listeners->rooms.loop, &listeners->ends);
        fd_cleanup(&listeners->ends.fd);
        listeners->ends.on_readable = NULL;
}

/* ---- from the signal to the end ---- */

/* Has the instance taken connections that are seen here? */
static bool has_clients(struct listeners *listeners, const struct seat *seat) {
        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];
                const struct listener_member *member = listener_member_of(listener, seat);
                const int family = listener->address.generic.sa_family;

                if ((family == AF_INET || family == AF_INET6) && listener->address.type == SOCK_STREAM &&
                        (listener->why_shared || (member && member->had_clients)))
                        return true;
        }
        return false;
}

/* Its place; NULL: nothing can be heard of it. */
static struct listener_drain *drain_need(struct listeners *listeners, const struct instance *instance) {
        const struct seat seat = instance_seat(instance);
        struct listener_drain *drain = listener_drain_of(listeners, instance->number);

        if (drain && (drain->is_ending || instance->is_emptying)) /* the last look is a moment old */
                return drain;
        if (drain)
                listener_drain_release(drain);
        drain = has_clients(listeners, &seat) ? listener_drain_new(listeners, instance) : NULL;
        if (!drain)
                return NULL;
        drain->takes_all = true;
        return drain;
}

void listeners_stopping(struct listeners *listeners, const struct instance *instance) {
        struct listener_drain *drain = drain_need(listeners, instance);

        if (!drain || drain->is_ending)
                return;
        loop_timer_clear(listeners->rooms.loop, &drain->timer);
        inquiry_end(&drain->inquiry);
        drain->is_ending = (drain->takes_all || drain->drain.count > 0) && ends_open(listeners);
        if (!drain->is_ending)
                listener_drain_release(drain);
}

/* Those that may have had a request, have lost their process, and have not been destroyed yet. */
static void closing_judge(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length) {
        if (message->idiag_state != STATE_ESTABLISHED && message->idiag_state != STATE_CLOSE_WAIT)
                connection_judge(context, message, attributes, length);
}

static size_t open_count(const struct listener_drain *drain) {
        size_t count = 0;

        for (size_t i = 0; i < drain->open_count; i++)
                count += drain_knows(&drain->drain, drain->open[i].cookie);
        return count;
}

/* Hear the last of it, at once: a rotation may be done with its end. */
static void ends_await(struct listeners *listeners, struct listener_drain *drain) {
        const int64_t until_ns = time_add(time_now_ns(), WAIT_NS);
        struct pollfd readable = {.fd = listeners->ends.fd, .events = POLLIN};

        while (!ends_read(listeners) && time_now_ns() < until_ns)
                continue;
        for (size_t i = 0; i < drain->open_count && time_now_ns() < until_ns; i++)
                if (drain_knows(&drain->drain, drain->open[i].cookie))
                        listener_diag_one(
                                drain->open[i].family, &drain->open[i].id, closing_judge, listeners);
        while (open_count(drain) > 0 && time_now_ns() < until_ns)
                if (poll(&readable, 1, 1) > 0)
                        (void)ends_read(listeners);
}

static void cut_tell(struct listeners *listeners, struct listener_drain *drain) {
        if (drain->cut)
                log_write(LOG_WARNING, "%zu request%s of generation %llu %s cut: no answer before the end",
                        drain->cut, drain->cut == 1 ? "" : "s", (unsigned long long)drain->seat.generation,
                        drain->cut == 1 ? "was" : "were");
        listeners->cut += drain->cut;
        listener_drain_release(drain);
        ends_close(listeners);
}

static void late_on_due(struct loop_timer *timer) {
        struct listener_drain *drain = timer->owner;

        cut_tell(drain->listeners, drain);
}

void listeners_ended(struct listeners *listeners, uint64_t instance) {
        struct listener_drain *drain = listener_drain_of(listeners, instance);

        if (!drain || drain->has_ended)
                return;
        drain->has_ended = true;
        if (drain->is_ending && drain->takes_all) {
                drain->timer = (struct loop_timer){.on_due = late_on_due, .owner = drain};
                loop_timer_set(listeners->rooms.loop, &drain->timer, time_add(time_now_ns(), LATE_NS));
                return;
        }
        if (drain->is_ending)
                ends_await(listeners, drain);
        cut_tell(listeners, drain);
}

size_t listeners_cut(const struct listeners *listeners) {
        return listeners->cut;
}

void listener_cuts_close(struct listeners *listeners) {
        if (listeners->ends.on_readable)
                (void)ends_read(listeners);
        for (size_t i = 0; i < listeners->drain_places; i++)
                if (listeners->drains[i].is_used)
                        cut_tell(listeners, &listeners->drains[i]);
}
