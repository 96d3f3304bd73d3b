#pragma once

/* What an instance has started ends with it.
 *
 * Leftovers: what is alive when the instance's main process has ended gets TERM, and KILL after
 * remaining_timeout; nobody takes its place before they are gone. kill_mode = tree goes further: KILL to the
 * instance is KILL to all that it has started, and where tacet may make cgroups (version 2, delegated to it)
 * every instance begins in one of its own, which nothing can leave.
 *
 * Elsewhere it is /proc that shows whose a process is: the descendants of the instance, what is in its
 * session or process group, and of the orphans that have left both what no other instance can have started.
 * An orphan that several can have started waits until only one of them is left, for an emergency, or for the
 * end of tacet itself. */

#include <stdint.h>
#include <sys/types.h>

#include "lib/loop.h"
#include "supervisor/core/facts.h"
#include "supervisor/core/fleet.h"
#include "supervisor/process/children.h"
#include "supervisor/process/instances.h"

#define TREE_NAME_BYTES 48
#define TREE_RESTS_MAX  (FLEET_INSTANCES_MAX + 1) /* the last one is a sweep's */

struct trees;

/* The rooms that this one stands on; all borrowed. */
struct tree_rooms {
        struct loop *loop;
        struct facts *facts; /* FLEET_CLEARED */
        struct children *children;
        struct instances *instances;
        const struct fleet *fleet; /* whether it is an emergency that ends an instance */
};

struct tree_settings {
        bool kills;                   /* kill_mode = tree */
        bool ends_leftovers;          /* leftovers = end; in an emergency they always are */
        bool has_groups;              /* every instance leads a process group of its own */
        bool has_replicas;            /* messages say which */
        int64_t remaining_timeout_ns; /* TERM to KILL for what an instance left behind */
};

/* Those of instances, and the one of a sweep. */
#define TREE_RESTS_MAX (FLEET_INSTANCES_MAX + 1)

/* What is left of an instance that has ended. */
struct tree_rest {
        bool is_used;
        bool is_awaited; /* the core has been told of it: CLEARED is owed */
        bool is_of_emergency;
        bool is_of_the_end; /* the service ends: no news that this does */
        struct trees *trees;
        bool has_cgroup; /* else by descent */
        pid_t pid;       /* that the instance had */
        uint64_t number;
        uint64_t generation; /* of a sweep: the emergency's */
        uint32_t slot;
        uint64_t started_ticks;
        bool was_told; /* TERM was sent */
        long count;    /* at the last look; of a cgroup: at least 1 */
        long most;     /* of all looks */
        unsigned kills, removals;
        int64_t patience_ns; /* from TERM */
        int64_t kill_ns;
        int64_t pause_ns; /* until the next look */
        struct loop_timer timer;
};

struct trees {
        struct tree_rooms rooms;
        struct tree_settings settings;
        int base_fd; /* our own cgroup, in which those of the instances are made; -1: by descent */
        long ended;  /* see trees_ended() */
        uint64_t ended_for;
        struct tree_rest *rests; /* TREE_RESTS_MAX */
};

/* At start. Never fails: what cannot be had is said in the log. */
void trees_open(struct trees *trees, const struct tree_rooms *rooms, const struct tree_settings *settings);

/* Before a start. Returns a descriptor of cgroup.procs for launch_spec.cgroup_fd, to be closed by the caller;
 * 0: none. */
int tree_prepare(const struct trees *trees, uint64_t number);

/* The start has failed before there was a process. */
void tree_dismiss(const struct trees *trees, uint64_t number);

/* KILL, now, to the instance's whole tree (kill_mode = tree). */
void tree_kill(const struct trees *trees, const struct instance *instance);

/* The instance has been reaped: begin to end what it left behind. Returns true when there is something:
 * FLEET_CLEARED comes when that is gone, or cannot be ended. */
bool tree_ended(struct trees *trees, const struct instance *instance);

/* The instance has been reaped, and nothing has been ended yet: has a process that it left behind taken a
 * session of its own, as one does that goes into the background? It may not have come to that yet, so of a
 * daemon, which is known for it, any process counts. */
bool tree_is_detached(const struct trees *trees, const struct instance *instance, bool is_daemon);

/* KILL, now, to what the instance with this number has left behind. */
void tree_rest_kill(struct trees *trees, uint64_t number);

/* How many processes it has left behind that have not ended yet, as far as can be told. */
long tree_rest_count(const struct trees *trees, uint64_t number);

/* FLEET_DO_SWEEP: of an emergency to `generation` no older instance is left. End what they, and those before
 * them, have left behind: orphans that no instance of that generation, or a newer one, can have started. KILL
 * follows TERM after the shorter of delay_ns and remaining_timeout. FLEET_SWEPT comes when nothing is left,
 * or it cannot be ended. */
void tree_sweep(struct trees *trees, uint64_t generation, int64_t delay_ns);

/* How many processes a sweep has found that have not ended yet. */
long tree_sweep_count(const struct trees *trees);

/* How many processes that held the old values the emergency to `generation` has ended: instances of other
 * generations, and what these left behind. Of what an instance ended itself, its workers, nothing is known
 * here. */
long trees_ended(const struct trees *trees, uint64_t generation);

/* At the very end, when everybody is gone: remove the cgroups. */
void trees_close(struct trees *trees);
