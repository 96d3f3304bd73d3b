#pragma once

/* kill_mode = tree: what an instance has started ends with it, at the latest when it has ended itself.
 *
 * Where tacet may make cgroups (version 2, delegated to it) every instance begins in one of its own: nothing
 * can leave it, and one write kills all. Elsewhere the tree is what /proc shows: the descendants of the
 * instance, and of those that were left behind what is still in its session or process group. A process that
 * has left all three is only found at the end of tacet itself. */

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
        bool has_replicas;            /* messages say which */
        int64_t remaining_timeout_ns; /* TERM to KILL for what an instance left behind */
};

/* What is left of an instance that has ended. */
struct tree_rest {
        bool is_used;
        struct trees *trees;
        bool has_cgroup; /* else by descent */
        pid_t pid;       /* that the instance had */
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
        int base_fd; /* our own cgroup, in which those of the instances are made; -1: by descent */
        struct tree_rest *rests; /* FLEET_INSTANCES_MAX */
};

/* At start. Never fails: what cannot be had is said in the log. `loop` and `instances` are borrowed. */
void trees_open(struct trees *trees, struct loop *loop, struct instances *instances,
        const struct tree_settings *settings);

/* Before a start. Returns a descriptor of cgroup.procs for launch_spec.cgroup_fd, to be closed by the caller;
 * 0: none. */
int tree_prepare(const struct trees *trees, uint64_t number);

/* The start has failed before there was a process. */
void tree_dismiss(const struct trees *trees, uint64_t number);

/* KILL, now, to the instance's whole tree. */
void tree_kill(const struct trees *trees, const struct instance *instance);

/* The instance has been reaped: TERM to what it left behind, KILL after remaining_timeout. */
void tree_ended(struct trees *trees, const struct instance *instance);

/* At the very end, when everybody is gone: remove the cgroups. */
void trees_close(struct trees *trees);
