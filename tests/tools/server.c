/* server: a small HTTP server as people write them, which knows nothing of tacet. One thread, HTTP/1.0,
 * closes every connection. It binds its own ADDRESS, or takes what it is given (LISTEN_FDS with LISTEN_PID,
 * or SERVER_STARTER_PORT). At SIGTERM it closes its listeners, finishes the requests it has accepted, and
 * exits 0.
 *
 *   GET /        "GENERATION PID MODE": $TACET_GENERATION, $SERVER_STARTER_GENERATION or $GENERATION, then
 *   the pid, then $MODE (good)
 *   GET /slow    the same after $SLOW_MS (300)
 *   GET /env?N   the value of the variable N, 404 when there is none
 *
 * How it behaves is said by the environment, and so by a secret: a rotation may bring a bad generation.
 *
 *   MODE         good
 *                exit         exits with 1 at boot                          crash       dies $CRASH_MS
 *                             (500) after boot
 *                never-ready  stays in its boot, leaves at SIGTERM          hang        the same, deaf to
 *                             SIGTERM
 *                unhealthy    answers 503                                   deaf        serves, ignores
 *                             SIGTERM
 *                slow-boot    boots $BOOT_MS, 1500 if unset                 helper      starts a process
 *                             that keeps the listener
 *                any other word is as good as good
 *   ADDRESS      PORT (127.0.0.1), HOST:PORT, [V6]:PORT, *:PORT (dual stack), /PATH
 *   FAIL_FROM    every start that is not good ends with 1 in replicas from this number on
 *   BOOT_MS (0)  from start to listen         WORK_MS (0)  a request takes so long
 *   READY_FD     a descriptor that gets a newline when it serves; $NOTIFY_SOCKET gets READY=1
 *   STARTS       a file that gets a line "GENERATION PID MODE START_NS" (monotonic, at main) when it
 *                starts */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX    64
#define REQUEST_BYTES 2048
#define LISTENERS_MAX 16

struct connection {
        int fd;
        bool is_slow, is_queued;
        size_t length;
        int64_t due_ns;
        struct connection *next;
        char request[REQUEST_BYTES];
};

/* Requests that take their time; within a queue all take the same, so the first is the next due. */
struct queue {
        struct connection *first, **end;
};

static struct queue work = {.end = &work.first}, slow = {.end = &slow.first};
static int listeners[LISTENERS_MAX];
static size_t listener_count, connection_count;
static const char *mode = "good", *generation = "0";
static int epoll_fd = -1, signal_fd = -1;
static bool is_stopping;
static struct connection listener_sources[LISTENERS_MAX], signal_source;

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static bool mode_is(const char *name) {
        return strcmp(mode, name) == 0;
}

static int64_t setting_ns(const char *name, long unset_ms) {
        const char *text = getenv(name);
        return (int64_t)(text ? strtol(text, NULL, 10) : unset_ms) * 1000000;
}

static void pause_ns(int64_t ns) {
        struct timespec span = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        while (nanosleep(&span, &span) < 0 && errno == EINTR)
                ;
}

static void fail(const char *what) {
        fprintf(stderr, "server: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* ---- listening ----------------------------------------------------------------------------------------- */

static void listener_add(int fd) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (!mode_is("helper"))
                fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (listener_count < LISTENERS_MAX)
                listeners[listener_count++] = fd;
}

static void listener_unix(const char *path) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        strncpy(local.sun_path, path, sizeof local.sun_path - 1);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        unlink(path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0 || listen(fd, 4096) < 0)
                fail(path);
        listener_add(fd);
}

static void listener_bind(const char *text) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const char *colon = strrchr(text, ':');
        char host[64] = "";
        int on = 1, off = 0;
        if (text[0] == '/') {
                listener_unix(text);
                return;
        }
        if (colon)
                snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
        v4.sin_port = v6.sin6_port = htons((uint16_t)strtoul(colon ? colon + 1 : text, NULL, 10));
        bool is_v6 = host[0] == '[' || host[0] == '*';
        if (host[0] == '[') {
                host[strlen(host) - 1] = 0;
                inet_pton(AF_INET6, host + 1, &v6.sin6_addr);
        } else if (host[0] && !is_v6) {
                inet_pton(AF_INET, host, &v4.sin_addr);
        }
        int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (host[0] == '*')
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        const struct sockaddr *address = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
        if (fd < 0 || bind(fd, address, is_v6 ? sizeof v6 : sizeof v4) < 0 || listen(fd, 4096) < 0)
                fail(text);
        listener_add(fd);
}

/* Take what was handed over, else bind. */
static void listeners_open(void) {
        const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"),
                   *ports = getenv("SERVER_STARTER_PORT");
        if (count && pid && strtol(pid, NULL, 10) == getpid()) {
                for (int i = 0; i < (int)strtol(count, NULL, 10); i++)
                        listener_add(3 + i);
                return;
        }
        for (const char *at = ports; at && *at;) {
                const char *equals = strchr(at, '='), *next = strchr(at, ';');
                if (equals)
                        listener_add((int)strtol(equals + 1, NULL, 10));
                at = next ? next + 1 : NULL;
        }
        const char *address = getenv("ADDRESS");
        if (!ports && address)
                listener_bind(address);
        if (listener_count == 0)
                fail("no ADDRESS and nothing handed over");
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void connection_end(struct connection *connection) {
        close(connection->fd);
        free(connection);
        connection_count--;
}

static void connection_answer(struct connection *connection) {
        char body[1024], text[1280];
        const char *status = mode_is("unhealthy") ? "503 Service Unavailable" : "200 OK";
        snprintf(body, sizeof body, "%s %d %s\n", generation, (int)getpid(), mode);
        if (strncmp(connection->request, "GET /env?", 9) == 0) {
                char *name = connection->request + 9;
                name[strcspn(name, " \r\n")] = 0;
                const char *value = getenv(name);
                status = value ? status : "404 Not Found";
                snprintf(body, sizeof body, "%s\n", value ? value : "");
        }
        int length = snprintf(text, sizeof text,
                "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: "
                "close\r\n\r\n%s",
                status, strlen(body), body);
        (void)!send(connection->fd, text, (size_t)length, MSG_NOSIGNAL);
        connection_end(connection);
}

static void queue_add(struct queue *queue, struct connection *connection, int64_t takes_ns) {
        connection->due_ns = now_ns() + takes_ns;
        connection->is_queued = true;
        *queue->end = connection;
        queue->end = &connection->next;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
}

static void queue_run(struct queue *queue, int64_t now) {
        while (queue->first && queue->first->due_ns <= now) {
                struct connection *connection = queue->first;
                queue->first = connection->next;
                if (!queue->first)
                        queue->end = &queue->first;
                connection_answer(connection);
        }
}

static void connection_read(struct connection *connection) {
        size_t room = REQUEST_BYTES - 1 - connection->length;
        ssize_t got = read(connection->fd, connection->request + connection->length, room);
        if (got < 0 && errno == EAGAIN)
                return;
        if (got <= 0) {
                connection_end(connection);
                return;
        }
        connection->length += (size_t)got;
        connection->request[connection->length] = 0;
        if (!strstr(connection->request, "\r\n\r\n"))
                return;
        bool is_slow = strncmp(connection->request, "GET /slow", 9) == 0;
        int64_t takes_ns = is_slow ? setting_ns("SLOW_MS", 300) : setting_ns("WORK_MS", 0);
        if (takes_ns > 0)
                queue_add(is_slow ? &slow : &work, connection, takes_ns);
        else
                connection_answer(connection);
}

static void listener_accept(int listener) {
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                        return;
                struct connection *connection = calloc(1, sizeof *connection);
                if (!connection)
                        fail("memory");
                connection->fd = fd;
                connection_count++;
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
                if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                        connection_end(connection);
                else
                        connection_read(connection);
        }
}

static void listeners_close(void) {
        for (size_t i = 0; i < listener_count; i++)
                close(listeners[i]);
        listener_count = 0;
        is_stopping = true;
}

/* ---- its life ------------------------------------------------------------------------------------------ */

static void start_note(int64_t begin_ns) {
        const char *path = getenv("STARTS");
        int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
        if (fd >= 0) {
                dprintf(fd, "%s %d %s %lld\n", generation, (int)getpid(), mode, (long long)begin_ns);
                close(fd);
        }
}

static void ready_tell(void) {
        const char *fd = getenv("READY_FD"), *path = getenv("NOTIFY_SOCKET");
        if (fd) {
                (void)!write((int)strtol(fd, NULL, 10), "\n", 1);
                close((int)strtol(fd, NULL, 10));
        }
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        int notify = path ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
        if (notify < 0)
                return;
        strncpy(to.sun_path, path, sizeof to.sun_path - 1);
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path));
        if (path[0] == '@')
                to.sun_path[0] = 0;
        (void)sendto(notify, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to, length);
        close(notify);
}

/* From the start to the moment before it listens. */
static void boot(void) {
        if (mode_is("hang"))
                signal(SIGTERM, SIG_IGN);
        while (mode_is("hang") || mode_is("never-ready"))
                pause();
        pause_ns(setting_ns("BOOT_MS", mode_is("slow-boot") ? 1500 : 0));
        const char *from = getenv("FAIL_FROM"), *replica = getenv("TACET_REPLICA");
        bool is_meant = from && replica && strtol(replica, NULL, 10) >= strtol(from, NULL, 10);
        if (mode_is("exit") || (is_meant && !mode_is("good")))
                exit(1);
}

static void helper_start(void) {
        if (fork() == 0) {
                signal(SIGTERM, SIG_IGN);
                execlp("sleep", "sleep", "60", NULL);
                _exit(127);
        }
}

static int timeout_ms(int64_t crash_ns) {
        int64_t next_ns = crash_ns;
        if (work.first && work.first->due_ns < next_ns)
                next_ns = work.first->due_ns;
        if (slow.first && slow.first->due_ns < next_ns)
                next_ns = slow.first->due_ns;
        if (next_ns == INT64_MAX)
                return -1;
        int64_t left_ns = next_ns - now_ns();
        return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000);
}

static void serve(int64_t crash_ns) {
        while (!is_stopping || connection_count > 0) {
                struct epoll_event events[EVENTS_MAX];
                int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms(crash_ns));
                for (int i = 0; i < count; i++) {
                        struct connection *source = events[i].data.ptr;
                        if (source >= listener_sources && source < listener_sources + LISTENERS_MAX) {
                                if (!is_stopping)
                                        listener_accept(listeners[source - listener_sources]);
                        } else if (source == &signal_source) {
                                struct signalfd_siginfo info;
                                if (read(signal_fd, &info, sizeof info) > 0)
                                        listeners_close();
                        } else {
                                connection_read(source);
                        }
                }
                int64_t now = now_ns();
                queue_run(&work, now);
                queue_run(&slow, now);
                if (now >= crash_ns)
                        abort();
        }
}

static void sources_open(void) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &signal_source};
        if (epoll_fd < 0 || signal_fd < 0 ||
                (!mode_is("deaf") && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &event) < 0))
                fail("set up");
        for (size_t i = 0; i < listener_count; i++) {
                event.data.ptr = &listener_sources[i];
                if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listeners[i], &event) < 0)
                        fail("listen");
        }
}

int main(void) {
        static const char *const generations[] = {
                "TACET_GENERATION", "SERVER_STARTER_GENERATION", "GENERATION"};
        int64_t begin_ns = now_ns();
        if (getenv("MODE"))
                mode = getenv("MODE");
        for (size_t i = sizeof generations / sizeof generations[0]; i-- > 0;)
                if (getenv(generations[i]))
                        generation = getenv(generations[i]);
        start_note(begin_ns);
        boot();
        listeners_open();
        sources_open();
        if (mode_is("helper"))
                helper_start();
        ready_tell();
        serve(mode_is("crash") ? now_ns() + setting_ns("CRASH_MS", 500) : INT64_MAX);
        return 0;
}
