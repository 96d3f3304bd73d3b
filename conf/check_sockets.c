/* What no key of a [socket NAME] can check alone: see config_check() in config.h. Pure; looks at texts and
 * numbers only, never at what the system has open. */

#include "conf/check_sockets.h"

#include <stdio.h>
#include <string.h>

#include "conf/schema.h"

/* Begin a message with the place where socket `n` got `key`, or with that of its section. */
static int blame(const struct config *config, size_t n, const char *key, struct error *error) {
        const struct schema_row *row = schema_find("socket", key);

        /* From the end: the last mention is the one in force. */
        for (size_t i = config->given_count; i > 0; i--) {
                const struct config_given *given = &config->given[i - 1];

                if (&schema_rows[given->row] != row || given->instance != n)
                        continue;
                if (!given->line) {
                        error_wrap(error, "--listen");
                        return error_status(error, EXIT_STATUS_USAGE);
                }
                error_wrap(error, "%s:%u", config->path ? config->path : "configuration", given->line);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        error_wrap(error, "%s", config->sockets[n].where);
        return error_status(error, EXIT_STATUS_CONFIG);
}

/* A key that does nothing is an error, not a remark: whoever wrote `mode` believes that the socket is
 * protected by it. */
static int no_meaning(
        const struct config *config, size_t n, const char *key, const char *why, struct error *error) {
        char address[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(&config->sockets[n].listen, address);
        error_set(error, 0, "%s has no meaning for '%s': %s", key, address, why);
        return blame(config, n, key, error);
}

static bool is_every_address(const struct socket_address *address) {
        if (address->generic.sa_family == AF_INET6)
                return IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
        return address->generic.sa_family == AF_INET && address->in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static int check_one(const struct config *config, size_t n, struct error *error) {
        static const char no_file[] = "only the path of a unix socket is a file";
        const struct config_socket *socket = &config->sockets[n];

        if (socket->listen.type == 0) {
                error_set(error, 0, "%s: [socket %s] has no 'listen'", socket->where, socket->name);
                error_hint(error, "say where it listens, e.g. listen = 127.0.0.1:8080");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        if (!socket_address_path(&socket->listen)) {
                if (socket->mode != CONFIG_UNSET)
                        return no_meaning(config, n, "mode", no_file, error);
                if (socket->user)
                        return no_meaning(config, n, "user", no_file, error);
                if (socket->group)
                        return no_meaning(config, n, "group", no_file, error);
        }
        if (socket->ipv6_only != CONFIG_IPV6_ONLY_AUTO && socket->listen.generic.sa_family != AF_INET6)
                return no_meaning(config, n, "ipv6_only", "it is no IPv6 address", error);
        /* A port alone is [::] where there is IPv6 and 0.0.0.0 where there is none. */
        if (socket->ipv6_only != CONFIG_IPV6_ONLY_AUTO && socket->listen.is_any)
                return no_meaning(config, n, "ipv6_only",
                        "a port alone takes both families; write [::]:PORT for IPv6", error);
        if (socket->free_bind && socket_address_is_unix(&socket->listen))
                return no_meaning(config, n, "free_bind", "it is no address of an interface", error);
        if (socket->free_bind && is_every_address(&socket->listen))
                return no_meaning(config, n, "free_bind", "it is every address, now and later", error);
        return 0;
}

/* A port alone takes 0.0.0.0 as well. */
static bool meet(const struct socket_address *a, const struct socket_address *b) {
        if (socket_address_equal(a, b))
                return true;
        if (a->is_any == b->is_any || a->type != b->type || socket_address_port(a) != socket_address_port(b))
                return false;
        b = a->is_any ? b : a;
        return b->generic.sa_family == AF_INET && b->in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

int config_check_sockets(const struct config *config, struct error *error) {
        char address[SOCKET_ADDRESS_TEXT_BYTES];

        for (size_t n = 0; n < config->socket_count; n++) {
                if (check_one(config, n, error) < 0)
                        return -1;
                /* bind(2) would tell it as well, but only at the start, and not which two sockets they
                 * are. */
                for (size_t other = 0; other < n; other++) {
                        if (!meet(&config->sockets[n].listen, &config->sockets[other].listen))
                                continue;
                        socket_address_format(&config->sockets[n].listen, address);
                        error_set(error, 0, "socket '%s' listens on %s, as socket '%s' does",
                                config->sockets[n].name, address, config->sockets[other].name);
                        return blame(config, n, "listen", error);
                }
        }
        return 0;
}
