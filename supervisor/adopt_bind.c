/* Answering a bind: see adopt_call.h. Runs in the supervisor, for processes that it need not trust.
 *
 * A call that cannot be understood goes on in the kernel, which then gives the error it always gave. Nothing is decided for safety
 * here: a process that changes its arguments behind our back, or binds through io_uring, gets what it would have got
 * without tacet. */

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "supervisor/adopt_call.h"
#include "supervisor/caller.h"
#include "supervisor/listeners.h"
#include "supervisor/state.h"

static struct adopt_socket *socket_by_address(struct adopt_tree *tree, const struct socket_address *address) {
        for (size_t i = 0; i < tree->socket_count; i++)
                if (socket_address_equal(&tree->sockets[i].address, address))
                        return &tree->sockets[i];
        return NULL;
}

/* Returns false when the call goes on: nothing there, nothing of ours, or nothing to be seen. */
static bool bind_address_read(const struct adopt_request *call, struct socket_address *out) {
        struct sockaddr_storage raw = {0};
        int code;

        if (call->length < sizeof raw.ss_family || call->length > sizeof raw)
                return false;
        code = caller_read_memory(call->thread, call->address, &raw, call->length);
        if (!adopt_is_waiting(call))
                return false;
        if (adopt_is_our_lack(code))
                adopt_complain(call->tree, call->thread, code, "read the memory");
        if (code != 0 ||
                !socket_address_set(out, SOCK_STREAM, (struct sockaddr *)&raw, (socklen_t)call->length))
                return false;
        return !socket_address_path(out) || adopt_path_address(call, socket_address_path(out), out);
}

static int option_of(int fd, int level, int name) {
        socklen_t length = sizeof(int);
        int value = -1;

        if (fd < 0 || getsockopt(fd, level, name, &value, &length) < 0)
                return -1;
        return value;
}

/* What an app sets before bind and what accepted connections inherit. The address options are not here: they are ours. */
static void options_copy(int from, int to) {
        static const struct {
                int level, name;
                bool is_doubled; /* socket(7): the kernel tells twice what was asked for */
        } options[] = {
                {SOL_SOCKET, SO_KEEPALIVE, false},
                {SOL_SOCKET, SO_LINGER, false},
                {SOL_SOCKET, SO_OOBINLINE, false},
                {SOL_SOCKET, SO_RCVLOWAT, false},
                {SOL_SOCKET, SO_RCVBUF, true},
                {SOL_SOCKET, SO_SNDBUF, true},
                {IPPROTO_TCP, TCP_NODELAY, false},
                {IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
                {IPPROTO_TCP, TCP_FASTOPEN, false},
                {IPPROTO_TCP, TCP_KEEPIDLE, false},
                {IPPROTO_TCP, TCP_KEEPINTVL, false},
                {IPPROTO_TCP, TCP_KEEPCNT, false},
                {IPPROTO_TCP, TCP_USER_TIMEOUT, false},
                {IPPROTO_TCP, TCP_LINGER2, false},
                {IPPROTO_IP, IP_TOS, false},
                {IPPROTO_IPV6, IPV6_TCLASS, false},
        };

        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
                int wanted[2] = {0}, present[2] = {0};
                socklen_t wanted_bytes = sizeof wanted, present_bytes = sizeof present;

                if (getsockopt(from, options[i].level, options[i].name, wanted, &wanted_bytes) < 0 ||
                        getsockopt(to, options[i].level, options[i].name, present, &present_bytes) < 0 ||
                        memcmp(wanted, present, sizeof wanted) == 0)
                        continue;
                if (options[i].is_doubled)
                        wanted[0] /= 2;
                (void)setsockopt(to, options[i].level, options[i].name, wanted, wanted_bytes);
        }
}

/* The flag belongs to the open socket, so it is set anew by each bind; instances of one app want the same. */
static void blocking_copy(int flags, int to) {
        int present = fcntl(to, F_GETFL);

        if (flags >= 0 && present >= 0 && ((flags ^ present) & O_NONBLOCK))
                (void)fcntl(to, F_SETFL, present ^ O_NONBLOCK);
}

/* Put `fd` on the descriptor of the call; the app's own socket is closed by that. */
static int socket_place(const struct adopt_request *call, int fd, int flags) {
        struct seccomp_notif_addfd request = {
                .id = call->id,
                .flags = SECCOMP_ADDFD_FLAG_SETFD,
                .srcfd = (uint32_t)fd,
                .newfd = (uint32_t)call->number,
                .newfd_flags = flags < 0 || (flags & O_CLOEXEC) ? O_CLOEXEC : 0,
        };

        return adopt_ioctl(call->tree, SECCOMP_IOCTL_NOTIF_ADDFD, &request) < 0 ? errno : 0;
}

static bool is_held(const struct adopt_socket *entry) {
        return caller_inode(entry->process, entry->number) == entry->inode;
}

/* The tree has this address already. As in the kernel, another socket may share it only when both say so; one that was closed since
 * does not count. */
static bool is_taken(const struct adopt_socket *entry, int reuses_port) {
        return (entry->reuses_port == 0 || reuses_port == 0) && is_held(entry);
}

/* The file of a unix socket is made as the app would have made it: its user, its umask, its rights. */
static int socket_find(struct adopt_request *call, const struct socket_address *address, int ipv6_only,
        int *out_fd, struct error *error) {
        CLEANUP_IDENTITY struct caller_identity identity = {0};
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;

        options.backlog = ADOPT_BACKLOG;
        options.ipv6_only = ipv6_only;
        if (socket_address_path(address))
                caller_identity_borrow(call->thread, &identity);
        return listeners_adopt(call->supervisor, call->tree->generation, address, &options, out_fd, error);
}

static int adopt_now(struct adopt_request *call, const struct socket_address *address,
        const struct caller_socket *socket, struct adopt_socket *entry) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct error error = {0};
        struct stat status;
        int fd, code, ipv6_only = -1;

        if (address->generic.sa_family == AF_INET6)
                ipv6_only = option_of(socket->fd, IPPROTO_IPV6, IPV6_V6ONLY);
        socket_address_format(address, text);
        if (socket_find(call, address, ipv6_only, &fd, &error) < 0) {
                error_wrap(&error, "give process %d a socket for %s", (int)call->thread, text);
                log_error(call->tree->failure == error.code ? LOG_DEBUG : LOG_WARNING, &error);
                call->tree->failure = error.code;
                return error.code > 0 ? -error.code : ADOPT_GOES_ON;
        }
        if (socket->fd >= 0)
                options_copy(socket->fd, fd);
        blocking_copy(socket->flags, fd);
        code = fstat(fd, &status) < 0 ? errno : socket_place(call, fd, socket->flags);
        if (code != 0)
                return code == ENOENT ? ADOPT_GOES_ON : -code;
        *entry = (struct adopt_socket){
                .address = *address,
                .inode = status.st_ino,
                .process = socket->process > 0 ? socket->process : call->thread,
                .number = call->number,
                .reuses_port = option_of(socket->fd, SOL_SOCKET, SO_REUSEPORT),
                .is_unanswered = true,
        };
        call->placed = entry;
        if (entry == &call->tree->sockets[call->tree->socket_count])
                call->tree->socket_count++;
        log_write(LOG_INFO, "process %d has got the socket of generation %llu for %s", (int)call->thread,
                (unsigned long long)call->tree->generation, text);
        return 0;
}

/* Where to write down another address: over one that is not held any more when all places are taken. */
static struct adopt_socket *entry_for(const struct adopt_request *call) {
        struct adopt_tree *tree = call->tree;

        if (tree->socket_count < ADOPT_SOCKETS_MAX)
                return &tree->sockets[tree->socket_count];
        for (size_t i = 0; i < tree->socket_count; i++)
                if (!is_held(&tree->sockets[i]))
                        return &tree->sockets[i];
        adopt_complain(tree, call->thread, ENOBUFS, "adopt more sockets");
        return NULL;
}

/* Is it a stream socket that would be bound where ours is? */
static bool is_suitable(const struct adopt_request *call, const struct caller_socket *socket, int family) {
        if (!socket->type)
                adopt_complain(call->tree, call->thread, EPERM, "see the sockets");
        return socket->type == SOCK_STREAM && socket->domain == family && !socket->is_elsewhere &&
               option_of(socket->fd, SOL_SOCKET, SO_BINDTOIFINDEX) <= 0;
}

static int bind_answer(struct adopt_request *call, const struct socket_address *address,
        const struct caller_socket *socket) {
        struct adopt_tree *tree = call->tree;
        struct adopt_socket *known = adopt_socket_by_inode(tree, socket->inode), *entry;

        if (known) { /* bound already; or in place since a call that was interrupted and came again */
                if (!known->is_unanswered || known->number != call->number)
                        return ADOPT_GOES_ON;
                call->placed = known;
                return 0;
        }
        entry = socket_by_address(tree, address);
        if (entry && is_taken(entry, option_of(socket->fd, SOL_SOCKET, SO_REUSEPORT)))
                return -EADDRINUSE;
        if (!entry)
                entry = entry_for(call);
        return entry ? adopt_now(call, address, socket, entry) : ADOPT_GOES_ON;
}

int adopt_answer_bind(struct adopt_request *call) {
        CLEANUP_CALLER struct caller_socket socket = CALLER_SOCKET_NONE;
        struct socket_address address;
        int code;

        if (!bind_address_read(call, &address) || adopt_rule_of(call->supervisor, &address) < 0)
                return ADOPT_GOES_ON;
        code = caller_look(call->thread, call->number, &socket);
        if (!adopt_is_waiting(call))
                return ADOPT_GOES_ON;
        if (adopt_is_our_lack(code))
                adopt_complain(call->tree, call->thread, code, "see the sockets");
        if (code != 0 || !is_suitable(call, &socket, address.generic.sa_family)) {
                if (socket.type == SOCK_STREAM)
                        listeners_kept_yield(call->supervisor, &address);
                return ADOPT_GOES_ON;
        }
        return bind_answer(call, &address, &socket);
}
