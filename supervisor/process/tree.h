#pragma once

/* kill_mode = tree: processes that an instance has started are ended with it.
 *
 * Where tacet may make cgroups (version 2, delegated to it) every instance begins in one of its own: no
 * process can leave it, and one write kills all. Elsewhere the tree is what /proc shows: the descendants of
 * the instance, and once that has ended, what is still in its session or process group. A process that has
 * left all three is only found at the end of tacet itself. */

#include <stdint.h>
#include <sys/types.h>

#include "lib/loop.h"
#include "supervisor/core/fleet.h"
#include "supervisor/process/instances.h"

#define TREE_NAME_BYTES 48

struct trees;

struct tree_settings {
        bool is_on;                   /* kill_mode = tree */
        bool has_groups;              /* every instance leads a process group of its own */
        bool has_replicas;            /* messages name the replica */
        int64_t remaining_timeout_ns; /* TERM to KILL for what an instance left behind */
};

/* The processes that an instance left behind when it ended. */
struct tree_rest {
        bool is_used;
        struct trees *trees;
        bool has_cgroup; /* else they are found by /proc */
        pid_t pid;       /* of the instance, reaped */
        uint64_t number;
        uint32_t slot;
        bool was_told; /* TERM was sent */
        unsigned kills, removals;
        int64_t kill_ns;
        int64_t pause_ns; /* until the next look */
        struct loop_timer timer;
};

struct trees {
        struct loop *loop;
        struct instances *instances;
        struct tree_settings settings;
        int base_fd; /* our own cgroup, in which those of the instances are made; -1: trees by /proc */
        struct tree_rest *rests; /* FLEET_INSTANCES_MAX */
};

/* Call this first. Never fails: without cgroups, which the log then says, it goes by /proc. `loop` and
 * `instances` are borrowed. */
void trees_open(struct trees *trees, struct loop *loop, struct instances *instances,
        const struct tree_settings *settings);

/* Make the cgroup for instance `number`, before its start. Returns a descriptor of cgroup.procs for
 * launch_spec.cgroup_fd, which the caller closes; 0: the instance has no cgroup. */
int tree_prepare(const struct trees *trees, uint64_t number);

/* Remove the cgroup of an instance whose start failed before there was a process. */
void tree_dismiss(const struct trees *trees, uint64_t number);

/* SIGKILL, now, to the instance's whole tree. */
void tree_kill(const struct trees *trees, const struct instance *instance);

/* The instance was reaped: SIGTERM to what it left behind, SIGKILL after remaining_timeout_ns. */
void tree_ended(struct trees *trees, const struct instance *instance);

/* At the very end, when all instances and errands have ended: remove the cgroups. */
void trees_close(struct trees *trees);
