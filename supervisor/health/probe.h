#pragma once

/* One health check: begun, and its answer some time later. When and what follows is health.h. */

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
        bool is_late;       /* its time is over and that has been said; its child is not reaped yet */
        int connection;     /* to the app (TCP, HTTP); ended in order when the check is over; -1: none */
        int fd;             /* what the child writes to (HTTP), or the shim's pipe (EXEC); -1: none */
        struct child child; /* HTTP, EXEC */
        bool has_group;     /* the child leads a process group */
        bool is_connected;
        long waiting; /* connections in the accept queue when it was last looked at */
        int64_t deadline_ns, pause_ns;
        const struct probe_settings *settings;
        probe_handler *on_done;
        struct loop_timer timer;
};

/* Begin. on_done is called once, later; not after probe_end(). Returns 0; PROBE_LATER when something stands
 * in the way that says nothing about the app; -1 with error when the check has failed already. */
enum { PROBE_LATER = 1 };
int probe_start(struct health_watch *watch, const struct probe_settings *settings, probe_handler *on_done,
        struct error *error);

/* Give it up. Idempotent. */
void probe_end(struct health_watch *watch);

/* ---- connect.c ---- */

/* A non-blocking connection to the app for this check, made or in the making. *out_counts: the accept queue
 * that it waits in can be looked at. Returns as probe_start(). */
int probe_reach(const struct health_watch *watch, const struct probe_settings *settings, int *out_fd,
        bool *out_counts, struct error *error);

/* Does the connection stand? Returns 1, 0 (not yet), or -1 with errno. */
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

/* Ask and write a struct probe_answer to `answer_fd`. */
_Noreturn void probe_child_http(int connection, int answer_fd, const char *request, int64_t deadline_ns);
