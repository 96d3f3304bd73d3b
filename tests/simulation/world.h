#pragma once

/* The simulated world around a fleet: processes, loaders, an operator, and everything that goes wrong with
 * them.
 *
 * world.c lives and makes facts; books.c, oracle.c and reports.c watch and judge; fleet.c is the program.
 * Nothing here reads the fleet's own state, but through the functions that an observer has: what is judged is
 * what a user would see. */

#include "lib/duration.h"
#include "supervisor/core/fleet.h"

#define SIM_INSTANCES_MAX   (2 * 6 + 4)
#define SIM_GENERATIONS_MAX 512
#define SIM_PENDING_MAX     512
#define SIM_STALE_MAX       16
#define SIM_STEPS_MAX       60000

/* How a secret's new value does: what every instance does that gets it. */
enum sim_quality {
        QUALITY_GOOD,
        QUALITY_EXITS_AT_BOOT,
        QUALITY_EXITS_SOON, /* ready, then dead within healthy_min */
        QUALITY_NEVER_READY,
        QUALITY_UNHEALTHY, /* ready, then its probes fail within healthy_min */
        QUALITY_NOT_EXECUTABLE,
        QUALITY_COUNT,
};

struct sim_content {
        uint32_t number; /* also what its digest is made of */
        enum sim_quality quality;
        bool does_not_load;
};

struct sim_generation {
        bool is_known;
        bool is_dropped;
        struct sim_content content;
        uint32_t failures; /* real ones that the fleet has been told, while it was rolled out */
        bool is_blamed;    /* some were its own */
        bool has_permanent_failure;
        bool has_canary_failure;
};

/* What both sides know of one process. Times are those at which the fleet was told, or told us. */
struct sim_instance {
        bool is_live;
        bool is_clearing; /* lives no more, but what it left behind does */
        bool is_hurried;  /* since an emergency began */
        bool is_ready;
        bool is_unhealthy;
        bool is_available; /* ready for healthy_min, and the fleet had the chance to see it */
        bool is_emptying;  /* EMPTY was said, and no RECALL since */
        bool is_recalled;  /* it was emptying once: what it had proved by then counts anew */
        bool is_empty;     /* and its queue was said to be empty since */
        bool is_draining;  /* DRAIN was said, and no RECALL since */
        bool is_idle;      /* and no request of it was said to run since */
        bool is_stopped;   /* STOP was said */
        bool is_killed;
        bool has_failed;
        bool ignores_stop;
        bool survives_kill; /* for a while: uninterruptible */
        uint32_t slot;
        uint64_t number;
        uint64_t generation;
        int64_t spawned_ns;
        int64_t ready_ns;
        int64_t ready_deadline_ns;
        int64_t emptying_ns; /* when EMPTY or RECALL was said last */
        uint64_t emptying_step;
        int64_t draining_ns;
        int64_t stopped_ns;
        int64_t drain_until_ns;
        int64_t stop_limit_ns;
        uint32_t stops_heard; /* of world.stops_asked: how many were passed on to it */
        int64_t signalled_ns; /* 0: never */
        int64_t killed_ns;
        int32_t stop_status;
};

struct sim_pending {
        int64_t at_ns;
        uint64_t order;
        struct fleet_event event;
        struct sim_content content; /* of a LOADED */
};

struct world {
        uint64_t seed;
        uint64_t random;
        bool is_verbose;
        struct fleet fleet;
        struct fleet_settings settings;
        int64_t now_ns;
        int64_t told_ns; /* the latest time that the fleet was told */
        bool is_calm;    /* nothing new goes wrong */

        struct sim_content content; /* what a load finds */
        uint32_t content_last;
        uint64_t generation_next;
        struct sim_generation generations[SIM_GENERATIONS_MAX];
        struct sim_instance instances[SIM_INSTANCES_MAX];
        uint64_t stale[SIM_STALE_MAX]; /* numbers of instances that are gone */
        size_t stale_count;

        struct sim_pending pending[SIM_PENDING_MAX];
        size_t pending_count;
        uint64_t order_last;

        /* what the oracle has seen */
        uint64_t steps;
        uint64_t ticks_without_action;
        uint64_t decisions;
        uint64_t spawns;
        uint64_t aims;      /* times the fleet took another target */
        uint32_t load_live; /* number of the load that runs; 0: none */
        uint32_t load_last;
        int64_t load_began_ns;
        bool is_started;
        bool is_load_forced;
        bool is_adopting;    /* the fact of this step is the answer to the load that runs */
        bool is_reload_owed; /* asked for, no LOAD since */
        bool is_owed_forced;
        bool is_owed_emergency;
        bool is_owed_loud;
        bool is_load_emergency;
        bool is_load_loud;
        bool has_target;
        bool has_stable;
        uint64_t target;
        uint64_t stable;
        bool is_rolling; /* a rollout that can fail */
        bool was_slow;   /* a rollout was given up in the calm for its limit of time alone */
        bool is_reverting;
        bool is_halted;
        bool is_emergency;
        uint64_t sweep_due; /* generation of an emergency that has begun, and SWEEP was not said yet */
        uint64_t sweeping;  /* of the last SWEEP, until it is answered */
        int64_t aimed_ns;
        bool is_canary_due; /* the rollout has to begin with one, */
        bool is_canary;     /* which has its share now */
        int64_t canary_ns;
        bool is_at_once;      /* a STOP that leaves no time to drain */
        uint32_t stops_asked; /* further ones, whose signal somebody has to send */
        bool is_stopping;
        int64_t stopping_ns;
        bool is_over;
        bool has_ended[FLEET_REPLICAS_MAX];
        size_t rejected_count;
        uint32_t rejected[FLEET_REJECTED_MAX]; /* contents, the newest last */
        int64_t spawn_ns[FLEET_REPLICAS_MAX];  /* the last one here, */
        uint64_t spawn_generation[FLEET_REPLICAS_MAX];
        bool spawn_failed[FLEET_REPLICAS_MAX]; /* and whether it failed */
        struct fleet_share shares[FLEET_SHARES_MAX];
        size_t share_count;
        uint64_t share_weight;
};

/* Counts over all seeds: a simulator that never gets somewhere proves nothing about it. */
struct sim_census {
        uint64_t commits, reverts, halts, restores, exits, refusals, unchanged, cancelled, superseded,
                emergencies;
        uint64_t signals, canaries, canaries_passed, stop_drains, undrained, stops_again;
        uint64_t quiet, give_ups, steers, emptied, drained, recalled, kills, stale, reloads, calm_checks,
                steps;
};
extern struct sim_census census;

/* ---- world.c ---- */
void world_init(struct world *world, uint64_t seed);
uint64_t world_random(struct world *world, uint64_t below);
bool world_chance(struct world *world, uint64_t percent);
/* Live until nothing happens any more or `until_ns`. Returns false when the oracle has objected. */
bool world_live(struct world *world, int64_t until_ns);
void world_post(struct world *world, int64_t delay_ns, struct fleet_event event);
struct sim_content world_new_content(struct world *world);
struct sim_instance *world_find(struct world *world, uint64_t number);

/* ---- oracle.c: each returns false and prints why when a promise is broken ---- */
bool oracle_object(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Called with the fact before the step; what the world knows changes by it. */
void oracle_told(struct world *world, const struct fleet_event *event, const struct sim_content *content);
bool oracle_judge(struct world *world, const struct fleet_event *event, const struct fleet_actions *actions);
bool oracle_calm(struct world *world, bool is_rescued);
