/* The file of the control socket: see socket.h. Called in the supervisor at the start and at the end, so it
 * may wait for another supervisor that does the same in the same folder. */

#include "supervisor/control/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/file_lock.h"

#define BACKLOG           16
#define LOCK_WAIT_NS      (2 * NS_PER_S) /* for another supervisor that opens its socket in the same folder */
#define LAST_LOCK_WAIT_NS (NS_PER_S / 5) /* the same at the end, which must not take long */

static int socket_new(struct error *error) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? error_set(error, errno, "make the control socket") : fd;
}

/* Remove the file at the path, if it is a socket that no process listens on: a killed supervisor left it. */
static int stale_file_remove(const struct sockaddr_un *address, struct error *error) {
        CLEANUP_FD int fd = socket_new(error);
        struct stat status;

        if (fd < 0)
                return -1;
        if (lstat(address->sun_path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
                error_set(error, 0, "control socket '%s': something else is there", address->sun_path);
                return error_hint(error, "a file that is no socket has this name: it is left alone");
        }
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN) {
                error_set(error, 0, "control socket '%s': another supervisor serves it", address->sun_path);
                return error_hint(error, "give each service a path of its own");
        }
        if (errno != ECONNREFUSED && errno != ENOENT)
                return error_set(error, errno, "control socket '%s'", address->sun_path);
        if (unlink(address->sun_path) < 0 && errno != ENOENT)
                return error_set(error, errno, "remove the old control socket '%s'", address->sun_path);
        return 0;
}

/* Mode 0600 from its first moment: chmod(2) afterwards would leave a gap. */
static int socket_bind_private(int fd, const struct sockaddr_un *address) {
        mode_t former = umask(0177);
        int result = bind(fd, (const struct sockaddr *)address, sizeof *address);

        (void)umask(former);
        return result;
}

static int socket_bind(
        struct control_socket *socket, int fd, const struct sockaddr_un *address, struct error *error) {
        int result = socket_bind_private(fd, address);
        struct stat status = {0};

        if (result < 0 && errno == EADDRINUSE) {
                if (stale_file_remove(address, error) < 0)
                        return -1;
                result = socket_bind_private(fd, address);
        }
        if (result == 0)
                result = lstat(address->sun_path, &status);
        if (result == 0)
                result = listen(fd, BACKLOG);
        if (result < 0) {
                error_set(error, errno, "control socket '%s'", address->sun_path);
                return error_hint(error, "its directory must exist and be writable for tacet");
        }
        socket->device = status.st_dev;
        socket->inode = status.st_ino;
        return 0;
}

/* Bind and listen under a lock of the folder: between the two this socket refuses connections, so another
 * supervisor would take its file for a stale one. */
static int socket_bind_locked(
        struct control_socket *socket, int fd, const struct sockaddr_un *address, struct error *error) {
        int lock = folder_lock(address->sun_path, LOCK_WAIT_NS);
        int result = socket_bind(socket, fd, address, error);

        fd_close(lock);
        return result;
}

int control_socket_open(struct control_socket *socket, const char *path, struct error *error) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        CLEANUP_FD int fd = -1;

        if (strlen(path) >= sizeof address.sun_path) {
                error_set(error, ENAMETOOLONG, "control socket '%s'", path);
                return error_hint(error, "the path of a unix socket has at most %zu bytes",
                        sizeof address.sun_path - 1);
        }
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket_new(error);
        if (fd < 0 || socket_bind_locked(socket, fd, &address, error) < 0)
                return -1;
        memcpy(socket->path, address.sun_path, sizeof socket->path);
        socket->fd = fd_take(&fd);
        return 0;
}

void control_socket_close(struct control_socket *socket) {
        struct stat status;
        int lock;

        fd_cleanup(&socket->fd);
        lock = folder_lock(socket->path, LAST_LOCK_WAIT_NS);
        if (lstat(socket->path, &status) == 0 && status.st_dev == socket->device &&
                status.st_ino == socket->inode)
                (void)unlink(socket->path);
        fd_close(lock);
}
