/* Connections that reach one instance alone, on its real port: see listeners.h. Called by the health
 * checks.
 *
 * A probe comes from a port that the instance's socket has for itself, and from an address of this machine
 * that the listener answers to; the program of the group sends what comes from there to that socket. The
 * port is bound by a socket that does nothing else, so no client of this machine is given it by connect(2),
 * and it is taken from outside the range of those if there is any room.
 *
 * Every probe has another port. A probe ends its connection in order (health/closing.h), so its port is in
 * TIME_WAIT for a minute, or in FIN_WAIT2 where an app does not close. The kernel lets a port that was bound
 * explicitly be used again at once only with timestamps (tcp_twsk_unique()), which a host may have turned
 * off, and the old connection would answer the next one's SYN. There are thousands of ports, and the next one
 * costs a bind(2) and a setsockopt(2). */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"
#include "supervisor/sockets/listener.h"

#define PORT_MIN     1024
#define PORT_MAX     65535
#define PORT_TRIES   4096
#define PORTS_WANTED 1024
#define SOURCES_MAX  2

/* Where probes come from, as addresses to bind, the better one first. Returns how many. */
static size_t probe_sources(const struct listener *listener, struct socket_address out[static SOURCES_MAX]) {
        struct steering sources;
        size_t count = 0;

        listener_probe_sources(listener, &sources);
        if (sources.has_ipv6) {
                struct sockaddr_in6 in6 = listener->address.in6; /* with its scope */

                memcpy(&in6.sin6_addr, sources.ipv6_source, sizeof in6.sin6_addr);
                out[count++] = (struct socket_address){.type = SOCK_STREAM, .length = sizeof in6, .in6 = in6};
        }
        if (sources.has_ipv4) {
                struct sockaddr_in in4 = {.sin_family = AF_INET};

                memcpy(&in4.sin_addr, sources.ipv4_source, sizeof in4.sin_addr);
                out[count++] = (struct socket_address){.type = SOCK_STREAM, .length = sizeof in4, .in4 = in4};
        }
        return count;
}

static void port_set(struct socket_address *address, uint16_t port) {
        if (address->generic.sa_family == AF_INET6)
                address->in6.sin6_port = htons(port);
        else
                address->in4.sin_port = htons(port);
}

struct port_range {
        unsigned low, high;
};

/* The range of ports that connect(2) gives to clients (ip(7)). */
static struct port_range client_ports(void) {
        CLEANUP_FD int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY | O_CLOEXEC);
        char text[32] = "";
        ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
        char *low = text, *high = strpbrk(text, " \t");
        uint64_t from, to;

        if (length > 0 && high) {
                *high++ = '\0';
                high += strspn(high, " \t");
                high[strcspn(high, "\n")] = '\0';
                if (text_to_u64(low, &from) && text_to_u64(high, &to) && from <= to && to <= PORT_MAX)
                        return (struct port_range){(unsigned)from, (unsigned)to};
        }
        return (struct port_range){32768, 60999};
}

/* The range of ports for probes: above those of clients, or below, if there are enough for a minute; else
 * all. Its ports are used in turn. */
static struct port_range probe_ports(void) {
        struct port_range clients = client_ports();

        if (clients.high + PORTS_WANTED <= PORT_MAX)
                return (struct port_range){clients.high + 1, PORT_MAX};
        if (clients.low >= PORT_MIN + PORTS_WANTED)
                return (struct port_range){PORT_MIN, clients.low - 1};
        return (struct port_range){PORT_MIN, PORT_MAX};
}

/* The port to try after `port`: the one below. The first one goes by the clock: those that the supervisor
 * before us used may be in TIME_WAIT. */
static uint16_t port_next(const struct port_range *range, uint16_t port) {
        if (port == 0)
                return (uint16_t)(range->low +
                                  (uint64_t)time_now_ns() / 1000 % (range->high - range->low + 1));
        return port > range->low && port <= range->high ? port - 1 : (uint16_t)range->high;
}

/* Bind without SO_REUSEADDR to the next free port: so to none that was used in the last minute. Returns 0, or
 * -1 with errno. */
static int port_bind(struct listeners *listeners, int fd, struct socket_address *source) {
        struct port_range range = probe_ports();

        for (size_t tries = 0; tries < PORT_TRIES; tries++) {
                listeners->probe_port_last = port_next(&range, listeners->probe_port_last);
                port_set(source, listeners->probe_port_last);
                if (bind(fd, &source->generic, source->length) == 0)
                        return 0;
                if (errno != EADDRINUSE && errno != EACCES)
                        break;
        }
        return -1;
}

/* Open the socket that holds a port. SO_REUSEADDR afterwards lets the probe bind to the same port. */
static int port_hold(
        struct listeners *listeners, const struct listener *listener, int *out_fd, struct error *error) {
        struct socket_address sources[SOURCES_MAX];
        size_t count = probe_sources(listener, sources);
        const int on = 1;

        errno = EADDRNOTAVAIL;
        for (size_t i = 0; i < count; i++) {
                CLEANUP_FD int fd = socket(sources[i].generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (fd >= 0 && port_bind(listeners, fd, &sources[i]) == 0 &&
                        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0) {
                        *out_fd = fd_take(&fd);
                        return 0;
                }
        }
        return error_set(error, errno, "reserve a port for the health checks of '%s'", listener->name);
}

/* Reserve a port for the next probe of the member, and tell the program of the group. */
static int port_reserve(struct listeners *listeners, struct listener *listener,
        struct listener_member *member, struct error *error) {
        uint16_t port_before = member->probe_port;
        CLEANUP_FD int hold = -1;

        /* All ports were used lately: use the last one once more. */
        if (port_hold(listeners, listener, &hold, error) < 0)
                return port_before != 0 ? 0 : -1;
        member->probe_port = listeners->probe_port_last;
        if (listener_program_set(listener, error) < 0) {
                member->probe_port = port_before;
                return -1;
        }
        fd_cleanup(&member->probe_hold);
        member->probe_hold = fd_take(&hold);
        return 0;
}

static int probe_socket_open(const struct listener *listener, int family, int *out_fd, struct error *error) {
        CLEANUP_FD int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return error_set(error, errno, "open a socket for a health check of '%s'", listener->name);
        *out_fd = fd_take(&fd);
        return 0;
}

static int probe_connect(
        const struct listener *listener, int fd, struct socket_address *address, struct error *error) {
        port_set(address, socket_address_port(&listener->address));
        if (connect(fd, &address->generic, address->length) == 0 || errno == EINPROGRESS)
                return 0;
        return errno == EADDRNOTAVAIL || errno == EADDRINUSE
                       ? LISTENERS_BUSY
                       : error_set(error, errno, "connect to '%s' for a health check", listener->name);
}

/* Connect to the member from its reserved port. */
static int probe_member(const struct listener *listener, const struct listener_member *member, int *out_fd,
        struct error *error) {
        struct socket_address source = {.length = sizeof source.any};
        CLEANUP_FD int fd = -1;
        int result;

        if (getsockname(member->probe_hold, &source.generic, &source.length) < 0)
                return error_set(error, errno, "find the port of the health checks of '%s'", listener->name);
        if (probe_socket_open(listener, source.generic.sa_family, &fd, error) < 0)
                return -1;
        if (bind(fd, &source.generic, source.length) < 0)
                return error_set(error, errno, "bind the port of the health checks of '%s'", listener->name);
        result = probe_connect(listener, fd, &source, error);
        if (result == 0)
                *out_fd = fd_take(&fd);
        return result;
}

/* Connect where there is a single instance, so that no port is needed to reach it. */
static int probe_single(const struct listener *listener, int *out_fd, struct error *error) {
        struct socket_address targets[SOURCES_MAX];
        size_t count = probe_sources(listener, targets);
        int result = LISTENERS_SHARED;

        for (size_t i = 0; i < count; i++) {
                CLEANUP_FD int fd = -1;

                if (probe_socket_open(listener, targets[i].generic.sa_family, &fd, error) < 0)
                        return -1;
                result = probe_connect(listener, fd, &targets[i], error);
                if (result == 0) {
                        *out_fd = fd_take(&fd);
                        break;
                }
        }
        return result;
}

static bool address_is_tcp(const struct socket_address *address) {
        return address->type == SOCK_STREAM && !socket_address_is_unix(address);
}

static struct listener *listener_probed(struct listeners *listeners, const char *name) {
        for (size_t i = 0; i < listeners->count; i++)
                if (name ? strcmp(listeners->list[i].name, name) == 0 : !listeners->list[i].why_shared)
                        return &listeners->list[i];
        return !name && listeners->count > 0 ? &listeners->list[0] : NULL;
}

int listeners_probe(struct listeners *listeners, const struct seat *seat, const char *name, int *out_fd,
        struct error *error) {
        struct listener *listener = listener_probed(listeners, name);
        struct listener_member *member;

        if (!listener)
                return LISTENERS_UNKNOWN;
        if (listener->why_shared)
                return rules_are_single(listeners->rooms.rules) && address_is_tcp(&listener->address)
                               ? probe_single(listener, out_fd, error)
                               : LISTENERS_SHARED;
        listener_members_check(listener);
        member = listener_member_of(listener, seat);
        if (!member)
                return LISTENERS_UNKNOWN;
        if (port_reserve(listeners, listener, member, error) < 0)
                return -1;
        return probe_member(listener, member, out_fd, error);
}

/* The same question as listeners_probe() answers, for a socket that is not open yet. */
static bool declared_can_probe(const struct listener_settings *declared, const struct socket_rules *rules) {
        struct listener listener = {.address = declared->address, .ipv6_only = declared->ipv6_only};

        if (!address_is_tcp(&declared->address) || rules_are_single(rules))
                return address_is_tcp(&declared->address);
        return !declared->is_shared && !rules->fleet->is_signalled &&
               (declared->inherited_fd < 0 || !listener_inherited_check(&listener, declared->inherited_fd));
}

bool listeners_can_probe(
        const struct socket_settings *settings, const struct socket_rules *rules, const char *name) {
        for (size_t i = 0; i < settings->declared_count; i++)
                if ((!name || strcmp(settings->declared[i].name, name) == 0) &&
                        declared_can_probe(&settings->declared[i], rules))
                        return true;
        return false;
}
