/* Making listening sockets: see listener.h. Called by the registry (listeners.c, group.c), in the
 * supervisor, with the rights that it has: a port below 1024 is opened by tacet, the app needs none.
 *
 * The first socket of a tcp group is bound alone, without SO_REUSEPORT, so that an address in use is found
 * out instead of shared with a stranger of the same user; the option is set before listen(2), which is when
 * the group is made (inet_hash()), and those that follow bind with it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/file_lock.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define SPARE_BYTES       128            /* a path of unix(7), and what the spare name adds */
#define BACKLOG_DEFAULT   4096           /* the kernel's own limit since 5.4 */
#define LOCK_WAIT_NS      (2 * NS_PER_S) /* for another supervisor that opens a socket in the same folder */
#define LAST_LOCK_WAIT_NS (NS_PER_S / 5) /* the same at the end, which must not take long */

static int option_set(int fd, int level, int option) {
        const int on = 1;

        return setsockopt(fd, level, option, &on, sizeof on);
}

static int open_failed(const struct listener *listener, const char *step, int code, struct error *error) {
        char text[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(&listener->address, text);
        error_set(error, code, "listen on %s (%s)", text, step);
        switch (code) {
        case EADDRINUSE:
                return error_hint(error, "another process has it: 'ss -lp' names it");
        case EADDRNOTAVAIL:
                return error_hint(error, "no interface has this address (yet)%s",
                        listener->is_declared ? "; 'free_bind = yes' does not wait for one" : "");
        case EACCES:
                return error_hint(error, socket_address_is_unix(&listener->address)
                                                 ? "its folder must be writable for tacet"
                                                 : "ports below 1024 need root or CAP_NET_BIND_SERVICE");
        case EAFNOSUPPORT:
                return error_hint(error, "there is no IPv6 here: give an IPv4 address such as 0.0.0.0:PORT");
        default:
                return -1;
        }
}

static int ipv6_only_set(const struct listener *listener, int fd) {
        int ipv6_only = listener->address.is_any ? 0 : listener->ipv6_only;

        if (listener->address.generic.sa_family != AF_INET6 || ipv6_only < 0)
                return 0;
        return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof ipv6_only);
}

/* One flag of a socket for both families (ipv6_setsockopt()). */
static int free_bind_set(const struct listener *listener, int fd) {
        return listener->is_free ? option_set(fd, IPPROTO_IP, IP_FREEBIND) : 0;
}

/* Without IPv6 `every address` is every IPv4 address. */
static int family_open(struct listener *listener) {
        struct socket_address *address = &listener->address;
        int type = address->type | SOCK_CLOEXEC, fd = socket(address->generic.sa_family, type, 0);

        if (fd < 0 && errno == EAFNOSUPPORT && address->is_any) {
                in_port_t port = address->in6.sin6_port;

                address->in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
                address->length = sizeof address->in4;
                address->is_any = false;
                fd = socket(AF_INET, type, 0);
        }
        return fd;
}

/* Port 0 became any free port: note it, so that later sockets of the group get the same. */
static void port_take(struct listener *listener, int fd) {
        struct socket_address bound;

        if (socket_address_port(&listener->address) != 0 || !socket_address_of(fd, &bound))
                return;
        bound.is_any = listener->address.is_any;
        listener->address = bound;
}

int listener_socket_open(struct listener *listener, bool is_first, int *out_fd, struct error *error) {
        CLEANUP_FD int fd = family_open(listener);
        bool is_stream = listener->address.type == SOCK_STREAM;
        int backlog = listener->backlog > 0 ? listener->backlog : BACKLOG_DEFAULT;

        if (fd < 0)
                return open_failed(listener, "socket", errno, error);
        /* For datagrams SO_REUSEADDR lets two sockets have the address; for a stream only TIME_WAIT is
         * ignored. */
        if (is_stream && option_set(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
                return open_failed(listener, "SO_REUSEADDR", errno, error);
        if (!is_first && option_set(fd, SOL_SOCKET, SO_REUSEPORT) < 0)
                return open_failed(listener, "SO_REUSEPORT", errno, error);
        if (ipv6_only_set(listener, fd) < 0)
                return open_failed(listener, "IPV6_V6ONLY", errno, error);
        if (free_bind_set(listener, fd) < 0)
                return open_failed(listener, "IP_FREEBIND", errno, error);
        if (bind(fd, &listener->address.generic, listener->address.length) < 0)
                return open_failed(listener, "bind", errno, error);
        port_take(listener, fd);
        if (is_first && is_stream && !listener->why_shared && option_set(fd, SOL_SOCKET, SO_REUSEPORT) < 0)
                return open_failed(listener, "SO_REUSEPORT", errno, error);
        if (is_stream && listen(fd, backlog) < 0)
                return open_failed(listener, "listen", errno, error);
        *out_fd = fd_take(&fd);
        return 0;
}

/* Is the file left over from a process that is gone? Then connect(2) is refused. */
static bool file_is_stale(const struct listener *listener) {
        CLEANUP_FD int fd = socket(AF_UNIX, listener->address.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && connect(fd, &listener->address.generic, listener->address.length) < 0 &&
               errno == ECONNREFUSED;
}

static int stale_file_remove(const struct listener *listener, struct error *error) {
        const char *path = socket_address_path(&listener->address);
        struct stat status;

        if (!path || lstat(path, &status) < 0)
                return 0;
        if (!S_ISSOCK(status.st_mode)) {
                error_set(error, EEXIST, "listen on %s", path);
                return error_hint(error, "a file that is no socket has this name: it is left alone");
        }
        if (file_is_stale(listener) && unlink(path) < 0)
                return error_set(error, errno, "remove the socket %s that nobody listens on", path);
        return 0;
}

/* bind(2) makes the file with all mode bits that the umask leaves: so it never has more than `mode`. */
static int local_bind(const struct listener *listener, const struct listener_file *file, int fd) {
        mode_t before = file->has_mode ? umask(~file->mode & 0777) : 0;
        int result = bind(fd, &listener->address.generic, listener->address.length), code = errno;

        if (file->has_mode)
                (void)umask(before);
        errno = code;
        return result;
}

static int local_open(
        struct listener *listener, const struct listener_file *file, int *out_fd, struct error *error) {
        const char *path = socket_address_path(&listener->address);
        CLEANUP_FD int fd = socket(AF_UNIX, listener->address.type | SOCK_CLOEXEC, 0);
        int backlog = listener->backlog > 0 ? listener->backlog : BACKLOG_DEFAULT;
        struct stat status;

        if (fd < 0)
                return open_failed(listener, "socket", errno, error);
        if (stale_file_remove(listener, error) < 0)
                return -1;
        if (local_bind(listener, file, fd) < 0)
                return open_failed(listener, "bind", errno, error);
        if (path && lstat(path, &status) == 0) {
                listener->file_device = status.st_dev;
                listener->file_inode = status.st_ino;
        }
        if (path && (file->user != (uid_t)-1 || file->group != (gid_t)-1) &&
                lchown(path, file->user, file->group) < 0)
                return open_failed(listener, "chown", errno, error);
        if (listener->address.type == SOCK_STREAM && listen(fd, backlog) < 0)
                return open_failed(listener, "listen", errno, error);
        *out_fd = fd_take(&fd);
        return 0;
}

/* Under a lock of the folder: between bind and listen this socket refuses connections, so another supervisor
 * would take its file for a stale one. For an adopted socket the lock is not waited for: the supervisor has
 * other things to do by then. */
int listener_local_open(
        struct listener *listener, const struct listener_file *file, int *out_fd, struct error *error) {
        const char *path = socket_address_path(&listener->address);
        int lock = path ? folder_lock(path, listener->is_declared ? LOCK_WAIT_NS : 0) : -1;
        int result = local_open(listener, file, out_fd, error);

        if (result == 0 && path && listener->is_declared)
                listener_spare_make(listener);
        fd_close(lock);
        return result;
}

void listener_local_remove(const struct listener *listener) {
        const char *path = socket_address_path(&listener->address);
        struct stat status;
        int lock;

        if (!path || !listener->file_inode)
                return;
        lock = folder_lock(path, LAST_LOCK_WAIT_NS);
        if (lstat(path, &status) == 0 && status.st_dev == listener->file_device &&
                status.st_ino == listener->file_inode)
                (void)unlink(path);
        fd_close(lock);
}

/* /run/app/.socket.spare of /run/app/socket: the same folder, since a link cannot leave a file system. */
static bool spare_format(const struct listener *listener, char out[static SPARE_BYTES]) {
        const char *path = socket_address_path(&listener->address);
        const char *slash = path ? strrchr(path, '/') : NULL;

        return slash && snprintf(out, SPARE_BYTES, "%.*s/.%s.spare", (int)(slash - path), path, slash + 1) <
                                SPARE_BYTES;
}

static bool file_is_ours(const struct listener *listener, const char *path) {
        struct stat status;

        return lstat(path, &status) == 0 && status.st_dev == listener->file_device &&
               status.st_ino == listener->file_inode;
}

void listener_spare_make(const struct listener *listener) {
        char spare[SPARE_BYTES];
        struct stat status;

        if (!spare_format(listener, spare))
                return;
        if (lstat(spare, &status) == 0 && S_ISSOCK(status.st_mode))
                (void)unlink(spare); /* of one before us, or of the socket that this one replaces */
        (void)!link(socket_address_path(&listener->address), spare);
}

void listener_spare_remove(const struct listener *listener) {
        char spare[SPARE_BYTES];

        if (listener->file_inode && spare_format(listener, spare) && file_is_ours(listener, spare))
                (void)unlink(spare);
}

bool listener_spare_use(const struct listener *listener) {
        char spare[SPARE_BYTES];

        return listener->file_inode && spare_format(listener, spare) && file_is_ours(listener, spare) &&
               link(spare, socket_address_path(&listener->address)) == 0;
}

const char *listener_inherited_check(const struct listener *listener, int fd) {
        struct listener copy = *listener;
        CLEANUP_FD int second = -1;
        int reuse = 0;
        socklen_t length = sizeof reuse;

        if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuse, &length) < 0 || !reuse)
                return "it was given by the service manager without SO_REUSEPORT (ReusePort=yes)";
        second = family_open(&copy);
        if (second < 0 || option_set(second, SOL_SOCKET, SO_REUSEADDR) < 0 ||
                option_set(second, SOL_SOCKET, SO_REUSEPORT) < 0 || ipv6_only_set(&copy, second) < 0 ||
                free_bind_set(&copy, second) < 0 ||
                bind(second, &copy.address.generic, copy.address.length) < 0)
                return "it was given by the service manager, and another user opened it";
        return NULL;
}
