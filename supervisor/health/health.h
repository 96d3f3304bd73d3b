#pragma once

/* Is an instance well: probes until it is ready, and at intervals from then on. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "supervisor/health/probe.h"

struct app_gear;

struct health_settings {
        struct probe_settings probe; /* PROBE_NONE: there are none */
        bool has_socket;         /* every instance gets a socket of its own, `health`, and is probed there */
        int64_t interval_ns;     /* between two checks of a ready instance */
        int64_t start_period_ns; /* how long failures of one that is not ready yet do not count; 0: never */
        int32_t successes, failures; /* in a row */
};

/* Part of struct app; all zero at first. */
struct health_watch {
        struct probe probe;
        struct loop_timer next;
        bool is_on;
        bool is_slow;     /* that it is not ready for so long has been said */
        bool asks_listen; /* the check that runs or comes next only asks whether it listens */
        int64_t started_ns;
        int32_t successes, failures;     /* in a row */
        struct sockaddr_un address;      /* of its own socket */
        socklen_t address_length;        /* 0: it has none */
        char reason[PROBE_REASON_BYTES]; /* of the last check that failed */
};

/* An instance is about to be started: its own socket, if it is to have one. Returns 0, or -1 with error. */
int health_equip(struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error);

/* It runs. wants_listen: watch for its first accept(2) and note READINESS_LISTEN. */
void health_begin(struct supervisor *supervisor, struct app *app, bool wants_listen);

/* It is ready: checks go on at their interval. */
void health_ready(struct supervisor *supervisor, struct app *app);

/* It has ended. Idempotent. */
void health_ended(struct supervisor *supervisor, struct app *app);

/* A child was reaped that is no instance; true when it was that of a check. */
bool health_reaped(struct supervisor *supervisor, pid_t pid, int wait_status);
