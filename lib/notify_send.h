#pragma once

/* The sending side of sd_notify(3): one datagram of KEY=VALUE lines to the socket of a service manager. */

#include <stddef.h>
#include <sys/un.h>

#include "lib/error.h"

struct notify_address {
        struct sockaddr_un socket;
        unsigned length;
};

/* Parse $NOTIFY_SOCKET: /path or @abstract. All other forms, vsock:CID:PORT too, are errors. Returns 0, or -1
 * with error. */
int notify_address_parse(const char *text, struct notify_address *out, struct error *error);

/* A socket to send with: close-on-exec, non-blocking, bound to nothing. Returns it, or -1 with errno. */
int notify_open(void);

#define NOTIFY_SEND_FULL 1

/* Send `length` bytes of `text`, with a copy of descriptor `passed_fd` when that is not negative. Returns 0;
 * NOTIFY_SEND_FULL when the manager's queue is full now; -1 with error. Never waits. */
int notify_send(int fd, const struct notify_address *to, const char *text, size_t length, int passed_fd,
        struct error *error);
