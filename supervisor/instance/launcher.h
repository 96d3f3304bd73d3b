#pragma once

/* The fleet's processes: started through the shim, signalled, and taken note of when they end.
 *
 * A pid is only ever signalled between its fork and its reaping, both of which happen in this single thread:
 * the number cannot have become another process's. The ladder is the core's: drain, stop, kill; here each
 * rung is only taken. */

#include <signal.h>

#include "supervisor/adopt/adopt.h"
#include "supervisor/gate/readiness.h"
#include "supervisor/generations/generations.h"
#include "supervisor/process/terminal.h"
#include "supervisor/process/tree.h"
#include "shim/waiting.h"

struct launcher_settings {
        const struct launch_spec *launch; /* borrowed; what changes from start to start is filled in here */
        bool has_replicas;                /* messages say which */
        bool has_generations;             /* there are secrets: an instance is told which */
        bool signals_group;               /* signals go to the process group instead of the app alone */
        int stop_signal;                  /* what STOP sends, until somebody asks for the end by another */
        int drain_signal;                 /* sent before it where the core leaves time for that; 0: none */
        int reload_signal;                /* tells the app to read its secrets again */
        const struct passed_descriptor *passed; /* borrowed */
        size_t passed_count;
};

/* The rooms that this one stands on; all borrowed. */
struct launcher_rooms {
        struct loop *loop;
        struct facts *facts;
        struct children *children;
        struct instances *instances;
        struct terminal *terminal;
        struct trees *trees;
        struct listeners *listeners;
        const struct socket_rules *rules;
        struct adopt *adopt;
        struct notify *notify;
        struct readiness_gate *gate;
        const struct generations *generations;
};

/* An instance whose shim waits for its secrets, while the loader works. */
struct launcher_ahead {
        struct instance *instance; /* NULL: none */
        struct launch_waiting waiting;
};

struct launcher {
        struct launcher_ahead ahead;
        struct launch_process early; /* pid 0: none; see launcher_start_early() */
        struct launcher_settings settings;
        struct launcher_rooms rooms;
        bool has_started;      /* an app has been started once */
        uint64_t start_count;  /* of instances with sockets: SERVER_STARTER_GENERATION */
        uint64_t held_signals; /* signal_bit(): forwarded to the first apps as soon as they are there */
        /* process groups of each slot's last app: they may have members */
        pid_t last_groups[FLEET_REPLICAS_MAX];
};

/* Begin. `launcher` is all zero. */
void launcher_open(struct launcher *launcher, const struct launcher_rooms *rooms,
        const struct launcher_settings *settings);

/* ---- spawn.c ---- */

/* Start the first app before the core asks for it, so that it executes while the supervisor sets itself up.
 * Only for a plain init: one app without secrets, sockets, or anything else that is prepared for a start, and
 * nothing may fail any more that would forbid it. When it cannot be started nothing is said: launcher_spawn()
 * tries again. The terminal is open, nothing else is. */
void launcher_start_early(struct launcher *launcher);

/* FLEET_DO_SPAWN. What became of it is a fact: SPAWNED, or SPAWN_FAILED. */
void launcher_spawn(struct launcher *launcher, const struct fleet_action *action);

/* ---- ahead.c ---- */

/* The load that runs may bring `generation`, and this would be the first instance that is spawned for it:
 * prepare its start, all but its secrets. One at a time. Where it cannot be done, or would touch what only a
 * start may touch (the terminal's foreground), nothing is: launcher_spawn() does all of it then. */
void launcher_prepare(struct launcher *launcher, uint32_t slot, uint64_t number, uint64_t generation);

/* The spawn that was foreseen has come: let it go on. Returns the instance, now used; NULL: another one is
 * wanted, or it has gone, and what was prepared is called off. */
struct instance *launcher_take_ahead(struct launcher *launcher, const struct fleet_action *action);

/* It will not be wanted: end it, as if it had never been. Idempotent. */
void launcher_call_off(struct launcher *launcher);

/* ---- equip.c ---- */

/* The instance's sockets, and the variables that tell it from others. Returns 0, or -1 with error: it must
 * not start. */
int launcher_equip(
        struct launcher *launcher, const struct instance *instance, struct gear *gear, struct error *error);

/* An instance of its place, all zero but for who it is. */
void launcher_instance_init(struct launcher *launcher, struct instance *instance, uint32_t slot,
        uint64_t number, uint64_t generation);

/* What the app finds in its environment and at its descriptors, beside its secrets. Returns 0,
 * or -1 with error. */
int launcher_gear(
        struct launcher *launcher, struct instance *instance, struct gear *gear, struct error *error);

/* The settings' start, filled in for this instance but for its secrets and the terminal. What
 * was opened for it is closed by launcher_spec_release(), also after an error. */
int launcher_spec(const struct launcher *launcher, const struct instance *instance, const struct gear *gear,
        struct launch_spec *spec, struct error *error);
void launcher_spec_release(struct launch_spec *spec);

/* ---- stop.c ---- */

/* Send a signal the way the settings say (process or group). `value`: of a real-time signal, or NULL. */
void launcher_signal(const struct launcher *launcher, const struct instance *instance, int number,
        const union sigval *value);

/* FLEET_DO_STOP: drain first, or only go on (it has the signal already), or the stop signal; and CONT where
 * it is needed: a stopped app must be able to end. */
void launcher_stop(struct launcher *launcher, struct instance *instance, const struct fleet_action *action);

/* FLEET_DO_SIGNAL: the reload signal; the process is one of `generation` from now on. */
void launcher_reload(const struct launcher *launcher, struct instance *instance, uint64_t generation);

/* FLEET_DO_KILL: the whole group goes, whatever kill_mode says. */
void launcher_kill(const struct launcher *launcher, struct instance *instance);

/* For spawn.c: the child was stopped, or goes on. */
void launcher_on_stopped(struct child *child, int wait_status);

/* The instance that `child` is part of. */
static inline struct instance *instance_of_child(struct child *child) {
        return (struct instance *)((char *)child - offsetof(struct instance, child));
}
