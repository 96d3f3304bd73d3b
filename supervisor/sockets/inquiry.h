#pragma once

/* Asking the kernel for connections in a child process: an errand (supervisor/process/errand.h).
 *
 * For every list of connections (sock_diag(7)) the kernel walks its whole table, in one system call where few
 * match: with the 262,144 places of a machine with 32 GiB that takes up to 20 ms, and as long again for tens
 * of thousands of connections. The loop is not held up for that: a child asks, and what it finds comes
 * through a pipe, some dozens in a turn. Where no child can be had it is done here. */

#include <linux/inet_diag.h>

#include "lib/loop.h"
#include "supervisor/core/drain.h"
#include "supervisor/process/errand.h"

/* What is asked of the kernel about the tcp sockets of the family at a port whose state is one of `states` (1
 * << TCP_...). `extensions` is a mask of 1 << (INET_DIAG_... - 1). */
struct listener_diag_request {
        uint8_t family;
        uint16_t port;
        uint32_t states;
        uint8_t extensions;
};

#define INQUIRY_PORTS_MAX 64

struct inquiry_order {
        /* only connections with their port's tag and with counters; else all whose last packet was not sent
         * again, and of these the cookie alone */
        bool wants_samples;
        size_t count;
        struct {
                struct listener_diag_request request;
                uint8_t tag;
        } ports[INQUIRY_PORTS_MAX];
};

/* A connection, or the end. */
struct inquiry_record {
        struct drain_sample sample;
        struct inet_diag_sockid id;
        uint8_t family;
        bool is_end, is_complete;
        int64_t spent_ns;
};

typedef void inquiry_record_handler(void *owner, const struct inquiry_record *record);

/* is_complete: nothing was withheld. spent_ns: of the processor's time. */
typedef void inquiry_end_handler(void *owner, bool is_complete, int64_t spent_ns);

/* Embedded in its owner; all zero: none runs. */
struct inquiry {
        bool is_running;
        struct loop *loop;
        struct errands *errands;
        struct loop_source source;
        inquiry_record_handler *on_record;
        inquiry_end_handler *on_end;
        void *owner;
};

/* Ask. on_record comes for each connection, then on_end once, from the loop or, where no child can be had,
 * before this returns. `errands` NULL: there is none. The handlers and owner of *inquiry are set. */
void inquiry_begin(struct inquiry *inquiry, struct loop *loop, struct errands *errands,
        const struct inquiry_order *order);

/* No handler is called any more. Idempotent. */
void inquiry_end(struct inquiry *inquiry);

/* The counters that the kernel tells of a connection, as a sample. Returns false when there are none. */
bool inquiry_sample_read(const struct inet_diag_msg *message, const uint8_t *attributes, size_t length,
        struct drain_sample *out);
