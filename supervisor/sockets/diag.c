/* The tcp sockets at a port, as the kernel lists them (sock_diag(7)): see listener.h. Called in the
 * supervisor where a handoff begins and while a generation empties; never otherwise, because the kernel walks
 * a table for it.
 *
 * No privilege is needed. Where the kernel has no sock_diag, no socket is seen, and that is no error. */

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define READS_MAX            64    /* of so many bytes each: a flood is not counted to its end */
#define READS_ATTRIBUTES_MAX 16384 /* about 300,000 connections with all that is known of them */
#define READ_BYTES           8192

static bool request_send(int fd, const struct listener_diag_request *wanted) {
        struct {
                struct nlmsghdr header;
                struct inet_diag_req_v2 request;
        } message = {
                .header = {.nlmsg_len = sizeof message,
                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .request = {.sdiag_family = wanted->family,
                        .sdiag_protocol = IPPROTO_TCP,
                        .idiag_ext = wanted->extensions,
                        .idiag_states = wanted->states,
                        .id = {.idiag_sport = htons(wanted->port),
                                .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
        };

        return send(fd, &message, sizeof message, 0) == (ssize_t)sizeof message;
}

/* Returns 1 when more is to come, 0 at the end, -1 for an error. */
static int answer_read(const uint8_t *bytes, size_t length, const struct listener_diag_request *wanted,
        listener_diag_attributes_handler *on_socket, void *context) {
        const size_t fixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct inet_diag_msg));
        struct nlmsghdr header;
        struct inet_diag_msg message;

        for (size_t at = 0; at + sizeof header <= length; at += NLMSG_ALIGN(header.nlmsg_len)) {
                memcpy(&header, bytes + at, sizeof header);
                if (header.nlmsg_type == NLMSG_DONE)
                        return 0;
                if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > length - at ||
                        header.nlmsg_len < NLMSG_LENGTH(sizeof message))
                        return -1;
                memcpy(&message, bytes + at + NLMSG_HDRLEN, sizeof message);
                if (message.id.idiag_sport == htons(wanted->port))
                        on_socket(context, &message, bytes + at + fixed,
                                header.nlmsg_len > fixed ? header.nlmsg_len - fixed : 0);
        }
        return 1;
}

bool listener_diag_attributes_each(const struct listener_diag_request *wanted,
        listener_diag_attributes_handler *on_socket, void *context) {
        CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        const size_t reads_max = wanted->extensions ? READS_ATTRIBUTES_MAX : READS_MAX;
        uint8_t bytes[READ_BYTES];
        ssize_t length;
        int result = 1;

        if (fd < 0 || !request_send(fd, wanted))
                return false;
        for (size_t i = 0; result > 0 && i < reads_max; i++) {
                length = recv(fd, bytes, sizeof bytes, 0);
                result = length > 0 ? answer_read(bytes, (size_t)length, wanted, on_socket, context) : -1;
        }
        return result == 0;
}

void listener_diag_one(uint8_t family, const struct inet_diag_sockid *id,
        listener_diag_attributes_handler *on_socket, void *context) {
        CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
        const struct listener_diag_request wanted = {.port = ntohs(id->idiag_sport)};
        struct {
                struct nlmsghdr header;
                struct inet_diag_req_v2 request;
        } message = {
                .header = {.nlmsg_len = sizeof message,
                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                        .nlmsg_flags = NLM_F_REQUEST},
                .request = {.sdiag_family = family,
                        .sdiag_protocol = IPPROTO_TCP,
                        .idiag_ext = 1U << (INET_DIAG_INFO - 1),
                        .idiag_states = UINT32_MAX,
                        .id = *id},
        };
        uint8_t bytes[READ_BYTES];
        ssize_t length;

        if (fd < 0 || send(fd, &message, sizeof message, 0) != (ssize_t)sizeof message)
                return;
        length = recv(fd, bytes, sizeof bytes, 0);
        if (length > 0)
                (void)answer_read(bytes, (size_t)length, &wanted, on_socket, context);
}

struct plain_handler {
        listener_diag_handler *on_socket;
        void *context;
};

static void plain_call(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length) {
        const struct plain_handler *plain = context;

        (void)attributes;
        (void)length;
        plain->on_socket(plain->context, message);
}

bool listener_diag_each(
        uint8_t family, uint16_t port, uint32_t states, listener_diag_handler *on_socket, void *context) {
        const struct listener_diag_request wanted = {.family = family, .port = port, .states = states};
        struct plain_handler plain = {.on_socket = on_socket, .context = context};

        return listener_diag_attributes_each(&wanted, plain_call, &plain);
}

/* ---- strangers ---- */

struct strangers {
        const struct listener *listener;
        unsigned count;
        uint32_t user, inode; /* of one of them */
};

static uint64_t member_cookie(const struct listener_member *member) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;

        return getsockopt(member->fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static bool socket_is_member(const struct listener *listener, const struct inet_diag_msg *message) {
        uint64_t cookie = (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0];

        for (size_t i = 0; i < listener->member_count; i++)
                if (member_cookie(&listener->members[i]) == cookie)
                        return true;
        return false;
}

/* Is the socket bound to this address, so that it is in the same group? The group has SO_REUSEPORT and one
 * user; a socket that is bound to an interface is not in it. */
static bool socket_is_at(const struct socket_address *address, const struct inet_diag_msg *message) {
        bool is_ipv6 = address->generic.sa_family == AF_INET6;

        if (message->idiag_family != address->generic.sa_family ||
                message->id.idiag_if != (is_ipv6 ? address->in6.sin6_scope_id : 0))
                return false;
        return memcmp(message->id.idiag_src,
                       is_ipv6 ? (const void *)&address->in6.sin6_addr : &address->in4.sin_addr,
                       is_ipv6 ? sizeof address->in6.sin6_addr : sizeof address->in4.sin_addr) == 0;
}

static void stranger_count(void *context, const struct inet_diag_msg *message) {
        struct strangers *strangers = context;

        if (!socket_is_at(&strangers->listener->address, message) ||
                socket_is_member(strangers->listener, message))
                return;
        strangers->count++;
        strangers->user = message->idiag_uid;
        strangers->inode = message->idiag_inode;
}

static void strangers_log(const struct listener *listener, const struct strangers *strangers) {
        char address[SOCKET_ADDRESS_TEXT_BYTES];
        struct error error;

        socket_address_format(&listener->address, address);
        if (strangers->count == 0) {
                log_write(LOG_NOTICE, "'%s': nobody else listens on %s any more", listener->name, address);
                return;
        }
        error_set(&error, 0,
                "'%s': %u socket%s of somebody else on %s (user %u, inode %u), with SO_REUSEPORT: "
                "connections "
                "and health checks of a new generation may go there",
                listener->name, strangers->count, strangers->count == 1 ? "" : "s", address, strangers->user,
                strangers->inode);
        (void)error_hint(
                &error, "end that process ('ss -ltnpe' names it by the inode), then restart the service");
        log_error(LOG_WARNING, &error);
}

void listener_strangers_look(struct listener *listener) {
        struct strangers strangers = {.listener = listener};
        uint8_t family = (uint8_t)listener->address.generic.sa_family;

        /* With a single member no program chooses between sockets of ours. */
        if (listener->member_count < 2 ||
                !listener_diag_each(family, socket_address_port(&listener->address), 1U << TCP_LISTEN,
                        stranger_count, &strangers) ||
                strangers.count == listener->stranger_count)
                return;
        listener->stranger_count = strangers.count;
        strangers_log(listener, &strangers);
}
