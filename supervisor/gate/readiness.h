#pragma once

/* The gate: when an instance counts as ready.
 *
 * A sign is one fact about one instance. The configuration says which signs are wanted; the instance is ready
 * when all of them have come, and FLEET_READY is pushed once. The core decides how long that may take
 * (ready_timeout) and what follows (min_healthy). */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/core/facts.h"
#include "supervisor/health/health.h"
#include "supervisor/notify/notify.h"
#include "supervisor/process/gear.h"
#include "supervisor/process/instances.h"

struct instance;
struct gear;

struct readiness_settings {
        enum readiness ready;
        int64_t delay_ns; /* of READINESS_DELAY */
        int fd_number;    /* of READINESS_FD: the descriptor's number in the app */
        bool has_adopted; /* the app's own bind(2) is answered, so its listen(2) is seen */
};

struct readiness_gate;

/* What is kept of one instance; all zero at first. */
struct readiness_watch {
        struct readiness_gate *gate;
        struct instance *instance;
        struct loop_timer delay;
        struct loop_timer slow;  /* when it says what is missing */
        struct loop_source pipe; /* of READINESS_FD; is open while is_piped */
        bool is_piped;
};

/* The rooms that this one stands on; all borrowed. */
struct readiness_rooms {
        struct loop *loop;
        struct facts *facts;
        struct instances *instances;
        struct notify *notify;
        struct health *health;
        const struct adopt *adopt;
};

struct readiness_gate {
        const struct readiness_settings *settings;
        struct readiness_rooms rooms;
        int64_t slow_ns;      /* after which an instance is slow to become ready */
        unsigned wanted;      /* sign_bit() of every instance */
        char fd_variable[32]; /* TACET_READY_FD=N */
        struct readiness_watch watches[FLEET_INSTANCES_MAX]; /* by instance_place() */
};

/* Call this first. `gate` is all zero; `settings` are borrowed. sees_listen: the first accept(2) at a
 * declared socket can be seen, so that `auto` may use it. ready_timeout_ns: of the core; 0: none. After a
 * tenth of it, 5 s at most, what an instance lacks is logged once. */
void readiness_open(struct readiness_gate *gate, const struct readiness_rooms *rooms,
        const struct readiness_settings *settings, bool sees_listen, int64_t ready_timeout_ns);

/* Before the start of an instance: add what it needs to give its signs. Returns 0, or -1 with error: then it
 * must not start. */
int readiness_equip(
        struct readiness_gate *gate, struct instance *instance, struct gear *gear, struct error *error);

/* The app runs and FLEET_SPAWNED was pushed: from now on its signs count. */
void readiness_spawned(struct readiness_gate *gate, struct instance *instance);

/* The instance was not ready in time: log which signs are missing. */
void readiness_explain(const struct readiness_gate *gate, const struct instance *instance);

/* The instance has ended, or could not be started: stop watching for its signs. May be called again. */
void readiness_ended(struct readiness_gate *gate, struct instance *instance);
