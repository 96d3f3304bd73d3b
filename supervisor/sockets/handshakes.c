/* The handshakes that run when a generation stops getting connections: see listener.h. Called by the watch on
 * the accept queues.
 *
 * A client whose SYN was answered before the switch comes into the accept queue of the old generation a round
 * trip later; an app that accepts at once never lets it be seen there. The kernel lists half-open connections
 * (sock_diag(7)), though not by listener: so those of the port are noted at the switch by their cookies, and
 * asked for until none is left. One whose SYN-ACK was sent again does not count: the client is gone, or scans
 * ports.
 *
 * Without sock_diag in the kernel no half-open connection is seen, and only queue_quiet is waited for. */

#include <linux/inet_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "supervisor/sockets/listener.h"

#define STATE_NEW_SYN_RECV 12 /* net/tcp_states.h */

/* A dual-stack socket has half-open connections of both families. */
void listener_handshakes_ask(const struct listener *listener, struct inquiry_order *order) {
        struct listener_diag_request wanted = {.family = AF_INET,
                .port = socket_address_port(&listener->address),
                .states = 1U << TCP_SYN_RECV | 1U << STATE_NEW_SYN_RECV};

        order->ports[order->count++].request = wanted;
        wanted.family = AF_INET6;
        if (listener->address.generic.sa_family == AF_INET6)
                order->ports[order->count++].request = wanted;
}

void listener_handshake_note(struct listener_handshakes *handshakes, uint64_t cookie) {
        if (handshakes->count < LISTENER_HANDSHAKES_MAX)
                handshakes->cookies[handshakes->count++] = cookie;
}

/* A connection that is half open again moves to the front. */
void listener_handshake_mark(struct listener_handshakes *handshakes, uint64_t cookie) {
        for (size_t i = handshakes->seen; i < handshakes->count; i++)
                if (handshakes->cookies[i] == cookie) {
                        handshakes->cookies[i] = handshakes->cookies[handshakes->seen];
                        handshakes->cookies[handshakes->seen++] = cookie;
                        return;
                }
}

size_t listener_handshakes_left(struct listener_handshakes *handshakes) {
        handshakes->count = handshakes->seen;
        handshakes->seen = 0;
        return handshakes->count;
}
