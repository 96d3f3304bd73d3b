/* Connections of health checks that end in order: see closing.h. Called by the checks (probe.c), in the
 * supervisor.
 *
 * close(2) of a connection in which something is unread is a reset, and so is whatever arrives after it: a
 * server that greets its clients would log one for every check. So the end is told first (shutdown(2)), and
 * the connection is closed when the peer has answered with its own. What it says meanwhile is not looked at.
 * A peer that does not end is left alone after five seconds: it has been told, and resets itself the
 * connection if it still writes. */

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

/* The child of an http check may have made it a blocking one. MSG_TRUNC: of tcp the bytes are not even
 * copied. */
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

/* When all places are taken, that of the one that has had most of its time. */
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

        /* It never stood, or does not any more. */
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
