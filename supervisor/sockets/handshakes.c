/* The handshakes that run when a generation stops getting connections: see listener.h. Called by the watch on
 * the accept queues.
 *
 * A client that had its SYN answered before the switch ends in the queue of the old generation, a round trip
 * later: with an app that accepts at once nobody would ever see it wait there. The kernel lists half-open
 * connections (sock_diag(7)), though not by listener; so those of the port are written down at the switch by
 * their cookies, and asked for until none is left. One whose answer had to be sent again is given up: nobody
 * lives there, or it scans ports.
 *
 * Without sock_diag in the kernel there are none to see, and queue_quiet alone has to do. */

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

/* Those that are seen again move to the front. */
static void handshake_keep(void *context, const struct inet_diag_msg *message) {
        struct listener_handshakes *handshakes = context;
        uint64_t cookie = cookie_of(message);

        if (message->idiag_retrans != 0)
                return;
        for (size_t i = handshakes->kept; i < handshakes->count; i++)
                if (handshakes->cookies[i] == cookie) {
                        handshakes->cookies[i] = handshakes->cookies[handshakes->kept];
                        handshakes->cookies[handshakes->kept++] = cookie;
                        return;
                }
}

/* Of a dual-stack socket those over IPv4 count as IPv6 as well: asked for once by each name. */
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
        listener_each(listener, handshake_keep, handshakes);
}

size_t listener_handshakes_left(struct listener_handshakes *handshakes) {
        handshakes->count = handshakes->kept;
        handshakes->kept = 0;
        return handshakes->count;
}
