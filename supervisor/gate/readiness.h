#pragma once

/* The gate: when an instance counts as ready.
 *
 * A sign is one fact about one instance. The configuration says which signs are wanted; the instance is ready
 * when all of them have come, and FLEET_READY is said once. What happens until then (ready_timeout) and after
 * (min_healthy) is the core's. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"

struct app;
struct app_gear;
struct supervisor;

enum readiness {
        READINESS_AUTO,   /* only in settings: the best sign that is to be had */
        READINESS_EXEC,   /* execve(2) succeeded */
        READINESS_LISTEN, /* it listens */
        READINESS_NOTIFY, /* READY=1 of sd_notify(3) */
        READINESS_FD,     /* a newline on a descriptor that it was given */
        READINESS_PROBE,  /* the probe of [health] succeeded often enough */
        READINESS_DELAY,  /* it has been up for a while */
};

struct readiness_settings {
        enum readiness ready;
        int64_t delay_ns; /* of READINESS_DELAY */
        int fd_number;    /* of READINESS_FD: the descriptor's number in the app */
        bool has_adopted; /* the app's own bind is answered: its listen is seen */
};

/* Part of struct app; all zero while there is none. */
struct readiness_watch {
        unsigned wanted, seen; /* bits: 1 << enum readiness */
        bool is_running;       /* SPAWNED has been said */
        bool is_said;          /* READY has been said */
        struct loop_timer delay;
        struct loop_source pipe; /* of READINESS_FD; is open while is_piped */
        bool is_piped;
};

/* An instance is about to be started: add what it needs to give its sign. Returns 0, or -1 with error: then
 * it cannot be. */
int readiness_equip(
        struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error);

/* The app's first instruction has been reached: FLEET_SPAWNED has been pushed, signs are waited for from here
 * on. */
void readiness_spawned(struct supervisor *supervisor, struct app *app);

/* A sign has come. One that nobody waits for is harmless, and so is one that comes twice or before
 * readiness_spawned(). */
void readiness_note(struct supervisor *supervisor, struct app *app, enum readiness sign);

/* It was not ready in time: say in the log what is missing. */
void readiness_explain(const struct app *app);

/* The instance has ended, or could not be started: nothing of it is watched any more. Idempotent. */
void readiness_ended(struct supervisor *supervisor, struct app *app);
