/* Answering a bind: see call.h. Runs in the supervisor, for processes that it need not trust.
 *
 * A call that cannot be understood goes on in the kernel, which then gives its usual error. Security does not
 * depend on what is decided here: a process that changes its arguments meanwhile, or binds through io_uring,
 * gets what it would have got without tacet. */

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
#include "supervisor/adopt/call.h"
#include "supervisor/adopt/caller.h"
#include "supervisor/sockets/listeners.h"

static struct adopt_socket *socket_by_address(struct adopt_tree *tree, const struct socket_address *address) {
        for (size_t i = 0; i < tree->socket_count; i++)
                if (socket_address_equal(&tree->sockets[i].address, address))
                        return &tree->sockets[i];
        return NULL;
}

bool adopt_address_take(
        const struct adopt_request *call, const struct adopt_sight *sight, struct socket_address *out) {
        const struct sockaddr *raw = (const struct sockaddr *)&sight->memory.socket_address;
        int code = sight->memory_code;

        if (!adopt_is_waiting(call))
                return false;
        if (adopt_is_our_lack(code))
                adopt_complain(call->tree, call->thread, code, "read the memory");
        if (code != 0 || !socket_address_set(out, SOCK_STREAM, raw, (socklen_t)call->length))
                return false;
        return !socket_address_path(out) || adopt_path_address(call, socket_address_path(out), out);
}

/* O_NONBLOCK belongs to the socket, which all instances share: the last bind counts. Instances of one app
 * want the same. */
static void nonblock_copy(int flags, int to) {
        int present = fcntl(to, F_GETFL);

        if (flags >= 0 && present >= 0 && ((flags ^ present) & O_NONBLOCK))
                (void)fcntl(to, F_SETFL, present ^ O_NONBLOCK);
}

/* Put `fd` on the descriptor number of the call, which closes the app's own socket. Returns 0 or an errno. */
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

static bool entry_is_held(const struct adopt_socket *entry) {
        return caller_inode(entry->process, entry->number) == entry->inode;
}

/* Is the address of `entry`, which the tree has bound before, in use? As in the kernel, another socket may
 * share it only when both have SO_REUSEPORT; an entry whose socket was closed since does not count. */
static bool entry_is_taken(const struct adopt_socket *entry, int reuses_port) {
        return (entry->reuses_port == 0 || reuses_port == 0) && entry_is_held(entry);
}

/* The generation's socket for the address. The file of a unix socket is made as the app would have made it:
 * with its user, umask and rights. */
static int socket_find(struct adopt_request *call, const struct socket_address *address, int ipv6_only,
        int *out_fd, struct error *error) {
        CLEANUP_IDENTITY struct caller_identity identity = {0};
        struct listener_options options = LISTENER_OPTIONS_DEFAULT;

        options.backlog = ADOPT_BACKLOG;
        options.ipv6_only = ipv6_only;
        if (socket_address_path(address))
                caller_identity_borrow(call->thread, &identity);
        return listeners_adopt(
                call->tree->adopt->rooms.listeners, &call->tree->seat, address, &options, out_fd, error);
}

static int bind_adopt(struct adopt_request *call, const struct socket_address *address,
        const struct caller_socket *socket, struct adopt_socket *entry) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];
        struct error error = {0};
        struct stat status;
        int fd, code, ipv6_only = -1;

        if (address->generic.sa_family == AF_INET6)
                ipv6_only = socket->ipv6_only;
        socket_address_format(address, text);
        if (socket_find(call, address, ipv6_only, &fd, &error) < 0) {
                /* Made as the app's user, whose right it is that is missing. */
                if (error.code == EACCES && socket_address_path(address))
                        error_hint(&error, "its folder must be writable for the user of process %d",
                                (int)call->thread);
                error_wrap(&error, "give process %d a socket for %s", (int)call->thread, text);
                log_error(call->tree->failure == error.code ? LOG_DEBUG : LOG_WARNING, &error);
                call->tree->failure = error.code;
                return error.code > 0 ? -error.code : ADOPT_GOES_ON;
        }
        caller_options_give(socket, fd);
        nonblock_copy(socket->flags, fd);
        code = fstat(fd, &status) < 0 ? errno : socket_place(call, fd, socket->flags);
        if (code != 0)
                return code == ENOENT ? ADOPT_GOES_ON : -code;
        *entry = (struct adopt_socket){
                .address = *address,
                .inode = status.st_ino,
                .process = socket->process > 0 ? socket->process : call->thread,
                .number = call->number,
                .reuses_port = socket->reuses_port,
                .is_unanswered = true,
        };
        call->placed = entry;
        call->tree->adopt->starts[call->tree->seat.slot] = ADOPT_START_BOUND;
        if (entry == &call->tree->sockets[call->tree->socket_count])
                call->tree->socket_count++;
        log_write(LOG_INFO, "process %d has got the socket of generation %llu for %s", (int)call->thread,
                (unsigned long long)call->tree->seat.generation, text);
        return 0;
}

/* A free place for another address; when all are taken, that of a socket which was closed since. */
static struct adopt_socket *entry_take(const struct adopt_request *call) {
        struct adopt_tree *tree = call->tree;

        if (tree->socket_count < ADOPT_SOCKETS_MAX)
                return &tree->sockets[tree->socket_count];
        for (size_t i = 0; i < tree->socket_count; i++)
                if (!entry_is_held(&tree->sockets[i]))
                        return &tree->sockets[i];
        adopt_complain(tree, call->thread, ENOBUFS, "adopt more sockets");
        return NULL;
}

/* Is it a stream socket that would be bound where ours is? */
static bool socket_is_suitable(
        const struct adopt_request *call, const struct caller_socket *socket, int family) {
        if (!socket->type)
                adopt_complain(call->tree, call->thread, EPERM, "see the sockets");
        return socket->type == SOCK_STREAM && socket->domain == family && !socket->is_elsewhere &&
               socket->device <= 0;
}

static int bind_answer(struct adopt_request *call, const struct socket_address *address,
        const struct caller_socket *socket) {
        struct adopt_tree *tree = call->tree;
        struct adopt_socket *known = adopt_socket_by_inode(tree, socket->inode), *entry;

        if (known) { /* bound already, or put in place before this call was interrupted and repeated */
                if (!known->is_unanswered || known->number != call->number)
                        return ADOPT_GOES_ON;
                call->placed = known;
                return 0;
        }
        entry = socket_by_address(tree, address);
        if (entry && entry_is_taken(entry, socket->reuses_port))
                return -EADDRINUSE;
        if (!entry)
                entry = entry_take(call);
        return entry ? bind_adopt(call, address, socket, entry) : ADOPT_GOES_ON;
}

int adopt_answer_bind(struct adopt_request *call, const struct adopt_sight *sight) {
        const struct caller_socket *socket = &sight->socket;
        struct socket_address address;
        int code = sight->socket_code;

        if (!adopt_address_take(call, sight, &address))
                return ADOPT_GOES_ON;
        if (rules_match(call->tree->adopt->rooms.rules, &address) < 0) {
                adopt_note_unnamed(call->tree, sight, &address);
                return ADOPT_GOES_ON;
        }
        if (adopt_is_our_lack(code))
                adopt_complain(call->tree, call->thread, code, "see the sockets");
        if (code != 0 || !socket_is_suitable(call, socket, address.generic.sa_family)) {
                if (socket->type == SOCK_STREAM)
                        listeners_kept_yield(call->tree->adopt->rooms.listeners, &address);
                return ADOPT_GOES_ON;
        }
        return bind_answer(call, &address, socket);
}
