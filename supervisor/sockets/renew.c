/* Shared sockets are looked at before an instance gets one: see listener.h. Called at each start and each
 * bind, in the supervisor.
 *
 * Some servers end with shutdown(2) on their listener (Perl's Net::Server, whoever wakes up his own accept
 * thread like that), and that is the socket of all who come after: every client would be refused, and nothing
 * say so. Others remove the file of the socket at their end, or somebody cleans up the folder. A tcp socket
 * listens again when it is told to; a unix socket stays shut down (unix(7)), so it is made anew, as is one
 * whose file is not there. An old instance goes on with the old socket and what waits there. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

/* What cannot be asked is taken for sound. A tcp socket does not listen any more (SO_ACCEPTCONN); a unix
 * socket still says that it does, but its end is there to be read (unix_poll()). */
static bool is_shut_down(const struct listener *listener) {
        struct pollfd end = {.fd = listener->members[0].fd, .events = POLLRDHUP};
        int is_listening = 0;
        socklen_t length = sizeof is_listening;

        if (listener->address.type != SOCK_STREAM)
                return false;
        if (socket_address_is_unix(&listener->address))
                return poll(&end, 1, 0) == 1 && (end.revents & (POLLRDHUP | POLLHUP));
        return getsockopt(end.fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) == 0 && !is_listening;
}

/* Is the file that was made for it not there any more? */
static bool is_without_file(const struct listener *listener) {
        const char *path = socket_address_path(&listener->address);
        struct stat status;

        if (!path || !listener->file_inode)
                return false;
        if (lstat(path, &status) < 0)
                return errno == ENOENT || errno == ENOTDIR;
        return status.st_dev != listener->file_device || status.st_ino != listener->file_inode;
}

/* Returns whether somebody was reached there. */
static bool members_shut_down(const struct listener *listener) {
        bool was_open = false;

        for (size_t i = 0; i < listener->member_count; i++)
                was_open |= listener_is_listening(listener->members[i].fd) &&
                            shutdown(listener->members[i].fd, SHUT_RDWR) == 0;
        return was_open;
}

size_t listeners_vacate(struct listeners *listeners, const char **out_name) {
        size_t count = 0;

        *out_name = NULL;
        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];

                if (listener->is_declared || listener->member_count == 0 ||
                        listener->members[0].is_permanent || listener->address.type != SOCK_STREAM ||
                        (listener->why_shared && is_shut_down(listener)) || !members_shut_down(listener))
                        continue;
                listener->is_vacated = true;
                if (count++ == 0)
                        *out_name = listener->name;
        }
        return count;
}

static int tcp_listen_again(const struct listener *listener, struct error *error) {
        if (listen(listener->members[0].fd, listener->backlog > 0 ? listener->backlog : SOMAXCONN) < 0)
                return error_set(error, errno, "the socket '%s' was shut down by an app: listen again",
                        listener->name);
        log_write(listener->is_vacated ? LOG_DEBUG : LOG_NOTICE,
                "'%s': the socket was shut down by %s: it listens again", listener->name,
                listener->is_vacated ? "us" : "an app");
        return 0;
}

/* The same socket under its name again: who runs is reached as before. */
static bool file_put_back(const struct listener *listener) {
        if (!listener_spare_use(listener))
                return false;
        log_write(LOG_NOTICE, "'%s': the file of the socket was removed: it is put back", listener->name);
        return true;
}

void listeners_mend_files(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->list[i].is_declared && is_without_file(&listeners->list[i]))
                        (void)file_put_back(&listeners->list[i]);
}

int listener_renew(struct listener *listener, struct error *error) {
        struct listener_member *member = &listener->members[0];
        const bool is_deaf = is_shut_down(listener), is_lost = is_without_file(listener);
        const char *what = is_deaf ? "was shut down" : "had lost its file";
        int fd = -1;

        if (!is_deaf && (!is_lost || file_put_back(listener)))
                return 0;
        if (is_deaf && !socket_address_is_unix(&listener->address)) {
                const int result = tcp_listen_again(listener, error);

                listener->is_vacated &= result < 0;
                return result;
        }
        if (member->is_permanent) {
                log_write(LOG_WARNING, "'%s': the socket of the service manager %s: restart its unit",
                        listener->name, what);
                return 0;
        }
        if (listener_local_open(listener, &listener->file, &fd, error) == 0) {
                fd_cleanup(&member->fd);
                member->fd = fd;
                log_write(listener->is_vacated ? LOG_DEBUG : LOG_NOTICE, "'%s': the socket %s: made again",
                        listener->name, what);
                listener->is_vacated = false;
                return 0;
        }
        if (is_deaf)
                return error_wrap(error, "the socket '%s' was shut down by an app", listener->name);
        log_error(LOG_WARNING, error); /* who has it open is served by it still */
        return 0;
}
