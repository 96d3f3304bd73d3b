/* sd_notify(3), the sending side: see notify_send.h.
 *
 * Called by the supervisor, with the rights that tacet has: the manager identifies the sender by the
 * credentials that the kernel attaches. libsystemd is not used: the protocol is one datagram, the library
 * cannot be linked statically, and its functions block when the manager's queue is full. Machine sockets
 * (vsock) are refused: they notify the manager of a virtual machine, not of a service. */

#include "lib/notify_send.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int notify_address_parse(const char *text, struct notify_address *out, struct error *error) {
        size_t length = strlen(text);
        struct notify_address address = {.socket.sun_family = AF_UNIX};

        if ((text[0] != '/' && text[0] != '@') || length < 2)
                return error_set(error, 0, "'%s' is neither the path of a socket nor @NAME", text);
        /* A path keeps its NUL, an abstract name is exactly as long as it is written. */
        if (length + (text[0] == '/') > sizeof address.socket.sun_path)
                return error_set(error, 0, "'%s' is longer than the address of a socket can be (%zu bytes)",
                        text, sizeof address.socket.sun_path - 1);
        memcpy(address.socket.sun_path, text, length);
        if (text[0] == '@')
                address.socket.sun_path[0] = '\0';
        address.length =
                (unsigned)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/' ? 1 : 0));
        *out = address;
        return 0;
}

int notify_open(void) {
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

union passed_descriptor {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
};

int notify_send(int fd, const struct notify_address *to, const char *text, size_t length, int passed_fd,
        struct error *error) {
        union passed_descriptor control = {0};
        struct sockaddr_un socket = to->socket;
        struct iovec part = {(void *)(uintptr_t)text, length}; // NOLINT: sendmsg(2) does not write there
        struct msghdr message = {
                .msg_name = &socket, .msg_namelen = to->length, .msg_iov = &part, .msg_iovlen = 1};

        if (passed_fd >= 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof control.bytes;
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof passed_fd);
                memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof passed_fd);
        }
        if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                return 0;
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
                return NOTIFY_SEND_FULL;
        return error_set(error, errno, "notify the service manager");
}
