/* The child of one HTTP health check: the only place where bytes of the app's answer are read.
 *
 * Forked from the supervisor, which maps no secret, with only the connection and the pipe for its answer
 * open. Once connected it can only read, write and end (seccomp(2), strict mode), so a malicious answer can
 * do nothing outside. The supervisor kills it when its time is over. */

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "supervisor/health/http_status.h"
#include "supervisor/health/probe.h"

/* exit(2) of this thread: exit_group(2) is not among the calls that are left. */
static _Noreturn void answer_write(int fd, enum probe_answer_kind kind, int code) {
        const struct probe_answer message = {.kind = (int32_t)kind, .code = code};

        (void)fd_write_full(fd, &message, sizeof message);
        for (;;)
                (void)syscall(SYS_exit, 0);
}

/* Wait until the socket is connected. Returns 0 or an errno. */
static int connection_wait(int fd, int64_t deadline_ns) {
        struct pollfd wanted = {.fd = fd, .events = POLLOUT};
        int64_t left_ms = deadline_ns == NS_FOREVER ? -1 : (deadline_ns - time_now_ns()) / NS_PER_MS + 1;
        socklen_t size = sizeof(int);
        int code = 0;

        if (left_ms > INT32_MAX)
                left_ms = INT32_MAX;
        if (poll(&wanted, 1, (int)left_ms) == 0)
                return ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
                return errno;
        return code;
}

_Noreturn void probe_child_http(int connection, int answer_fd, const char *request, int64_t deadline_ns) {
        char text[HTTP_STATUS_BYTES_MAX];
        size_t length = 0;
        int status = HTTP_STATUS_MORE, code;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fd_close_others(connection, answer_fd);
        code = connection_wait(connection, deadline_ns);
        if (code)
                answer_write(answer_fd, PROBE_ANSWER_NO_CONNECT, code);
        /* O_NONBLOCK is shared with the supervisor, which reads with MSG_DONTWAIT. */
        (void)fcntl(connection, F_SETFL, 0);
#ifndef TACET_SANITIZE /* its run time makes calls of its own */
        (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
#endif
        if (fd_write_full(connection, request, strlen(request)) < 0)
                answer_write(answer_fd, PROBE_ANSWER_BROKEN, errno);
        while (status == HTTP_STATUS_MORE && length < sizeof text) {
                ssize_t got = read(connection, text + length, sizeof text - length);

                if (got <= 0)
                        answer_write(answer_fd, length ? PROBE_ANSWER_NO_HTTP : PROBE_ANSWER_BROKEN,
                                got < 0 ? errno : 0);
                length += (size_t)got;
                status = http_status_read(text, length);
        }
        if (status <= 0)
                answer_write(answer_fd, PROBE_ANSWER_NO_HTTP, 0);
        answer_write(answer_fd, PROBE_ANSWER_STATUS, status);
}
