#pragma once

/* The fleet's processes: started through the shim, signalled, and reported to the core when they end.
 *
 * A pid is signalled only between its fork and its reaping, both of which happen in this single thread: so it
 * cannot be another process's. The core decides when to drain, stop and kill; here the signals are sent. */

#include <signal.h>

#include "supervisor/adopt/adopt.h"
#include "supervisor/gate/readiness.h"
#include "supervisor/generations/generations.h"
#include "supervisor/process/terminal.h"
#include "supervisor/process/tree.h"
#include "shim/progress.h"
#include "shim/waiting.h"

struct launcher_settings {
        const struct launch_spec *launch; /* borrowed; what changes from start to start is filled in here */
        bool has_replicas;                /* messages name the replica */
        bool has_generations;             /* there are secrets: an app gets the number of its generation */
        bool signals_group;               /* signals go to the process group instead of the app alone */
        int stop_signal;                  /* of STOP; replaced when another stop signal asks for the end */
        int drain_signal;                 /* sent before it where the core leaves time to drain; 0: none */
        int reload_signal;                /* tells the app to read its secrets again */
        bool minds_background;            /* look whether an app that ends has gone into the background */
        bool is_daemon;                   /* it is known to do so */
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

/* An instance that is started ahead: its shim waits for its secrets while the loader works. */
struct launcher_ahead {
        struct instance *instance; /* NULL: none */
        struct launch_waiting waiting;
};

struct launcher {
        struct launcher_ahead ahead;
        struct launch_process early; /* pid 0: none; see launcher_start_early() */
        uint64_t early_ticks;        /* when it was started, or before: descendants_now_ticks() */
        struct launcher_settings settings;
        struct launcher_rooms rooms;
        bool has_started;      /* an app has been started once */
        uint64_t start_count;  /* of instances with sockets: SERVER_STARTER_GENERATION */
        uint64_t held_signals; /* signal_bit(): came before there was an app, forwarded to the first ones */
        /* Of each instance's shim, or NULL; in `shared_progress`, or, of one that suspends us, in
         * `own_progress`, whose last byte is of launcher_start_early(). */
        volatile uint8_t *progress[FLEET_INSTANCES_MAX];
        volatile uint8_t *shared_progress; /* NULL: not made yet, or there is no memory */
        volatile uint8_t own_progress[FLEET_INSTANCES_MAX + 1];
        /* process group of each slot's last app: it may still have members */
        pid_t last_groups[FLEET_REPLICAS_MAX];
};

/* Call this first. `launcher` is all zero; `rooms` and `settings` are copied. */
void launcher_open(struct launcher *launcher, const struct launcher_rooms *rooms,
        const struct launcher_settings *settings);

/* ---- spawn.c ---- */

/* Start the first app before the core asks for it, so that it executes while the supervisor sets itself up.
 * Only for a plain init: one app without secrets, sockets, or anything else that is prepared for a start,
 * when no later step can forbid it. A failure is not logged: launcher_spawn() tries again. The terminal is
 * open, no other room is. */
void launcher_start_early(struct launcher *launcher);

/* FLEET_DO_SPAWN: start an instance. The result is a fact: SPAWNED, or SPAWN_FAILED. */
void launcher_spawn(struct launcher *launcher, const struct fleet_action *action);

/* ---- ahead.c ---- */

/* Start ahead the instance that will most likely be spawned when the running load brings `generation`: all
 * but its secrets. One at a time. Where that fails, or would change what only a start may change (the
 * terminal's foreground), nothing is done: launcher_spawn() does it all later. */
void launcher_prepare(struct launcher *launcher, uint32_t slot, uint64_t number, uint64_t generation);

/* Use the instance that was started ahead for this SPAWN. Returns it, now used and with its secrets to come;
 * NULL: the action is for another one, or it has ended, and it is called off. */
struct instance *launcher_take_ahead(struct launcher *launcher, const struct fleet_action *action);

/* End the instance that was started ahead, if there is one: it is not needed. */
void launcher_call_off(struct launcher *launcher);

/* ---- equip.c ---- */

/* Add the instance's sockets, and the variables that identify it. Returns 0, or -1 with error: then it must
 * not start. */
int launcher_equip(
        struct launcher *launcher, const struct instance *instance, struct gear *gear, struct error *error);

/* Set *instance to a new one: all zero but its slot, numbers and handlers. */
void launcher_instance_init(struct launcher *launcher, struct instance *instance, uint32_t slot,
        uint64_t number, uint64_t generation);

/* Have all rooms add what the app gets beside its secrets: variables and descriptors. Returns 0, or -1 with
 * error. */
int launcher_gear(
        struct launcher *launcher, struct instance *instance, struct gear *gear, struct error *error);

/* Write the start of this instance to *spec: the settings', filled in except for secrets and terminal.
 * launcher_spec_release() closes what was opened for it, also after an error. Returns 0, or -1 with error. */
int launcher_spec(struct launcher *launcher, const struct instance *instance, const struct gear *gear,
        struct launch_spec *spec, struct error *error);
void launcher_spec_release(struct launch_spec *spec);

/* ---- stop.c ---- */

/* Send a signal to the instance's process or group, as the settings say. `value`: of a real-time signal, or
 * NULL. */
void launcher_signal(const struct launcher *launcher, const struct instance *instance, int number,
        const union sigval *value);

/* FLEET_DO_STOP: begin draining, or send the stop signal, or neither when the app has it already; and SIGCONT
 * to a stopped app, so that it can end. */
void launcher_stop(struct launcher *launcher, struct instance *instance, const struct fleet_action *action);

/* FLEET_DO_SIGNAL: send the reload signal; the instance is one of `generation` from now on. */
void launcher_reload(const struct launcher *launcher, struct instance *instance, uint64_t generation);

/* FLEET_DO_KILL: SIGKILL to the whole process group, and with kill_mode = tree to the whole tree. */
void launcher_kill(const struct launcher *launcher, struct instance *instance);

/* For spawn.c: the child was stopped or continued. */
void launcher_on_stopped(struct child *child, int wait_status);

/* The instance that `child` is part of. */
static inline struct instance *instance_of_child(struct child *child) {
        return (struct instance *)((char *)child - offsetof(struct instance, child));
}
