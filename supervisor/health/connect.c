/* Where a health check connects to: see probe.h. Runs in the supervisor; nothing here waits.
 *
 * The private socket of the instance, if it has one. Else its own listening socket on its real port, which no
 * client of a new one reaches yet (listeners_probe). Else, where generations never overlap (also because
 * adopting was wanted, but is not to be had here), the address itself: then only one can answer. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "supervisor/health/health.h"
#include "supervisor/sockets/listeners.h"

static int socket_connect(
        int family, const struct sockaddr *address, socklen_t length, int *out_fd, struct error *error) {
        CLEANUP_FD int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return error_set(error, errno, "no socket for the check");
        if (connect(fd, address, length) < 0 && errno != EINPROGRESS)
                return error_set(error, errno, "no connection");
        *out_fd = fd_take(&fd);
        return 0;
}

/* Connect to the address; to loopback, where it is that of all interfaces. */
static int address_connect(struct socket_address address, int *out_fd, struct error *error) {
        if (address.generic.sa_family == AF_INET && address.in4.sin_addr.s_addr == htonl(INADDR_ANY))
                address.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (address.generic.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.in6.sin6_addr))
                address.in6.sin6_addr = in6addr_loopback;
        return socket_connect(address.generic.sa_family, &address.generic, address.length, out_fd, error);
}

static int shared_connect(
        const struct listeners *listeners, const char *name, int *out_fd, struct error *error) {
        struct socket_address address;
        struct listener_view view;

        for (size_t i = 0; listeners_look(listeners, i, &view); i++) {
                if (name && strcmp(view.name, name) != 0)
                        continue;
                if (socket_address_parse(view.address, &address, error) < 0)
                        return -1;
                return address_connect(address, out_fd, error);
        }
        return error_set(error, 0, "there is no socket to connect to");
}

int probe_connection_state(int fd) {
        struct tcp_info info;
        socklen_t size = sizeof info;
        int code = 0;
        socklen_t code_size = sizeof code;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_size) < 0)
                return -1;
        if (code) {
                errno = code;
                return -1;
        }
        memset(&info, 0, sizeof info);
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
                return errno == EOPNOTSUPP || errno == ENOPROTOOPT ? 1 : -1; /* a unix socket */
        return info.tcpi_state != TCP_SYN_SENT;
}

/* Is the probe still connecting? Then it needs the route to its generation (listeners_probe). */
static bool probe_is_connecting(const struct probe *probe) {
        return probe->is_running && probe->connection >= 0 && probe_connection_state(probe->connection) == 0;
}

/* The reserved port of a seat leads one connection at a time (listeners_probe), and one that has been told to
 * stop may sit there beside its successor. */
static bool is_route_in_use(const struct health_watch *watch) {
        const struct seat seat = instance_seat(watch->instance);
        struct health *health = watch->health;
        struct instance *other = NULL;
        size_t next = 0;

        while ((other = instance_from(health->rooms.instances, next))) {
                const struct seat other_seat = instance_seat(other);

                next = instance_place(other) + 1;
                if (other != watch->instance && seat_is(&other_seat, &seat) &&
                        probe_is_connecting(&health->watches[instance_place(other)].probe))
                        return true;
        }
        return false;
}

int probe_reach(const struct health_watch *watch, const struct probe_settings *settings, int *out_fd,
        bool *out_counts, struct error *error) {
        const struct health_rooms *rooms = &watch->health->rooms;
        const struct seat seat = instance_seat(watch->instance);
        const struct socket_rules *rules = rooms->rules;

        *out_counts = false;
        if (watch->address_length)
                return socket_connect(AF_UNIX, (const struct sockaddr *)&watch->address,
                        watch->address_length, out_fd, error);
        if (settings->address)
                return address_connect(*settings->address, out_fd, error);
        if (is_route_in_use(watch))
                return PROBE_LATER;
        switch (listeners_probe(rooms->listeners, &seat, settings->listener, out_fd, error)) {
        case 0:
                *out_counts = true;
                return 0;
        case LISTENERS_BUSY:
                return PROBE_LATER;
        case LISTENERS_SHARED:
                return shared_connect(rooms->listeners, settings->listener, out_fd, error);
        case LISTENERS_UNKNOWN:
                if (!rules->is_adopting && rules->adopt_count)
                        return address_connect(rules->adopts[0], out_fd, error);
                return error_set(error, 0, "the app has not bound its socket yet");
        default:
                return -1;
        }
}
