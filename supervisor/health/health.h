#pragma once

/* Health checks of instances: probes until an instance is ready, and at intervals from then on. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "supervisor/core/facts.h"
#include "supervisor/health/closing.h"
#include "supervisor/health/probe.h"
#include "supervisor/process/gear.h"
#include "supervisor/process/instances.h"
#include "supervisor/sockets/listeners.h"

struct health_settings {
        struct probe_settings probe; /* PROBE_NONE: there are none */
        bool has_socket;     /* every instance gets a socket of its own, `health`, and is probed there */
        int64_t interval_ns; /* between two checks of a ready instance */
        /* how long failures of an instance that is not ready yet do not count; 0: they never do */
        int64_t start_period_ns;
        int32_t successes, failures; /* in a row, that make an instance well or unhealthy */
};

struct health;

/* What is kept of one instance; all zero at first. */
struct health_watch {
        struct health *health;
        struct instance *instance;
        struct probe probe;
        struct loop_timer next;
        bool is_on;
        bool is_slow;     /* that it is not ready for so long was logged */
        bool asks_listen; /* the check that runs or comes next only asks whether it listens */
        int64_t started_ns;
        int32_t successes, failures;     /* in a row */
        struct sockaddr_un address;      /* of its own socket */
        socklen_t address_length;        /* 0: it has none */
        char reason[PROBE_REASON_BYTES]; /* of the last check that failed */
};

/* The rooms that this one stands on; all borrowed. */
struct health_rooms {
        struct loop *loop;
        struct facts *facts;
        struct children *children;
        struct instances *instances;
        struct listeners *listeners;
        const struct socket_rules *rules;
        const struct launch_spec *launch; /* how exec probes are started, as the app is */
};

struct health {
        struct health_watch watches[FLEET_INSTANCES_MAX]; /* by instance_place() */
        struct leaving leaving;
        const struct health_settings *settings;
        struct health_rooms rooms;
        int64_t ready_timeout_ns; /* of the core, only for the log; 0: none */
};

/* Call this first. `health` is all zero; `settings` are borrowed. */
void health_open(struct health *health, const struct health_rooms *rooms,
        const struct health_settings *settings, int64_t ready_timeout_ns);

/* Before the start of an instance: make its own health socket, if it is to have one. Returns 0, or -1 with
 * error. */
int health_equip(struct health *health, struct instance *instance, struct gear *gear, struct error *error);

/* The instance runs: begin its checks. wants_listen: watch for its first accept(2), and note
 * READINESS_LISTEN. */
void health_begin(struct health *health, struct instance *instance, bool wants_listen);

/* The instance is ready: checks go on at their interval. */
void health_ready(struct health *health, struct instance *instance);

/* Why the instance's last check failed; empty when it did not. Borrowed until the next check. */
const char *health_reason(const struct health *health, const struct instance *instance);

/* The instance has ended: end its checks. May be called again. */
void health_ended(struct health *health, struct instance *instance);
