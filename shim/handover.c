/* The variables of socket activation: see handover.h. Runs in the process that becomes the app, after its
 * descriptors are in their places: LISTEN_PID is its own pid, and the texts of the addresses are what the
 * kernel says of the sockets.
 *
 * Written after sd_listen_fds(3), Server::Starter's manual and einhorn's; each is a format of its own for the
 * same thing. */

#include "shim/handover.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/socket_address.h"
#include "shim/descriptors.h"

/* A text that grows on the heap; `at` is NULL once memory has run out, and stays so. */
struct growing {
        char *at;
        size_t length;
};

static void growing_add(struct growing *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void growing_add(struct growing *text, const char *format, ...) {
        va_list list;
        char *added = NULL, *at;
        int length;

        va_start(list, format);
        length = vasprintf(&added, format, list);
        va_end(list);
        at = length < 0 || !text->at ? NULL : realloc(text->at, text->length + (size_t)length + 1);
        if (at) {
                memcpy(at + text->length, added, (size_t)length + 1);
                text->length += (size_t)length;
        } else {
                free(text->at);
        }
        text->at = at;
        if (length >= 0)
                free(added);
}

static struct growing growing_open(const char *name) {
        struct growing text = {.at = strdup("")};

        growing_add(&text, "%s=", name);
        return text;
}

static int variable_put(struct environment *environment, struct growing text, struct error *error) {
        if (!text.at)
                return error_set(error, ENOMEM, "make the variables of its sockets");
        environment_put(environment, text.at);
        return 0;
}

static int variable_format(struct environment *environment, struct error *error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static int variable_format(struct environment *environment, struct error *error, const char *format, ...) {
        struct growing text = {0};
        va_list list;

        va_start(list, format);
        if (vasprintf(&text.at, format, list) < 0)
                text.at = NULL;
        va_end(list);
        return variable_put(environment, text, error);
}

/* The counted descriptors, which have the numbers from 3 on. */
struct counted {
        const char *names[LAUNCH_DESCRIPTORS_MAX];
        int count;
};

static struct counted counted_find(const struct launch_spec *spec) {
        struct counted counted = {0};

        for (size_t i = 0; i < spec->descriptor_count; i++)
                if (!spec->descriptors[i].number)
                        counted.names[counted.count++] = spec->descriptors[i].name;
        return counted;
}

/* LISTEN_PIDFDID would have to be the inode of this process's pidfd; unset is right as well, and so for every
 * kernel. */
static int systemd_put(const struct counted *counted, struct environment *environment, struct error *error) {
        struct growing names = growing_open("LISTEN_FDNAMES");

        for (int i = 0; i < counted->count; i++)
                growing_add(&names, "%s%s", i ? ":" : "",
                        counted->names[i] && *counted->names[i] ? counted->names[i] : "unknown");
        environment_remove(environment, "LISTEN_PIDFDID");
        if (variable_put(environment, names, error) < 0 ||
                variable_format(environment, error, "LISTEN_FDS=%d", counted->count) < 0)
                return -1;
        return variable_format(environment, error, "LISTEN_PID=%d", (int)getpid());
}

/* `host:port`, `[v6]:port`, a path; `port` alone for what takes both families. */
static bool starter_address(int fd, char out[static SOCKET_ADDRESS_TEXT_BYTES]) {
        struct socket_address address;
        int is_v6_only = 1;
        socklen_t size = sizeof is_v6_only;

        if (!socket_address_of(fd, &address))
                return false;
        if (address.generic.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.in6.sin6_addr) &&
                getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &is_v6_only, &size) == 0 && !is_v6_only) {
                snprintf(out, SOCKET_ADDRESS_TEXT_BYTES, "%u", socket_address_port(&address));
                return true;
        }
        address.type = SOCK_STREAM; /* datagrams are not told apart: no prefix */
        socket_address_format(&address, out);
        return true;
}

static int server_starter_put(
        const struct counted *counted, struct environment *environment, struct error *error) {
        struct growing text = growing_open("SERVER_STARTER_PORT");
        char address[SOCKET_ADDRESS_TEXT_BYTES];
        const char *between = "";

        for (int i = 0; i < counted->count; i++) {
                if (!starter_address(3 + i, address))
                        continue;
                growing_add(&text, "%s%s=%d", between, address, 3 + i);
                between = ";";
        }
        return variable_put(environment, text, error);
}

static int einhorn_put(const struct counted *counted, struct environment *environment, struct error *error) {
        struct growing all = growing_open("EINHORN_FDS");

        for (int i = 0; i < counted->count; i++) {
                growing_add(&all, "%s%d", i ? " " : "", 3 + i);
                if (variable_format(environment, error, "EINHORN_FD_%d=%d", i, 3 + i) < 0) {
                        free(all.at);
                        return -1;
                }
        }
        if (variable_put(environment, all, error) < 0)
                return -1;
        return variable_format(environment, error, "EINHORN_FD_COUNT=%d", counted->count);
}

int handover_variables(const struct launch_spec *spec, struct environment *environment, struct error *error) {
        struct counted counted = counted_find(spec);

        if (!counted.count)
                return 0;
        if (spec->protocols & LAUNCH_SYSTEMD && systemd_put(&counted, environment, error) < 0)
                return -1;
        if (spec->protocols & LAUNCH_SERVER_STARTER && server_starter_put(&counted, environment, error) < 0)
                return -1;
        if (spec->protocols & LAUNCH_EINHORN && einhorn_put(&counted, environment, error) < 0)
                return -1;
        return 0;
}
