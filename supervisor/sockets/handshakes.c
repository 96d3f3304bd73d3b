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

static uint64_t cookie_of(const struct inet_diag_msg *message) {
        return (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0];
}

static void handshake_note(void *context, const struct inet_diag_msg *message) {
        struct listener_handshakes *handshakes = context;

        if (message->idiag_retrans == 0 && handshakes->count < LISTENER_HANDSHAKES_MAX)
                handshakes->cookies[handshakes->count++] = cookie_of(message);
}

/* A connection that is half open again moves to the front. */
static void handshake_mark(void *context, const struct inet_diag_msg *message) {
        struct listener_handshakes *handshakes = context;
        uint64_t cookie = cookie_of(message);

        if (message->idiag_retrans != 0)
                return;
        for (size_t i = handshakes->seen; i < handshakes->count; i++)
                if (handshakes->cookies[i] == cookie) {
                        handshakes->cookies[i] = handshakes->cookies[handshakes->seen];
                        handshakes->cookies[handshakes->seen++] = cookie;
                        return;
                }
}

/* A dual-stack socket has half-open connections of both families. */
static void listener_each(const struct listener *listener, listener_diag_handler *on_socket,
        struct listener_handshakes *handshakes) {
        uint32_t states = 1U << TCP_SYN_RECV | 1U << STATE_NEW_SYN_RECV;
        uint16_t port = socket_address_port(&listener->address);

        (void)listener_diag_each(AF_INET, port, states, on_socket, handshakes);
        if (listener->address.generic.sa_family == AF_INET6)
                (void)listener_diag_each(AF_INET6, port, states, on_socket, handshakes);
}

void listener_handshakes_note(const struct listener *listener, struct listener_handshakes *handshakes) {
        listener_each(listener, handshake_note, handshakes);
}

void listener_handshakes_look(const struct listener *listener, struct listener_handshakes *handshakes) {
        listener_each(listener, handshake_mark, handshakes);
}

size_t listener_handshakes_left(struct listener_handshakes *handshakes) {
        handshakes->count = handshakes->seen;
        handshakes->seen = 0;
        return handshakes->count;
}
