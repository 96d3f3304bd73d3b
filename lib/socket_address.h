#pragma once

/* Where a socket listens: one struct for tcp, udp, unix stream and unix datagram, and its text.
 *
 *   8080  *:8080             every address of both families; is_any
 *   127.0.0.1:8080           one IPv4 address; 0.0.0.0 is all of IPv4
 *   [::1]:8080  [fe80::1%lo]:8080
 *   /run/app.sock  unix:/run/app.sock  @name  unix:@name
 *   tcp:...  tcp4:...  tcp6:...  udp:...  udp4:...  udp6:...  unix-dgram:/path
 *
 * Names of hosts are refused: PID 1 must not wait for a name server, and an answer may change. */

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/error.h"

#define SOCKET_ADDRESS_TEXT_BYTES 160

struct socket_address {
        int type; /* SOCK_STREAM or SOCK_DGRAM */
        /* of the address below: exact, also for unix sockets (an abstract name has no NUL) */
        socklen_t length;
        /* both families: the address is [::]:PORT, to be opened dual, or as 0.0.0.0 without IPv6 */
        bool is_any;
        union {
                struct sockaddr generic;
                struct sockaddr_in in4;
                struct sockaddr_in6 in6;
                struct sockaddr_un local;
                struct sockaddr_storage any;
        };
};

/* Read one of the forms above. Returns 0, or -1 with an error that quotes `text`, and *out untouched. */
int socket_address_parse(const char *text, struct socket_address *out, struct error *error);

/* The shortest text that socket_address_parse() reads as the same address. Of an abstract name only printable
 * characters are shown as they are. */
void socket_address_format(const struct socket_address *address, char out[static SOCKET_ADDRESS_TEXT_BYTES]);

/* True when both have the same type, family and address: a second bind(2) would collide. is_any is not
 * compared. */
bool socket_address_equal(const struct socket_address *a, const struct socket_address *b);

/* Copy an address of the kernel or of an app. Returns false when the family is none of the three, the length
 * is too short for it, the type is neither stream nor datagram, or a unix socket has no name. */
bool socket_address_set(
        struct socket_address *out, int type, const struct sockaddr *address, socklen_t length);

/* Write the address that a socket is bound to. Returns false when it is not bound, or `fd` is no socket. */
bool socket_address_of(int fd, struct socket_address *out);

/* The port in host order; 0 for unix. */
uint16_t socket_address_port(const struct socket_address *address);

/* True for unix sockets, with a path or an abstract name. */
bool socket_address_is_unix(const struct socket_address *address);

/* The path of a unix socket that is a file; NULL for every other. */
const char *socket_address_path(const struct socket_address *address);
