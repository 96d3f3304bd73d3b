#pragma once

/* One health check: started, and answered some time later. health.h says when, and what follows. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "lib/socket_address.h"
#include "supervisor/process/children.h"

struct health_watch;

#define PROBE_STATUSES_MAX 16
#define PROBE_REASON_BYTES 160

enum probe_kind {
        PROBE_NONE,
        PROBE_TCP,  /* the app takes a connection */
        PROBE_HTTP, /* it answers a GET with a status that is wanted */
        PROBE_EXEC, /* a command ends with 0 */
};

struct probe_status {
        uint16_t first, last;
};

struct probe_settings {
        enum probe_kind kind;
        const char *listener;                 /* of settings->listeners; NULL: the first that is steered */
        const struct socket_address *address; /* instead: a port that the app opens by itself; NULL: none */
        const char *request;                  /* HTTP: all of it */
        struct probe_status statuses[PROBE_STATUSES_MAX];
        size_t status_count;
        char *const *argv; /* EXEC */
        int64_t timeout_ns;
};

struct probe;
typedef void probe_handler(struct health_watch *watch, bool is_well, const char *reason);

/* Embedded; all zero while nothing runs. */
struct probe {
        bool is_running;
        bool is_late;       /* its time is over and on_done was called; its child is not reaped yet */
        int connection;     /* to the app (TCP, HTTP); ended in order when the check is over; -1: none */
        int fd;             /* what the child writes to (HTTP), or the shim's pipe (EXEC); -1: none */
        struct child child; /* HTTP, EXEC */
        bool has_group;     /* the child leads a process group */
        bool is_connected;
        long waiting; /* in the accept queue, when last read; -1: not read yet; -2: cannot be read */
        int64_t deadline_ns, pause_ns;
        const struct probe_settings *settings;
        probe_handler *on_done;
        struct loop_timer timer;
};

/* Start a check. on_done is called once, later; not after probe_end(). Returns 0; PROBE_LATER when it cannot
 * be made now for a reason that says nothing about the app; -1 with error when it has failed already. */
enum { PROBE_LATER = 1 };
int probe_start(struct health_watch *watch, const struct probe_settings *settings, probe_handler *on_done,
        struct error *error);

/* Give the running check up, if there is one. */
void probe_end(struct health_watch *watch);

/* ---- connect.c ---- */

/* Begin a non-blocking connection to the app for this check. *out_fd is the caller's; *out_counts: the length
 * of the accept queue that it comes into can be read. Returns as probe_start(). */
int probe_reach(const struct health_watch *watch, const struct probe_settings *settings, int *out_fd,
        bool *out_counts, struct error *error);

/* Is the socket connected? Returns 1, 0 (not yet), or -1 with errno. */
int probe_connection_state(int fd);

/* ---- http_child.c: what runs in the child of an HTTP check ---- */

enum probe_answer_kind {
        PROBE_ANSWER_NONE,       /* the child wrote nothing */
        PROBE_ANSWER_NO_CONNECT, /* code: errno */
        PROBE_ANSWER_BROKEN,     /* code: errno of the exchange, or 0: closed */
        PROBE_ANSWER_NO_HTTP,
        PROBE_ANSWER_STATUS, /* code: the status */
};
struct probe_answer {
        int32_t kind, code;
};

/* Send `request`, read the answer, and write a struct probe_answer to `answer_fd`. */
_Noreturn void probe_child_http(int connection, int answer_fd, const char *request, int64_t deadline_ns);
