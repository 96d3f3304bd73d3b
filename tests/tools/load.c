/* load: an open-loop HTTP client that opens a new connection for every request, and says what became of each.
 *
 *   load [options] ADDRESS          HOST:PORT, [V6]:PORT or a unix socket's /path
 *     --rate N          requests a second (1000)          --seconds N      for so long (20)
 *     --slow N          so many of a thousand ask for /slow (10)
 *     --deadline MS     a request fails that is not answered so long after it was asked (3000); when this
 *                       program itself did not get to run does not count
 *     --progress FILE   where to keep count of the answers, as three int64: good ones, failures,
 *                       generation of the last one
 *     --every MS        each so many ms, the last time that long before the end:
 *       --kill SIG:PID    send a signal (HUP, USR2, TERM or a number)
 *       --run COMMAND     start a command of the shell
 *     --window MS       requests due so long after a mark are counted apart (1000)
 *
 * Requests are due at fixed times, whatever became of those before: a server that stands still is seen as all
 * the requests that wait for it. Times are counted from when a request was due. A mark is set by --every and
 * by SIGUSR1; SIGTERM and SIGINT end the load early. One JSON object is printed at the end:
 *
 *   requests, ok, failed {refused, reset, cut, timeout, status, local}, all/calm/after {count, p50_ms,
 *   p99_ms, max_ms},
 *   silence_ms (longest time without any answer while a request that is not slow was outstanding),
 *   silences_ms per mark,
 *   stall_ms (longest time this program itself was late by: what the machine is to blame for),
 *   marks [{at_ms, at_ns}], answers [{generation, pid, label, count, first_ms, last_ms}], begin_ns
 *
 * An answer is ok when it is complete (Content-Length bytes, or a body up to the end when there is no such
 * line), has status 200, and came in time. Its body says who answered: "GENERATION PID LABEL". A reset after
 * a complete answer is none. Clients come from changing addresses of 127/8, so that no port runs out. */

#include "load/options.h"
#include "load/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS             INT64_C(1000000)
#define MARKS_MAX      4096
#define ANSWERERS_MAX  4096
#define EVENTS_MAX     256
#define RESPONSE_BYTES 1024
#define CLIENTS        16
#define STALL_NS_MIN   (20 * MS)
/* IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect, from all that are free toward the server. */
#define ADDRESS_NO_PORT 24

/* One connection; in `open` in the order of its due time. `is_waiting`: connect() was not even begun (a full
 * unix queue). */
struct connection {
        int fd;
        uint32_t request;
        bool is_waiting, is_sent, is_done;
        uint32_t length;
        int64_t begun_ns, paused_ns;
        struct connection *next, *previous;
        char response[RESPONSE_BYTES];
};

static struct options options = {
        .rate = 1000, .seconds = 20, .slow = 10, .deadline_ms = 3000, .window_ms = 1000};

static struct request *requests;
static uint32_t request_count, wanted_count;
static struct connection open_list = {.next = &open_list, .previous = &open_list};
static struct answerer answerers[ANSWERERS_MAX];
static size_t answerer_count;
static int64_t marks[MARKS_MAX];
static size_t mark_count;
static uint32_t waiting_count;
static int64_t begin_ns, stall_ns;
static int64_t paused_ns; /* how long this program was not run when it should have been, all in all */
static struct progress { int64_t ok, failed, generation; } unseen_progress, *progress = &unseen_progress;
static int epoll_fd = -1, timer_fd = -1, signal_fd = -1;

/* What an event of epoll is about when it is no connection. */
static struct connection timer_source, signal_source;

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void fail(const char *what) {
        fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* ---- connections --------------------------------------------------------------------------------------- */

static void connection_end(struct connection *connection) {
        connection->previous->next = connection->next;
        connection->next->previous = connection->previous;
        waiting_count -= connection->is_waiting;
        /* Between fork and exec a command has a copy: closing alone would not end the events. */
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        if (connection->fd >= 0)
                close(connection->fd);
        free(connection);
}

static void request_finish(struct connection *connection, enum outcome outcome) {
        struct request *request = &requests[connection->request];
        if (connection->is_done)
                return;
        connection->is_done = true;
        request->outcome = outcome;
        request->done_ns = now_ns();
        progress->ok += outcome == OUTCOME_OK;
        progress->failed += outcome != OUTCOME_OK;
}

static enum outcome outcome_of(int error) {
        switch (error) {
        case ECONNREFUSED:
        case ENOENT:
                return REFUSED;
        case ECONNRESET:
        case EPIPE:
                return RESET;
        case ETIMEDOUT:
                return TIMEOUT;
        default:
                return LOCAL;
        }
}

static void connection_fail(struct connection *connection, int error) {
        enum outcome outcome = outcome_of(error);
        if (outcome == LOCAL && !connection->is_done)
                fprintf(stderr, "load: %s\n", strerror(error));
        request_finish(connection, outcome);
        connection_end(connection);
}

static int socket_make(uint32_t number) {
        int fd = socket(options.server.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
        if (fd < 0 || options.server.any.sa_family != AF_INET)
                return fd;
        struct sockaddr_in client = {.sin_family = AF_INET};
        client.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % CLIENTS);
        setsockopt(fd, IPPROTO_IP, ADDRESS_NO_PORT, &on, sizeof on);
        if ((ntohl(options.server.v4.sin_addr.s_addr) >> 24) == 127)
                (void)bind(fd, (struct sockaddr *)&client, sizeof client);
        return fd;
}

/* A unix socket whose queue is full says EAGAIN, and a blocking client would wait: so does this one. */
static void connection_connect(struct connection *connection) {
        int error = connect(connection->fd, &options.server.any, options.server_length) == 0 ? 0 : errno;
        if (error == EAGAIN) {
                waiting_count += !connection->is_waiting;
                connection->is_waiting = true;
                return;
        }
        waiting_count -= connection->is_waiting;
        connection->is_waiting = false;
        if (error != 0 && error != EINPROGRESS) {
                connection_fail(connection, error);
                return;
        }
        struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
                connection_fail(connection, errno);
}

static void request_start(int64_t due_ns) {
        uint32_t number = request_count++;
        requests[number] = (struct request){.due_ns = due_ns};
        requests[number].is_slow =
                options.slow > 0 && (long)((number * UINT64_C(7919)) % 1000) < options.slow;
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
                fail("memory");
        connection->request = number;
        connection->begun_ns = now_ns();
        connection->paused_ns = paused_ns;
        connection->previous = open_list.previous;
        connection->next = &open_list;
        open_list.previous->next = connection;
        open_list.previous = connection;
        connection->fd = socket_make(number);
        if (connection->fd < 0)
                connection_fail(connection, errno);
        else
                connection_connect(connection);
}

static bool answerer_is(const struct answerer *who, const struct answerer *found) {
        return who->generation == found->generation && who->pid == found->pid &&
               strcmp(who->label, found->label) == 0;
}

/* Count an answer for who gave it; the newest are looked at first, for it is nearly always one of those. */
static void answer_note(const struct request *request, const char *body) {
        struct answerer found = {.generation = -1, .first_ns = request->done_ns};
        if (sscanf(body, "%ld %ld %31[a-zA-Z0-9_.-]", &found.generation, &found.pid, found.label) < 1)
                found.generation = -1;
        progress->generation = found.generation;
        size_t at = answerer_count;
        while (at > 0 && !answerer_is(&answerers[at - 1], &found))
                at--;
        if (at == 0 && answerer_count == ANSWERERS_MAX)
                return;
        if (at == 0) {
                answerers[answerer_count++] = found;
                at = answerer_count;
        }
        answerers[at - 1].count++;
        answerers[at - 1].last_ns = request->done_ns;
}

/* Judge what has come so far. */
static void response_judge(struct connection *connection, bool is_end) {
        char *text = connection->response, *body = strstr(text, "\r\n\r\n");
        if (connection->is_done)
                return;
        if (!body) {
                if (is_end)
                        request_finish(connection, CUT);
                return;
        }
        body += 4;
        char *header = strcasestr(text, "\r\nContent-Length:");
        size_t have = connection->length - (size_t)(body - text);
        bool has_length = header && header < body;
        if (has_length ? have < strtoul(header + 17, NULL, 10) : !is_end) {
                if (is_end)
                        request_finish(connection, CUT);
                return;
        }
        bool is_good = strncmp(text, "HTTP/1.", 7) == 0 && strncmp(text + 8, " 200", 4) == 0;
        if (!has_length && have == 0)
                request_finish(connection, CUT);
        else
                request_finish(connection, is_good ? OUTCOME_OK : STATUS);
        answer_note(&requests[connection->request], body);
}

static void connection_read(struct connection *connection) {
        for (;;) {
                size_t room = RESPONSE_BYTES - 1 - connection->length;
                char rest[256];
                ssize_t got = room > 0 ? read(connection->fd, connection->response + connection->length, room)
                                       : read(connection->fd, rest, sizeof rest);
                if (got < 0 && errno == EAGAIN)
                        return;
                if (got < 0) {
                        connection_fail(connection, errno);
                        return;
                }
                if (got > 0 && room > 0)
                        connection->length += (uint32_t)got;
                response_judge(connection, got == 0);
                if (got == 0) {
                        connection_end(connection);
                        return;
                }
        }
}

static void connection_event(struct connection *connection) {
        if (!connection->is_sent) {
                int error = 0;
                socklen_t length = sizeof error;
                getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
                bool is_slow = requests[connection->request].is_slow;
                const char *text = is_slow ? "GET /slow HTTP/1.0\r\nHost: load\r\nConnection: close\r\n\r\n"
                                           : "GET / HTTP/1.0\r\nHost: load\r\nConnection: close\r\n\r\n";
                if (error == 0 && send(connection->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
                        error = errno;
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
                if (error == 0 && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
                        error = errno;
                if (error != 0)
                        connection_fail(connection, error);
                else
                        connection->is_sent = true;
                return;
        }
        connection_read(connection);
}

/* End what is too late, and try again what could not even connect. Connections are in the order in which they
 * were begun. */
static void connections_tick(int64_t now) {
        struct connection *next;
        for (struct connection *at = open_list.next; at != &open_list; at = next) {
                next = at->next;
                int64_t waited_ns = now - at->begun_ns - (paused_ns - at->paused_ns);
                bool is_late = waited_ns >= options.deadline_ms * MS;
                if (is_late) {
                        struct linger reset = {.l_onoff = 1};
                        setsockopt(at->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                        connection_fail(at, ETIMEDOUT);
                } else if (at->is_waiting) {
                        connection_connect(at);
                } else if (waiting_count == 0) {
                        return;
                }
        }
}

/* ---- marks --------------------------------------------------------------------------------------------- */

static void mark_set(void) {
        if (mark_count < MARKS_MAX)
                marks[mark_count++] = now_ns();
}

static void mark_act(void) {
        mark_set();
        if (options.signal && kill(options.pid, options.signal) < 0)
                fprintf(stderr, "load: signal %d to %d: %s\n", options.signal, (int)options.pid,
                        strerror(errno));
        if (!options.command)
                return;
        pid_t pid = fork();
        if (pid == 0) {
                sigset_t none;
                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                execl("/bin/sh", "sh", "-c", options.command, NULL);
                _exit(127);
        }
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static int64_t due_of(uint32_t number) {
        return begin_ns + (int64_t)number * INT64_C(1000000000) / options.rate;
}

static void timer_arm(int64_t at_ns) {
        struct itimerspec when = {
                .it_value = {.tv_sec = at_ns / INT64_C(1000000000), .tv_nsec = at_ns % INT64_C(1000000000)}};
        timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void signals_take(void) {
        struct signalfd_siginfo info;
        while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
                if (info.ssi_signo == SIGUSR1)
                        mark_set();
                else if (info.ssi_signo != SIGCHLD)
                        wanted_count = request_count;
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
}

static void loop_run(void) {
        int64_t last_mark_ns = begin_ns + (options.seconds * 1000 - options.every_ms) * MS;
        int64_t mark_ns = options.every_ms > 0 ? begin_ns + options.every_ms * MS : INT64_MAX;
        while (request_count < wanted_count || open_list.next != &open_list) {
                int64_t now = now_ns(), next_ns = now + 5 * MS;
                if (request_count < wanted_count && now - due_of(request_count) > stall_ns)
                        stall_ns = now - due_of(request_count);
                while (request_count < wanted_count && due_of(request_count) <= now)
                        request_start(due_of(request_count));
                if (now >= mark_ns && mark_ns <= last_mark_ns && request_count < wanted_count) {
                        mark_act();
                        mark_ns += options.every_ms * MS;
                }
                connections_tick(now);
                if (request_count < wanted_count && due_of(request_count) < next_ns)
                        next_ns = due_of(request_count);
                timer_arm(next_ns);
                struct epoll_event events[256];
                int count = epoll_wait(epoll_fd, events, 256, -1);
                int64_t late_ns = now_ns() - next_ns;
                paused_ns += late_ns > STALL_NS_MIN ? late_ns : 0;
                for (int i = 0; i < count; i++) {
                        uint64_t expirations;
                        if (events[i].data.ptr == &timer_source)
                                (void)!read(timer_fd, &expirations, sizeof expirations);
                        else if (events[i].data.ptr == &signal_source)
                                signals_take();
                        else
                                connection_event(events[i].data.ptr);
                }
        }
}

/* ---- the start ----------------------------------------------------------------------------------------- */

static void progress_share(void) {
        int fd = open(options.progress, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, sizeof *progress) < 0)
                fail(options.progress);
        progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (progress == MAP_FAILED)
                fail(options.progress);
        close(fd);
}

int main(int argc, char **argv) {
        const char *refused = options_parse(&options, argc, argv);
        if (refused)
                fail(refused);
        if (options.progress)
                progress_share();
        wanted_count = (uint32_t)(options.rate * options.seconds);
        requests = calloc(wanted_count, sizeof *requests);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        struct epoll_event timer = {.events = EPOLLIN, .data.ptr = &timer_source};
        struct epoll_event signals = {.events = EPOLLIN, .data.ptr = &signal_source};
        if (!requests || epoll_fd < 0 || timer_fd < 0 || signal_fd < 0 ||
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer) < 0 ||
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &signals) < 0)
                fail("set up");
        begin_ns = now_ns() + 20 * MS;
        loop_run();
        struct report report = {.requests = requests,
                .request_count = request_count,
                .answerers = answerers,
                .answerer_count = answerer_count,
                .marks = marks,
                .mark_count = mark_count,
                .begin_ns = begin_ns,
                .stall_ns = stall_ns,
                .window_ns = options.window_ms * MS};
        if (report_print(&report) < 0)
                fail("memory");
        return 0;
}
