#pragma once

/* Is somebody still waiting for an answer? What the kernel says of the connections of an instance that is to
 * be stopped, looked at again and again, until none of them has a request that runs.
 *
 * Pure: numbers of tcp_info in, a verdict out; the looks are supervisor/sockets/drain.c. The rules and what
 * they cannot see are in docs/HANDOFF.md.
 *
 *      drain_begin(&drain, &settings, now_ns);
 *      for each look:
 *              drain_look_begin(&drain, now_ns);
 *              drain_look_add(&drain, &sample);        for each connection
 *              if (drain_look_end(&drain))             over: stop the instance in this very turn
 *      and when it has been told to stop:
 *              drain_is_cut(&drain, &sample, now_ns)   for each connection that has come to its end
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRAIN_CONNECTIONS_MAX 512 /* remembered; what is beyond is judged by one look alone */

/* One connection as the kernel tells of it (struct tcp_info, Linux 4.19). Ages are in ms, of the kernel's
 * ticks: they are compared with each other alone, never with a clock. */
struct drain_sample {
        uint64_t cookie; /* SO_COOKIE: which connection it is */
        uint64_t received_bytes, sent_bytes;
        uint32_t received_ago_ms, sent_ago_ms; /* the last data; of a connection without any: its own age */
        uint32_t acknowledged_ago_ms;          /* the last acknowledgement that came */
        uint32_t unread_bytes, unsent_bytes;   /* not read by the app; not sent by the kernel yet */
        bool is_half_closed;                   /* the client has said that it sends no more (CLOSE_WAIT) */
};

struct drain_settings {
        int64_t timeout_ns; /* a request that has run longer counts as idle: it was there long before */
        int64_t settle_ns;  /* what moved within this time may be busy although it looks answered */
};

enum drain_verdict {
        DRAIN_IDLE,
        DRAIN_MAYBE, /* nobody can tell: waited for, but not for long */
        DRAIN_BUSY,
};

/* What is remembered of a connection. */
struct drain_connection {
        uint64_t cookie;
        uint64_t received_bytes, sent_bytes;
        int64_t sent_ns;         /* when the last data was sent, by our clock */
        int64_t stream_until_ns; /* busy until then: data is sent by itself, time and again */
        bool was_busy;           /* at the last look, or it could not be told */
        bool is_awaited;         /* it was busy at the first look, with the request that it had then */
        bool is_seen;            /* at this look */
};

struct drain {
        struct drain_settings settings;
        int64_t began_ns, now_ns;
        uint32_t looks;
        size_t busy, maybe, streams, awaited; /* at this look, or the last one */
        size_t busy_first;                    /* at the first look */
        size_t busy_fewest;
        int64_t churn_ns; /* since when all requests of the first look are over; NS_FOREVER: not yet */
        size_t count;
        struct drain_connection connections[DRAIN_CONNECTIONS_MAX];
};

void drain_begin(struct drain *drain, const struct drain_settings *settings, int64_t now_ns);
void drain_look_begin(struct drain *drain, int64_t now_ns);

/* A look takes its time: this is the time of the samples that follow. */
void drain_look_resume(struct drain *drain, int64_t now_ns);
/* Returns what it is by this look alone. */
enum drain_verdict drain_look_add(struct drain *drain, const struct drain_sample *sample);

/* Returns true when there is nothing more to wait for. drain->busy says how many requests run as far as can
 * be seen. */
bool drain_look_end(struct drain *drain);

/* The connection has ended, and `sample` is the last that is known of it: was its last request left without
 * an answer? Only of one that a look has seen; it is forgotten. What was half answered cannot be told from
 * what was answered, nor an answer from a request in the same tick: neither counts. */
bool drain_is_cut(struct drain *drain, const struct drain_sample *sample, int64_t now_ns);

/* The same of a connection that no look has seen. */
bool drain_is_unanswered(const struct drain *drain, const struct drain_sample *sample);

/* Has a look seen the connection, and did it not end since? */
bool drain_knows(const struct drain *drain, uint64_t cookie);
