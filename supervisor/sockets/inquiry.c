/* Asking the kernel for connections in a child: see inquiry.h. inquiry_work() runs in the child, with the
 * pipe as its only descriptor; the rest in the supervisor. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "supervisor/sockets/listener.h"

#define STATE_CLOSE_WAIT 8  /* net/tcp_states.h; linux/tcp.h has no names for them */
#define RECORDS          32 /* in one write */

static_assert(RECORDS * sizeof(struct inquiry_record) <= PIPE_BUF, "never torn: pipe(7)");

bool inquiry_sample_read(const struct inet_diag_msg *message, const uint8_t *attributes, size_t length,
        struct drain_sample *out) {
        const size_t wanted_bytes = offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof(uint64_t);
        struct tcp_info info = {0};
        size_t info_bytes = 0;
        const uint8_t *at = listener_attribute_find(attributes, length, INET_DIAG_INFO, &info_bytes);

        if (!at || info_bytes < wanted_bytes)
                return false;
        memcpy(&info, at, info_bytes < sizeof info ? info_bytes : sizeof info);
        *out = (struct drain_sample){
                .cookie = (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0],
                .received_bytes = info.tcpi_bytes_received,
                .sent_bytes = info.tcpi_bytes_sent,
                .received_ago_ms = info.tcpi_last_data_recv,
                .sent_ago_ms = info.tcpi_last_data_sent,
                .acknowledged_ago_ms = info.tcpi_last_ack_recv,
                .unread_bytes = message->idiag_rqueue,
                .unsent_bytes = info.tcpi_notsent_bytes,
                .is_half_closed = message->idiag_state == STATE_CLOSE_WAIT};
        return true;
}

/* ---- asking ---- */

/* Where records go: to a pipe, many at once, or to a handler. */
struct collector {
        bool wants_samples, is_blind;
        uint8_t tag;
        int fd; /* -1: to the handler */
        const struct inquiry *inquiry;
        size_t count;
        struct inquiry_record records[RECORDS];
};

static void collector_flush(struct collector *collector) {
        if (collector->count && collector->fd >= 0)
                (void)fd_write_full(
                        collector->fd, collector->records, collector->count * sizeof *collector->records);
        collector->count = 0;
}

static void collector_add(struct collector *collector, const struct inquiry_record *record) {
        if (collector->fd < 0) {
                collector->inquiry->on_record(collector->inquiry->owner, record);
                return;
        }
        collector->records[collector->count++] = *record;
        if (collector->count == RECORDS)
                collector_flush(collector);
}

static void connection_take(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length) {
        struct collector *collector = context;
        struct inquiry_record record = {.id = message->id, .family = message->idiag_family};

        if (!collector->wants_samples) {
                record.sample.cookie =
                        (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0];
                if (message->idiag_retrans == 0)
                        collector_add(collector, &record);
                return;
        }
        const int tag = listener_tag_read(attributes, length);

        if (tag < 0 || !inquiry_sample_read(message, attributes, length, &record.sample))
                collector->is_blind = true;
        else if (tag == collector->tag)
                collector_add(collector, &record);
}

static int64_t spent_now_ns(void) {
        struct timespec now = {0};

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Returns the last record, which is the end. */
static struct inquiry_record order_ask(const struct inquiry_order *order, struct collector *collector) {
        const int64_t began_ns = spent_now_ns();

        collector->wants_samples = order->wants_samples;
        for (size_t i = 0; i < order->count && !collector->is_blind; i++) {
                collector->tag = order->ports[i].tag;
                collector->is_blind |=
                        !listener_diag_attributes_each(&order->ports[i].request, connection_take, collector);
        }
        return (struct inquiry_record){
                .is_end = true, .is_complete = !collector->is_blind, .spent_ns = spent_now_ns() - began_ns};
}

static size_t inquiry_work(const void *request, int fd, void *out, size_t room) {
        static struct collector collector;
        struct inquiry_record end;

        (void)room;
        collector.fd = fd;
        end = order_ask(request, &collector);
        collector_add(&collector, &end);
        collector_flush(&collector);
        *(char *)out = 0;
        return 1;
}

/* ---- hearing ---- */

static void over_tell(struct inquiry *inquiry, bool is_complete, int64_t spent_ns) {
        inquiry_end(inquiry);
        inquiry->on_end(inquiry->owner, is_complete, spent_ns);
}

static void pipe_on_readable(struct loop_source *source) {
        struct inquiry *inquiry = source->owner;
        struct inquiry_record records[2 * RECORDS];
        ssize_t got;

        do
                got = read(source->fd, records, sizeof records);
        while (got < 0 && errno == EINTR);
        if (got < 0 && errno == EAGAIN)
                return;
        /* The child was killed. */
        if (got <= 0) {
                over_tell(inquiry, false, 0);
                return;
        }
        for (size_t i = 0; i < (size_t)got / sizeof *records; i++) {
                if (records[i].is_end) {
                        over_tell(inquiry, records[i].is_complete, records[i].spent_ns);
                        return;
                }
                inquiry->on_record(inquiry->owner, &records[i]);
        }
}

/* Its answer says only that all is in the pipe. */
static void errand_on_done(void *owner, const void *answer, size_t bytes) {
        (void)owner;
        (void)answer;
        (void)bytes;
}

static int child_start(struct inquiry *inquiry, const struct inquiry_order *order) {
        CLEANUP_FD int reader = -1;
        CLEANUP_FD int writer = -1;
        struct errand_order errand = {
                .work = inquiry_work, .request = order, .on_done = errand_on_done, .owner = inquiry};
        struct error error;
        int ends[2];

        if (!inquiry->errands || pipe2(ends, O_CLOEXEC) < 0)
                return -1;
        reader = ends[0];
        writer = ends[1];
        errand.fd = writer;
        inquiry->source =
                (struct loop_source){.fd = reader, .on_readable = pipe_on_readable, .owner = inquiry};
        if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0 || loop_add(inquiry->loop, &inquiry->source, &error) < 0)
                return -1;
        if (errand_start(inquiry->errands, &errand, &error) < 0) {
                loop_remove(inquiry->loop, &inquiry->source);
                return -1;
        }
        (void)fd_take(&reader);
        return 0;
}

void inquiry_begin(struct inquiry *inquiry, struct loop *loop, struct errands *errands,
        const struct inquiry_order *order) {
        struct collector here = {.fd = -1, .inquiry = inquiry};
        struct inquiry_record end;

        inquiry_end(inquiry);
        inquiry->loop = loop;
        inquiry->errands = errands;
        inquiry->is_running = true;
        if (order->count > 0 && child_start(inquiry, order) == 0)
                return;
        inquiry->source.fd = -1;
        end = order_ask(order, &here);
        over_tell(inquiry, end.is_complete, end.spent_ns);
}

void inquiry_end(struct inquiry *inquiry) {
        if (!inquiry->is_running)
                return;
        inquiry->is_running = false;
        if (inquiry->source.fd < 0)
                return;
        loop_remove(inquiry->loop, &inquiry->source);
        fd_cleanup(&inquiry->source.fd);
        errands_call_off(inquiry->errands, inquiry);
}
