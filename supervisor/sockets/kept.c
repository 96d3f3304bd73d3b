/* Kept sockets: apps had bound them, and a service manager kept them beyond our end: see listeners.h. In the
 * supervisor.
 *
 * When tacet is killed, clients go on connecting to the copy that the manager has. Which address an app will
 * bind is known only when it does. So a kept socket waits here, listening, until an app binds its address
 * (listeners_adopt()), or a generation is stable without it. It must never make a bind fail: one that we do
 * not answer, or one of another address with the same port. A kept socket that is not wanted is shut down,
 * not only closed, since the manager holds it too. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

static bool kept_is_waiting(const struct listener_kept *kept) {
        return kept->fd >= 0;
}

static void kept_drop(struct listener_kept *kept, const char *why) {
        log_write(LOG_INFO, "the kept socket '%s' is closed: %s", kept->name, why);
        (void)shutdown(kept->fd, SHUT_RDWR);
        fd_cleanup(&kept->fd);
        kept->is_unwanted = true;
}

/* False for a unix socket whose file is gone, or is another file by now. */
static bool address_is_reachable(const struct socket_address *address) {
        const char *path = socket_address_path(address);
        struct stat status;

        return !path || (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode));
}

static bool kept_is_adoptable(const struct listeners *listeners, const struct listener_kept *kept) {
        const struct socket_rules *rules = listeners->rooms.rules;

        return rules->is_adopting && kept->address.type == SOCK_STREAM &&
               address_is_reachable(&kept->address) && rules_match(rules, &kept->address) >= 0;
}

void listener_kept_read(struct listeners *listeners) {
        const struct socket_settings *settings = listeners->settings;

        for (size_t i = 0; i < settings->kept_count; i++) {
                struct listener_kept *kept = &listeners->kept[listeners->kept_count++];

                *kept = (struct listener_kept){.name = settings->kept[i].name, .fd = settings->kept[i].fd};
                if (!socket_address_of(kept->fd, &kept->address) || !listener_is_listening(kept->fd))
                        kept_drop(kept, "it does not listen");
        }
}

void listeners_kept_begin(struct listeners *listeners) {

        for (size_t i = 0; i < listeners->kept_count; i++)
                if (kept_is_waiting(&listeners->kept[i]) &&
                        !kept_is_adoptable(listeners, &listeners->kept[i]))
                        kept_drop(&listeners->kept[i], "no app is to bind its address any more");
}

bool listeners_has_kept(const struct listeners *listeners, const struct socket_address *address) {

        for (size_t i = 0; i < listeners->kept_count; i++)
                if (kept_is_waiting(&listeners->kept[i]) &&
                        socket_address_equal(&listeners->kept[i].address, address))
                        return true;
        return false;
}

static bool socket_has_family_rule(const struct listener *listener, int fd) {
        int ipv6_only = -1;
        socklen_t size = sizeof ipv6_only;

        return listener->address.generic.sa_family != AF_INET6 || listener->ipv6_only < 0 ||
               (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, &size) == 0 &&
                       ipv6_only == listener->ipv6_only);
}

static uint64_t cookie_of(int fd) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* Can the kept socket be the listener's? Where each generation has its own socket, others must be able to
 * join. */
static bool kept_is_usable(const struct listener *listener, int fd) {
        return address_is_reachable(&listener->address) && socket_has_family_rule(listener, fd) &&
               (listener->why_shared || !listener_inherited_check(listener, fd));
}

int listener_kept_take(struct listeners *listeners, struct listener *listener) {
        for (size_t i = 0; i < listeners->kept_count; i++) {
                struct listener_kept *kept = &listeners->kept[i];

                if (!kept_is_waiting(kept) || !socket_address_equal(&kept->address, &listener->address))
                        continue;
                if (!kept_is_usable(listener, kept->fd)) {
                        kept_drop(kept, "the app binds its address in another way");
                        continue;
                }
                log_write(LOG_INFO,
                        "'%s': the service manager has kept it; who connected meanwhile is served now",
                        listener->name);
                listener->kept_cookie = cookie_of(kept->fd);
                return fd_take(&kept->fd);
        }
        return -1;
}

/* Might bind(2) to one of them fail because of the other? Two addresses with the same port may overlap. */
static bool addresses_may_overlap(const struct socket_address *a, const struct socket_address *b) {
        if (socket_address_is_unix(a) || socket_address_is_unix(b))
                return socket_address_equal(a, b);
        return socket_address_port(a) == socket_address_port(b);
}

bool listener_kept_clear(struct listeners *listeners, const struct socket_address *address) {
        bool has_dropped = false;

        for (size_t i = 0; i < listeners->kept_count; i++) {
                struct listener_kept *kept = &listeners->kept[i];

                if (!kept_is_waiting(kept) || (address && !addresses_may_overlap(&kept->address, address)))
                        continue;
                kept_drop(kept, address ? "its port is wanted otherwise" : "the app binds without us");
                has_dropped = true;
        }
        return has_dropped;
}

void listeners_kept_yield(struct listeners *listeners, const struct socket_address *address) {
        (void)listener_kept_clear(listeners, address);
}

void listener_kept_settle(struct listeners *listeners) {
        struct fleet_view view;
        size_t waiting = 0;

        for (size_t i = 0; i < listeners->kept_count; i++)
                waiting += kept_is_waiting(&listeners->kept[i]);
        if (waiting == 0)
                return;
        fleet_look(listeners->rooms.fleet, &view);
        for (size_t i = 0; view.has_stable && i < listeners->kept_count; i++)
                if (kept_is_waiting(&listeners->kept[i]))
                        kept_drop(&listeners->kept[i], "the app is up and has not bound its address");
}

const char *listeners_unwanted(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->kept_count; i++)
                if (listeners->kept[i].is_unwanted)
                        return listeners->kept[i].name;
        return NULL;
}

void listeners_unwanted_done(struct listeners *listeners, const char *name) {
        for (size_t i = 0; i < listeners->kept_count; i++)
                if (listeners->kept[i].name == name)
                        listeners->kept[i].is_unwanted = false;
}
