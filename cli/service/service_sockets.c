/* Declared and inherited sockets: see service_sockets.h. Runs before anything is started, once.
 *
 * A service manager's sockets come as descriptors from 3 on with a name each (LISTEN_FDNAMES). They may be of
 * three kinds: those of its own .socket units, those that tacet itself had it keep (FDSTORE;
 * LISTENER_KEPT_PREFIX stands before their names), and things that are no listening sockets at all. Kept ones
 * come back only as what they were: when the configuration has another address by now they are shut down,
 * since the manager holds them too, and their port is free again. What an app had bound itself
 * (LISTENER_ADOPTED_PREFIX) is the supervisor's to judge, when an app binds. */

#include "cli/service/service_sockets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "shim/environment.h"
#include "shim/identity.h"

/* Of one socket in all variables, besides its name: texts of addresses, numbers, pointers. */
#define VARIABLE_BYTES 256

char *const service_manager_variables[] = {
        (char[]){"LISTEN_FDS"},
        (char[]){"LISTEN_PID"},
        (char[]){"LISTEN_FDNAMES"},
        (char[]){"LISTEN_PIDFDID"},
        (char[]){"MAINPIDFDID"},
        (char[]){"MANAGERPIDFDID"},
        (char[]){"FDSTORE"},
        (char[]){"NOTIFY_SOCKET"},
        (char[]){"WATCHDOG_USEC"},
        (char[]){"WATCHDOG_PID"},
        NULL,
};

/* ---- declared ---- */

/* [::] would take 0.0.0.0 as well, where another socket of ours is meant to be. */
static bool socket_has_ipv4_twin(const struct config *config, const struct config_socket *socket) {
        for (size_t i = 0; i < config->socket_count; i++) {
                const struct socket_address *other = &config->sockets[i].listen;

                if (other->generic.sa_family == AF_INET && other->type == socket->listen.type &&
                        socket_address_port(other) == socket_address_port(&socket->listen))
                        return true;
        }
        return false;
}

static int ipv6_only_of(const struct config *config, const struct config_socket *socket) {
        switch (socket->ipv6_only) {
        case CONFIG_IPV6_ONLY_YES:
                return 1;
        case CONFIG_IPV6_ONLY_NO:
                return 0;
        case CONFIG_IPV6_ONLY_AUTO:
                return !socket->listen.is_any && socket_has_ipv4_twin(config, socket) ? 1 : -1;
        }
        return -1;
}

static int listener_declare(const struct config *config, const struct config_socket *socket,
        struct listener_settings *out, struct error *error) {
        *out = (struct listener_settings){
                .name = socket->name,
                .address = socket->listen,
                .backlog = socket->backlog,
                .has_mode = socket->mode != CONFIG_UNSET,
                .mode = socket->mode == CONFIG_UNSET ? 0 : (mode_t)socket->mode,
                .user = (uid_t)-1,
                .group = (gid_t)-1,
                .ipv6_only = ipv6_only_of(config, socket),
                .is_free = socket->free_bind,
                .is_shared = socket->shared,
                .inherited_fd = -1,
        };
        if ((socket->user && identity_find_user(socket->user, &out->user, error) < 0) ||
                (socket->group && identity_find_group(socket->group, &out->group, error) < 0)) {
                error_wrap(error, "[socket %s]", socket->name);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        return 0;
}

int service_sockets_declare(struct service_sockets *out, const struct config *config, struct error *error) {
        if (config->socket_count > LISTENERS_MAX) {
                error_set(error, 0, "%zu sockets: at most %d are possible", config->socket_count,
                        LISTENERS_MAX);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        for (size_t i = 0; i < config->socket_count; i++)
                if (listener_declare(config, &config->sockets[i], &out->listeners[i], error) < 0)
                        return -1;
        out->listener_count = config->socket_count;
        return 0;
}

/* ---- inherited ---- */

unsigned service_sockets_given(void) {
        /* The variables are inherited by everybody below; LISTEN_PID says for whom they are
         * (sd_listen_fds(3)). */
        const char *pid = environment_find(environ, "LISTEN_PID", 10),
                   *count = environment_find(environ, "LISTEN_FDS", 10);
        uint64_t number;

        if (!pid || !count || !text_to_u64(pid + 11, &number) || number != (uint64_t)getpid())
                return 0;
        if (!text_to_u64(count + 11, &number) || number > LAUNCH_LISTEN_MAX)
                return 0;
        for (int fd = 3; fd < 3 + (int)number; fd++)
                /* Zero: open, and not close-on-exec. Whoever gave it to us for good has left that flag
                 * off. */
                if (fcntl(fd, F_GETFD) != 0) {
                        log_write(LOG_WARNING,
                                "LISTEN_FDS=%s is not passed on: descriptor %d is not open, or is a key",
                                count + 11, fd);
                        return 0;
                }
        return (unsigned)number;
}

/* The next name of the list; "unknown" when it has no more, as sd_listen_fds_with_names(3) has it. */
static const char *name_next(char **at) {
        char *name = *at ? strsep(at, ":") : NULL;

        return name && *name ? name : "unknown";
}

/* Bound, and ready to be accepted or received from. */
static bool given_is_listening(int fd, struct socket_address *out) {
        int is_accepting = 0;
        socklen_t size = sizeof is_accepting;

        if (!socket_address_of(fd, out))
                return false;
        return out->type == SOCK_DGRAM ||
               (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_accepting, &size) == 0 && is_accepting);
}

/* The kernel's number of a socket, which no other has as long as it lives (SO_COOKIE, socket(7)); 0:
 * none. Two descriptors of one socket are told by it. */
static uint64_t cookie_of(int fd) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* One that is still to be opened: with this address, or else with this name. A dual socket says [::] of
 * itself, and where there is no IPv6 a port alone is 0.0.0.0. */
static struct listener_settings *wanted_find(
        struct service_sockets *sockets, const char *name, const struct socket_address *address) {
        struct listener_settings *by_name = NULL;

        for (size_t i = 0; i < sockets->listener_count; i++) {
                struct listener_settings *listener = &sockets->listeners[i];

                if (listener->inherited_fd >= 0)
                        continue;
                if (socket_address_equal(&listener->address, address))
                        return listener;
                if (name && strcmp(listener->name, name) == 0)
                        by_name = listener;
        }
        return by_name;
}

/* The same socket may come from a unit and out of the store. */
static bool given_is_taken(const struct service_sockets *sockets, int fd) {
        uint64_t cookie = cookie_of(fd);

        /* A socket without a cookie (0) is like no other, so it is never taken for a second copy. */
        for (size_t i = 0; cookie && i < sockets->listener_count; i++)
                if (sockets->listeners[i].inherited_fd >= 0 &&
                        cookie_of(sockets->listeners[i].inherited_fd) == cookie)
                        return true;
        return false;
}

static void listener_assign(
        struct listener_settings *listener, int fd, const struct socket_address *address) {
        char given[SOCKET_ADDRESS_TEXT_BYTES], declared[SOCKET_ADDRESS_TEXT_BYTES];
        bool is_any = listener->address.is_any;

        if (socket_address_equal(&listener->address, address)) {
                listener->address = *address;
                listener->address.is_any = is_any;
        } else {
                socket_address_format(address, given);
                socket_address_format(&listener->address, declared);
                /* The manager's wins, since the port is open already and clients may be waiting there. */
                log_write(LOG_WARNING, "socket '%s' is %s, as the service manager gave it, not %s",
                        listener->name, given, declared);
                listener->address = *address;
        }
        listener->inherited_fd = fd;
}

static bool given_is_double(const struct service_sockets *sockets, int fd) {
        uint64_t cookie = cookie_of(fd);

        for (int other = 3; cookie && other < 3 + (int)sockets->given_count; other++)
                if (other != fd && cookie_of(other) == cookie)
                        return true;
        return false;
}

/* What we had the manager keep: only where it still belongs. */
static void kept_take(struct service_sockets *sockets, int fd, const char *name) {
        struct listener_settings *listener = NULL;
        struct socket_address address;

        if (given_is_taken(sockets, fd)) {
                fd_close(fd);
                return;
        }
        if (given_is_listening(fd, &address))
                listener = wanted_find(sockets, NULL, &address);
        if (listener && strcmp(listener->name, name) == 0) {
                listener_assign(listener, fd, &address);
                return;
        }
        log_write(LOG_INFO, "the kept socket '%s' is not needed any more: closed", name);
        /* shutdown(2) is about the socket, not this descriptor: the manager's copy would keep the port
         * otherwise, and a second one that is in use must not be hit. */
        if (!given_is_double(sockets, fd))
                (void)shutdown(fd, SHUT_RDWR);
        fd_close(fd);
}

static void given_pass(struct service_sockets *sockets, int fd, const char *name) {
        /* `position`: the app gets it behind the sockets that are known by now, which keeps the manager's
         * order. */
        sockets->passed[sockets->passed_count++] = (struct passed_descriptor){
                .descriptor = {.fd = fd, .name = name}, .position = sockets->listener_count};
}

static void given_take(struct service_sockets *sockets, int fd, const char *name) {
        struct listener_settings *listener;
        struct socket_address address;
        const char *kept;

        if (text_after(name, LISTENER_ADOPTED_PREFIX, &kept)) {
                sockets->kept[sockets->kept_count++] = (struct kept_descriptor){.fd = fd, .name = name};
                return;
        }
        if (text_after(name, LISTENER_KEPT_PREFIX, &kept)) {
                kept_take(sockets, fd, kept);
                return;
        }
        if (!given_is_listening(fd, &address)) {
                given_pass(sockets, fd, name);
                return;
        }
        if (given_is_taken(sockets, fd)) {
                fd_close(fd);
                return;
        }
        listener = wanted_find(sockets, name, &address);
        if (listener) {
                listener_assign(listener, fd, &address);
        } else if (sockets->listener_count == LISTENERS_MAX) {
                given_pass(sockets, fd, name);
        } else {
                sockets->listeners[sockets->listener_count++] = (struct listener_settings){
                        .name = name,
                        .address = address,
                        .user = (uid_t)-1,
                        .group = (gid_t)-1,
                        .ipv6_only = -1,
                        .inherited_fd = fd,
                };
        }
}

void service_sockets_inherit(struct service_sockets *sockets, unsigned count) {
        const char *names = environment_find(environ, "LISTEN_FDNAMES", 14);
        char *at;

        if (!count)
                return;
        sockets->given_count = count;
        /* Cut apart by strsep(3), so a copy: the variable itself may still be passed on. Without memory
         * all are "unknown". */
        sockets->names = at = names ? strdup(names + 15) : NULL;
        /* Close-on-exec at once: what the app gets is put in place by the shim, by number. */
        for (unsigned n = 0; n < count; n++) {
                (void)fcntl(3 + (int)n, F_SETFD, FD_CLOEXEC);
                given_take(sockets, 3 + (int)n, name_next(&at));
        }
}

size_t service_sockets_variable_bytes(const struct service_sockets *sockets) {
        size_t bytes = 0;

        for (size_t i = 0; i < sockets->listener_count; i++)
                bytes += strlen(sockets->listeners[i].name) + VARIABLE_BYTES;
        for (size_t i = 0; i < sockets->passed_count; i++)
                bytes += strlen(sockets->passed[i].descriptor.name) + VARIABLE_BYTES;
        return bytes;
}
