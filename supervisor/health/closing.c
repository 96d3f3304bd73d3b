/* Connections of health checks that end in order: see closing.h. Called by the checks (probe.c), in the
 * supervisor.
 *
 * close(2) of a connection with unread data sends a reset, and so does data that arrives afterwards: a server
 * that greets its clients would log one for every check. So our end is sent first (shutdown(2)), and the
 * connection is closed when the peer has ended it, too. What it sends meanwhile is discarded. After five
 * seconds the connection is closed in any case. */

#include "supervisor/health/closing.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/duration.h"
#include "lib/error.h"
#include "lib/fd.h"
#include "lib/log.h"

#define LEAVING_NS        (5 * NS_PER_S)
#define LEAVING_BYTES_MAX ((size_t)1024 * 1024)
#define READ_BYTES        4096
#define READS_PER_TURN    16

static void connection_close(struct leaving_connection *connection) {
        struct leaving *leaving = connection->source.owner;

        loop_timer_clear(leaving->loop, &connection->timer);
        loop_remove(leaving->loop, &connection->source);
        fd_cleanup(&connection->source.fd);
        connection->source.owner = NULL;
}

static void connection_on_due(struct loop_timer *timer) {
        connection_close(timer->owner);
}

/* MSG_DONTWAIT: the child of an http check may have made the connection blocking. MSG_TRUNC: bytes of tcp are
 * not copied (tcp(7)). */
static void connection_on_readable(struct loop_source *source) {
        struct leaving_connection *connection =
                (struct leaving_connection *)((char *)source - offsetof(struct leaving_connection, source));
        char bytes[READ_BYTES];

        for (int i = 0; i < READS_PER_TURN; i++) {
                ssize_t count = recv(source->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);

                if (count < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                connection->bytes += count > 0 ? (size_t)count : 0;
                if (count <= 0 || connection->bytes > LEAVING_BYTES_MAX) {
                        connection_close(connection);
                        return;
                }
        }
}

/* A free place; when all are taken, the oldest connection is closed. */
static struct leaving_connection *place_take(struct leaving *leaving) {
        struct leaving_connection *oldest = &leaving->list[0];

        for (size_t i = 0; i < LEAVING_MAX; i++) {
                struct leaving_connection *connection = &leaving->list[i];

                if (!connection->source.owner)
                        return connection;
                if (connection->timer.deadline_ns < oldest->timer.deadline_ns)
                        oldest = connection;
        }
        connection_close(oldest);
        return oldest;
}

void leaving_begin(struct leaving *leaving, struct loop *loop, int take_fd) {
        CLEANUP_FD int fd = take_fd;
        struct leaving_connection *connection;
        struct error error;

        /* There is no connection, or not any more. */
        if (fd < 0 || shutdown(fd, SHUT_WR) < 0)
                return;
        leaving->loop = loop;
        connection = place_take(leaving);
        *connection = (struct leaving_connection){
                .source = {.fd = fd, .on_readable = connection_on_readable, .owner = leaving},
                .timer = {.on_due = connection_on_due, .owner = connection},
        };
        if (loop_add(loop, &connection->source, &error) < 0) {
                log_error(LOG_ERROR, &error);
                connection->source.owner = NULL;
                return;
        }
        (void)fd_take(&fd);
        loop_timer_set(loop, &connection->timer, time_add(time_now_ns(), LEAVING_NS));
}
