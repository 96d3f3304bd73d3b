/* Where a health check connects to: see probe.h. Runs in the supervisor; nothing here waits.
 *
 * The private socket of the instance, if it has one. Else the generation's own listening socket on its real
 * port, which no client reaches yet (listeners_probe). Else, where generations never overlap (also because
 * adopting was wanted, but is not to be had here), the address itself: then only one can answer. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "supervisor/health/probe.h"
#include "supervisor/state.h"

static int connect_to(
        int family, const struct sockaddr *address, socklen_t length, int *out_fd, struct error *error) {
        CLEANUP_FD int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return error_set(error, errno, "no socket for the check");
        if (connect(fd, address, length) < 0 && errno != EINPROGRESS)
                return error_set(error, errno, "no connection");
        *out_fd = fd_take(&fd);
        return 0;
}

/* An address that listens everywhere is reached on the loopback. */
static int address_connect(struct socket_address address, int *out_fd, struct error *error) {
        if (address.generic.sa_family == AF_INET && address.in4.sin_addr.s_addr == htonl(INADDR_ANY))
                address.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (address.generic.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.in6.sin6_addr))
                address.in6.sin6_addr = in6addr_loopback;
        return connect_to(address.generic.sa_family, &address.generic, address.length, out_fd, error);
}

static int shared_connect(struct supervisor *supervisor, const char *name, int *out_fd, struct error *error) {
        struct socket_address address;
        struct listener_view view;

        for (size_t i = 0; listeners_look(supervisor, i, &view); i++) {
                if (name && strcmp(view.name, name) != 0)
                        continue;
                if (socket_address_parse(view.address, &address, error) < 0)
                        return -1;
                return address_connect(address, out_fd, error);
        }
        return error_set(error, 0, "there is no socket to connect to");
}

/* The generation's reserved port leads one connection at a time (listeners_probe). */
static bool is_route_in_use(const struct app *app) {
        for (size_t i = 0; i < app->supervisor->app_places; i++) {
                const struct app *other = &app->supervisor->apps[i];

                if (other->is_used && other != app && other->generation == app->generation &&
                        probe_is_connecting(&other->health.probe))
                        return true;
        }
        return false;
}

int probe_reach(struct app *app, const struct probe_settings *settings, int *out_fd, bool *out_counts,
        struct error *error) {
        const struct health_watch *health = &app->health;

        *out_counts = false;
        if (health->address_length)
                return connect_to(AF_UNIX, (const struct sockaddr *)&health->address, health->address_length,
                        out_fd, error);
        if (settings->address)
                return address_connect(*settings->address, out_fd, error);
        if (is_route_in_use(app))
                return PROBE_LATER;
        switch (listeners_probe(app->supervisor, app->generation, settings->listener, out_fd, error)) {
        case 0:
                *out_counts = true;
                return 0;
        case LISTENERS_BUSY:
                return PROBE_LATER;
        case LISTENERS_SHARED:
                return shared_connect(app->supervisor, settings->listener, out_fd, error);
        case LISTENERS_UNKNOWN:
                if (app->supervisor->adopt.is_off && app->supervisor->settings->adopt_count)
                        return address_connect(app->supervisor->settings->adopts[0], out_fd, error);
                return error_set(error, 0, "the app has not bound its socket yet");
        default:
                return -1;
        }
}
