/* The handshakes that run when a generation stops getting connections: see listener.h. Called by the watch on the accept queues.
 *
 * A client that had its SYN answered before the switch ends in the queue of the old generation, a round trip later: with an app
 * that accepts at once nobody would ever see it wait there. The kernel lists half-open connections (sock_diag(7)), though not
 * by listener; so those of the port are written down at the switch by their cookies, and asked for until none is left. One whose
 * answer had to be sent again is given up: nobody lives there, or it scans ports.
 *
 * Without sock_diag in the kernel there are none to see, and drain_quiet alone has to do. */

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "supervisor/listener.h"

#define STATE_NEW_SYN_RECV 12 /* net/tcp_states.h */
#define READS_MAX          64 /* of so many bytes each: a flood is not counted to its end */
#define READ_BYTES         8192

typedef void handshake_handler(struct listener_handshakes *handshakes, uint64_t cookie);

static void handshake_note(struct listener_handshakes *handshakes, uint64_t cookie) {
        if (handshakes->count < LISTENER_HANDSHAKES_MAX)
                handshakes->cookies[handshakes->count++] = cookie;
}

/* Those that are seen again move to the front. */
static void handshake_keep(struct listener_handshakes *handshakes, uint64_t cookie) {
        for (size_t i = handshakes->kept; i < handshakes->count; i++)
                if (handshakes->cookies[i] == cookie) {
                        handshakes->cookies[i] = handshakes->cookies[handshakes->kept];
                        handshakes->cookies[handshakes->kept++] = cookie;
                        return;
                }
}

static bool request_send(int fd, uint8_t family, uint16_t port) {
        struct {
                struct nlmsghdr header;
                struct inet_diag_req_v2 request;
        } message = {
                .header = {.nlmsg_len = sizeof message,
                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .request = {.sdiag_family = family,
                        .sdiag_protocol = IPPROTO_TCP,
                        .idiag_states = 1U << TCP_SYN_RECV | 1U << STATE_NEW_SYN_RECV,
                        .id = {.idiag_sport = htons(port),
                                .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
        };

        return send(fd, &message, sizeof message, 0) == (ssize_t)sizeof message;
}

/* Returns whether more is to come. */
static bool answer_read(const uint8_t *bytes, size_t length, uint16_t port, handshake_handler *on_handshake,
        struct listener_handshakes *handshakes) {
        struct nlmsghdr header;
        struct inet_diag_msg message;

        for (size_t at = 0; at + sizeof header <= length; at += NLMSG_ALIGN(header.nlmsg_len)) {
                memcpy(&header, bytes + at, sizeof header);
                if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > length - at ||
                        header.nlmsg_len < NLMSG_LENGTH(sizeof message))
                        return false;
                memcpy(&message, bytes + at + NLMSG_HDRLEN, sizeof message);
                if (message.idiag_retrans == 0 && message.id.idiag_sport == htons(port))
                        on_handshake(handshakes,
                                (uint64_t)message.id.idiag_cookie[1] << 32 | message.id.idiag_cookie[0]);
        }
        return true;
}

static void handshakes_each(uint8_t family, uint16_t port, handshake_handler *on_handshake,
        struct listener_handshakes *handshakes) {
        CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        uint8_t bytes[READ_BYTES];
        ssize_t length;

        if (fd < 0 || !request_send(fd, family, port))
                return;
        for (size_t i = 0; i < READS_MAX && (length = recv(fd, bytes, sizeof bytes, 0)) > 0; i++)
                if (!answer_read(bytes, (size_t)length, port, on_handshake, handshakes))
                        return;
}

/* Of a dual-stack socket those over IPv4 count as IPv6 as well: asked for once by each name. */
static void listener_each(const struct listener *listener, handshake_handler *on_handshake,
        struct listener_handshakes *handshakes) {
        uint16_t port = socket_address_port(&listener->address);

        handshakes_each(AF_INET, port, on_handshake, handshakes);
        if (listener->address.generic.sa_family == AF_INET6)
                handshakes_each(AF_INET6, port, on_handshake, handshakes);
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
