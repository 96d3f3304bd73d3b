/* Socket addresses and their texts: see socket_address.h. Called by the configuration, the supervisor and the
 * tests.
 *
 * Opens nothing; the only system calls are those that name an interface (the scope of a link-local address)
 * and, in socket_address_of(), those that ask a socket where it is bound. */

#include "lib/socket_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"

#define LOCAL_NAME_BYTES_MAX (sizeof((struct sockaddr_un){0}.sun_path) - 1) /* 107: a path ends with a NUL */
#define LOCAL_OFFSET         offsetof(struct sockaddr_un, sun_path)
#define TEXT_SHOWN_MAX       200 /* characters of a refused text that a message quotes */

/* What stands before the first colon. `family` is what the rest must be; AF_UNSPEC: not a unix address. */
static const struct scheme {
        const char *prefix;
        int type, family;
} schemes[] = {
        {"tcp:", SOCK_STREAM, AF_UNSPEC},
        {"tcp4:", SOCK_STREAM, AF_INET},
        {"tcp6:", SOCK_STREAM, AF_INET6},
        {"udp:", SOCK_DGRAM, AF_UNSPEC},
        {"udp4:", SOCK_DGRAM, AF_INET},
        {"udp6:", SOCK_DGRAM, AF_INET6},
        {"unix:", SOCK_STREAM, AF_UNIX},
        {"unix-dgram:", SOCK_DGRAM, AF_UNIX},
};

#define FORMS "such as 8080, 127.0.0.1:8080, [::1]:8080, udp:53, /run/app.sock or @name"

static int text_refuse(const char *text, const char *why, struct error *error) {
        error_set(error, 0, "'%.*s' is no address to listen on: %s", TEXT_SHOWN_MAX, text, why);
        return error_hint(error, "give an address " FORMS);
}

static int parse_local(const char *text, const char *name, struct socket_address *out, struct error *error) {
        size_t length = strlen(name);
        bool is_abstract = name[0] == '@';

        if (name[0] != '/' && !is_abstract)
                return text_refuse(
                        text, "the path of a unix socket begins with /, an abstract name with @", error);
        if (length < 2)
                return text_refuse(text, is_abstract ? "the name is empty" : "a folder is no socket", error);
        if (length > LOCAL_NAME_BYTES_MAX + is_abstract)
                return text_refuse(text, "the name of a unix socket has at most 107 bytes", error);
        if (!is_abstract && name[length - 1] == '/')
                return text_refuse(text, "a folder is no socket", error);
        out->local.sun_family = AF_UNIX;
        memcpy(out->local.sun_path, name, length);
        if (is_abstract)
                out->local.sun_path[0] = '\0';
        /* unix(7): a path is given with its NUL, an abstract name is exactly its bytes. */
        out->length = (socklen_t)(LOCAL_OFFSET + length + !is_abstract);
        return 0;
}

static bool parse_port(const char *text, in_port_t *out) {
        uint64_t number;

        if (strlen(text) > 5 || !text_to_u64(text, &number) || number == 0 || number > UINT16_MAX)
                return false;
        *out = htons((uint16_t)number);
        return true;
}

static bool parse_scope(const char *text, uint32_t *out) {
        uint64_t number;

        if (text_to_u64(text, &number) && number > 0 && number <= UINT32_MAX)
                *out = (uint32_t)number;
        else
                *out = strlen(text) < IF_NAMESIZE ? if_nametoindex(text) : 0;
        return *out != 0;
}

/* `host` is what stood between the brackets. */
static int parse_in6(const char *text, char *host, struct socket_address *out, struct error *error) {
        char *scope = strchr(host, '%');

        if (scope)
                *scope++ = '\0';
        if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) != 1)
                return text_refuse(text, "between the brackets stands no IPv6 address", error);
        if (scope && !parse_scope(scope, &out->in6.sin6_scope_id))
                return text_refuse(text, "there is no network interface of that name", error);
        out->in6.sin6_family = AF_INET6;
        out->length = sizeof out->in6;
        return 0;
}

static int parse_in4(const char *text, const char *host, struct socket_address *out, struct error *error) {
        if (inet_pton(AF_INET, host, &out->in4.sin_addr) == 1) {
                out->in4.sin_family = AF_INET;
                out->length = sizeof out->in4;
                return 0;
        }
        if (strchr(host, ':') && !strchr(host, '/'))
                return text_refuse(text, "an IPv6 address needs brackets", error);
        return text_refuse(text,
                host[strspn(host, "0123456789.")] ? "names are not looked up"
                                                  : "before the port stands no IPv4 address",
                error);
}

/* A port alone, or `*`: everything of the family that was asked for, or of both. */
static void set_wildcard(int family, struct socket_address *out) {
        if (family == AF_INET) {
                out->in4.sin_family = AF_INET;
                out->length = sizeof out->in4;
                return;
        }
        out->in6.sin6_family = AF_INET6;
        out->length = sizeof out->in6;
        out->is_any = family == AF_UNSPEC;
}

static int parse_internet(
        const char *text, const char *rest, int family, struct socket_address *out, struct error *error) {
        const char *colon = strrchr(rest, ':');
        const char *port_text = colon ? colon + 1 : rest;
        char host[128];
        in_port_t port;

        if (rest[0] == '[' && (!colon || colon[-1] != ']'))
                return text_refuse(text, "after the brackets stands no port", error);
        if (!colon && rest[strspn(rest, "0123456789")])
                return text_refuse(text, "there is no port", error);
        if (!parse_port(port_text, &port))
                return text_refuse(text, "the port must be a number from 1 to 65535", error);
        if (colon == rest || (colon && colon - rest >= (ptrdiff_t)sizeof host))
                return text_refuse(text, "before the port stands no address", error);
        if (!colon || (colon == rest + 1 && rest[0] == '*')) {
                set_wildcard(family, out);
        } else if (rest[0] == '[') {
                snprintf(host, sizeof host, "%.*s", (int)(colon - rest - 2), rest + 1);
                if (parse_in6(text, host, out, error) < 0)
                        return -1;
        } else {
                snprintf(host, sizeof host, "%.*s", (int)(colon - rest), rest);
                if (parse_in4(text, host, out, error) < 0)
                        return -1;
        }
        if (family != AF_UNSPEC && out->generic.sa_family != family)
                return text_refuse(text, "the address is not of the family that stands before it", error);
        if (out->generic.sa_family == AF_INET)
                out->in4.sin_port = port;
        else
                out->in6.sin6_port = port;
        return 0;
}

int socket_address_parse(const char *text, struct socket_address *out, struct error *error) {
        struct socket_address address = {.type = SOCK_STREAM};
        int family = text[0] == '/' || text[0] == '@' ? AF_UNIX : AF_UNSPEC;
        const char *rest = text;

        if (!*text)
                return text_refuse(text, "it is empty", error);
        for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
                if (text_after(text, schemes[i].prefix, &rest)) {
                        address.type = schemes[i].type;
                        family = schemes[i].family;
                        break;
                }
        if (family == AF_UNIX ? parse_local(text, rest, &address, error) < 0
                              : parse_internet(text, rest, family, &address, error) < 0)
                return -1;
        *out = address;
        return 0;
}

static void format_local(const struct socket_address *address, char *out, size_t room) {
        size_t length = address->length > LOCAL_OFFSET ? address->length - LOCAL_OFFSET : 0, used = 0;
        const char *path = address->local.sun_path;

        if (length && path[0])
                length = strnlen(path, length);
        for (; used < length && used + 1 < room; used++)
                out[used] = isgraph((unsigned char)path[used]) || path[used] == ' ' ? path[used]
                            : used == 0                                             ? '@'
                                                                                    : '?';
        out[used] = '\0';
}

static void format_in6(const struct socket_address *address, char *out, size_t room) {
        char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE], scope[IF_NAMESIZE + 16] = "";
        uint32_t index = address->in6.sin6_scope_id;

        if (index && if_indextoname(index, name))
                snprintf(scope, sizeof scope, "%%%s", name);
        else if (index)
                snprintf(scope, sizeof scope, "%%%u", index);
        if (!inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof host))
                host[0] = '\0';
        snprintf(out, room, "[%s%s]:%u", host, scope, socket_address_port(address));
}

void socket_address_format(const struct socket_address *address, char out[static SOCKET_ADDRESS_TEXT_BYTES]) {
        bool is_unix = socket_address_is_unix(address);
        const char *prefix = address->type != SOCK_DGRAM ? "" : is_unix ? "unix-dgram:" : "udp:";
        size_t used = strlen(prefix), room = SOCKET_ADDRESS_TEXT_BYTES - used;
        char host[INET_ADDRSTRLEN];

        memcpy(out, prefix, used + 1);
        if (is_unix) {
                format_local(address, out + used, room);
        } else if (address->is_any) {
                snprintf(out + used, room, "*:%u", socket_address_port(address));
        } else if (address->generic.sa_family == AF_INET6) {
                format_in6(address, out + used, room);
        } else {
                if (!inet_ntop(AF_INET, &address->in4.sin_addr, host, sizeof host))
                        host[0] = '\0';
                snprintf(out + used, room, "%s:%u", host, socket_address_port(address));
        }
}

bool socket_address_equal(const struct socket_address *a, const struct socket_address *b) {
        if (a->type != b->type || a->generic.sa_family != b->generic.sa_family)
                return false;
        switch (a->generic.sa_family) {
        case AF_INET:
                return a->in4.sin_port == b->in4.sin_port && a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
        case AF_INET6:
                return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
                       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
        default:
                return a->length == b->length &&
                       memcmp(a->local.sun_path, b->local.sun_path, a->length - LOCAL_OFFSET) == 0;
        }
}

/* The kernel takes a path with or without its NUL, and an app may give the whole array: one length for one
 * path. */
static bool local_normalize(struct socket_address *address) {
        size_t length = address->length - LOCAL_OFFSET;

        if (!address->local.sun_path[0])
                return true;
        length = strnlen(address->local.sun_path, length);
        if (length > LOCAL_NAME_BYTES_MAX)
                return false;
        memset(address->local.sun_path + length, 0, sizeof address->local.sun_path - length);
        address->length = (socklen_t)(LOCAL_OFFSET + length + 1);
        return true;
}

bool socket_address_set(
        struct socket_address *out, int type, const struct sockaddr *address, socklen_t length) {
        struct socket_address made = {.type = type, .length = length};

        if ((type != SOCK_STREAM && type != SOCK_DGRAM) || length < sizeof(sa_family_t))
                return false;
        memcpy(&made.any, address, length < sizeof made.any ? length : sizeof made.any);
        switch (made.generic.sa_family) {
        case AF_INET:
                made.length = sizeof made.in4;
                break;
        case AF_INET6:
                made.length = sizeof made.in6;
                break;
        case AF_UNIX:
                if (length <= LOCAL_OFFSET || length > sizeof made.local || !local_normalize(&made))
                        return false;
                *out = made;
                return true;
        default:
                return false;
        }
        if (length < made.length)
                return false;
        *out = made;
        return true;
}

bool socket_address_of(int fd, struct socket_address *out) {
        struct sockaddr_storage address = {0};
        socklen_t length = sizeof address, type_length = sizeof(int);
        int type;

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0 ||
                getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                return false;
        return socket_address_set(out, type, (const struct sockaddr *)&address, length);
}

uint16_t socket_address_port(const struct socket_address *address) {
        switch (address->generic.sa_family) {
        case AF_INET:
                return ntohs(address->in4.sin_port);
        case AF_INET6:
                return ntohs(address->in6.sin6_port);
        default:
                return 0;
        }
}

bool socket_address_is_unix(const struct socket_address *address) {
        return address->generic.sa_family == AF_UNIX;
}

const char *socket_address_path(const struct socket_address *address) {
        return socket_address_is_unix(address) && address->local.sun_path[0] ? address->local.sun_path : NULL;
}
