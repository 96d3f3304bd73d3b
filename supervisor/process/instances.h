#pragma once

/* The instances that run: one process each that a FLEET_DO_SPAWN made, and what all rooms may know of it.
 *
 * What only one room needs of an instance lies in an array of that room, at the instance's place. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/loop.h"
#include "shim/launch.h"
#include "supervisor/core/fleet.h"
#include "supervisor/process/children.h"
#include "supervisor/process/signs.h"

struct instances;

/* The place of one generation in one slot. It has listening sockets of its own; whoever comes after an
 * instance there, of the same generation, gets them. */
struct seat {
        uint64_t generation;
        uint32_t slot;
};

static inline bool seat_is(const struct seat *a, const struct seat *b) {
        return a->generation == b->generation && a->slot == b->slot;
}

struct instance {
        bool is_used;
        bool is_prepared; /* its shim waits to be told which app to become; is_used is not set yet */
        bool is_reported; /* SPAWNED or SPAWN_FAILED has been said */
        bool has_failure; /* `failure` came through the status pipe */
        bool is_stopped;  /* by SIGSTOP or its like, as far as waitpid has told */
        bool is_ending;   /* was sent its stop signal, or what comes before it */
        bool is_emptying; /* gets no new connection: its accept queue runs empty */
        bool has_cgroup;  /* of its own: tree.h */
        struct instances *instances;
        pid_t pid; /* kept after the process was reaped, until the place is used again */
        uint64_t number;
        uint32_t slot;
        uint64_t generation;
        uint64_t started_ticks; /* not later than its process: descendants_now_ticks() */
        struct child child;
        struct signs signs;
        struct loop_source status; /* the shim's pipe; fd -1 once it has ended */
        struct launch_message failure;
        struct loop_timer drain; /* until the stop signal */
};

/* All zero is an empty one. */
struct instances {
        size_t places; /* of `list` that were ever used: loops end there */
        signs_handler *on_complete;
        void *owner; /* of on_complete */
        struct instance list[FLEET_INSTANCES_MAX];
};

/* The instance with this process, or with this number of the core; NULL when there is none. */
struct instance *instance_by_pid(struct instances *instances, pid_t pid);
struct instance *instance_by_number(struct instances *instances, uint64_t number);

/* The first used instance at `place` or behind it; NULL when there is none. For loops: go on with
 * instance_place() + 1 of the one that was returned. */
struct instance *instance_from(struct instances *instances, size_t place);

/* A place for one more instance; NULL when all are used. The caller takes it by setting is_used or
 * is_prepared. */
struct instance *instance_unused(struct instances *instances);

/* The instance's index in the arrays of rooms: below FLEET_INSTANCES_MAX. */
size_t instance_place(const struct instance *instance);

static inline struct seat instance_seat(const struct instance *instance) {
        return (struct seat){.generation = instance->generation, .slot = instance->slot};
}

/* Is there a process of the generation, or of that seat, prepared, ready or not, told to stop or not? */
bool instances_have(const struct instances *instances, uint64_t generation);
bool instances_have_seat(const struct instances *instances, const struct seat *seat);

/* Is the instance with this number of the core there, and emptying? */
bool instance_is_emptying(struct instances *instances, uint64_t number);
