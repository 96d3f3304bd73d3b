#pragma once

/* The fleet: decides which generation of secrets runs in which replica, one safe move at a time.
 *
 * Pure: no system call, allocation, clock, errno or log. Facts come in as events, each with its time;
 * decisions go out as actions. The core never sees a secret: a generation is a number and a keyed digest.
 *
 *      fleet_init(&fleet, &settings);
 *      for (;;) {
 *              fleet_step(&fleet, &event, &actions);
 *              perform the actions in their order;          (supervisor/)
 *              wait for a fact, or until fleet_deadline(&fleet), then send it, or a FLEET_TICK;
 *      }
 *
 * What the caller owes:
 *   - FLEET_START first. One fleet_step at a time: a fact that performing an action brings at once
 *     (SPAWN_FAILED of a refused fork) is queued and sent after all actions of that step were performed.
 *   - Every SPAWN is answered by SPAWNED or SPAWN_FAILED, and every instance that was not answered by
 *     SPAWN_FAILED ends with
 *     EXITED, and with CLEARED after it where EXITED said has_leftovers. After SPAWN_FAILED no EXITED is
 *     needed for it (one that comes is ignored).
 *   - Every SWEEP is answered by SWEPT, not long after its delay_ns; a further SWEEP takes the place of one
 *     that runs.
 *   - Every LOAD is answered by LOADED or LOAD_FAILED with its load number, at the latest after
 *     load_timeout_ns (else the core cancels it). Generation numbers grow: the caller takes the next one when
 *     a result comes. After CANCEL_LOAD no answer is needed; a LOADED that still comes is answered by DROP.
 *   - Events about instances, loads and generations that the core no longer knows change nothing.
 *
 * docs/ROLLOUT.md tells the rules and the states as an observer sees them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_REPLICAS_MAX    32
#define FLEET_INSTANCES_MAX   (2 * FLEET_REPLICAS_MAX)
#define FLEET_GENERATIONS_MAX 8
#define FLEET_REJECTED_MAX    8
#define FLEET_DIGEST_BYTES    32
#define FLEET_ACTIONS_MAX     192
#define FLEET_SHARES_MAX      (FLEET_REPLICAS_MAX + 1) /* one for each slot, and the canary's */

enum fleet_restart {
        FLEET_RESTART_NO,         /* an app that ends stays ended; when all have ended the fleet ends */
        FLEET_RESTART_ON_FAILURE, /* restart unless it exited with 0 */
        FLEET_RESTART_ALWAYS,
};

/* Of durations 0 means "at once" or "off" where nothing else is said, and NS_FOREVER "no limit". `strategy =
 * restart` is surge_max 0, unavailable_max 1; `handoff` is surge_max 1, unavailable_max 0. Both 0 is taken as
 * `restart`. */
struct fleet_settings {
        uint32_t replicas;        /* 1..FLEET_REPLICAS_MAX, clamped */
        uint32_t surge_max;       /* instances above `replicas`, those on their way out included */
        uint32_t unavailable_max; /* replicas that stops by the fleet itself may make unready at a time */
        uint32_t failures_max;    /* failed new instances that a rollout survives; one more reverts it */
        bool is_revert_off;       /* a failed rollout halts where it is instead of going back */
        /* every instance has its own listening sockets: STEER, EMPTY and RECALL are used */
        bool is_steered;
        /* running instances are signalled to read new content, instead of being replaced; not with
         * is_steered */
        bool is_signalled;
        /* a program that is known to go into the background when nothing keeps it from that */
        bool is_daemon;
        /* share of new connections that the first available instance of a rollout gets; 0: no canary */
        uint32_t canary_percent;

        int64_t load_timeout_ns;  /* LOAD to its answer; 0: no limit, the caller watches alone */
        int64_t ready_timeout_ns; /* SPAWN to READY; 0: no limit */
        int64_t healthy_min_ns;   /* how long an instance must be ready before it counts as available */
        int64_t hold_ns;          /* how long an old instance stands by after its successor is available */
        int64_t canary_ns;        /* how long the canary has its share before the rollout goes on; 0: none */
        /* steered: longest wait for EMPTY before an old instance is stopped; 0: it is not emptied */
        int64_t queue_timeout_ns;
        /* steered: longest wait for IDLE after that; 0: none */
        int64_t drain_timeout_ns;
        int64_t drain_ns;        /* how long one that serves may finish its work before its stop signal */
        int64_t stop_timeout_ns; /* stop signal to KILL */
        int64_t emergency_timeout_ns; /* the same in an emergency rollout (the smaller of both counts) */
        int64_t progress_timeout_ns;  /* longest time of a whole rollout; 0: no limit */
        /* how long the previous generation is kept for ROLLBACK; 0: dropped at commit */
        int64_t previous_keep_ns;

        enum fleet_restart restart;
        int64_t restart_delay_ns; /* least time from start to start; doubles with every failure in a row */
        int64_t restart_delay_max_ns; /* where doubling ends; +-12.5% of jitter come on top */
        int64_t restart_reset_ns;     /* a life of this length ends the row of failures */
        uint32_t restart_limit;       /* restarts in a row before the fleet gives up; 0: it never does */
        uint64_t jitter_seed;         /* any number; the same seed gives the same run */
};

enum fleet_event_kind {
        FLEET_TICK, /* nothing but time */
        /* once, first. has_generation: there is no source, `generation` is given; else the first LOAD
         * follows */
        FLEET_START,
        /* asks for a rotation; is_forced: even if nothing changed or the content was rejected before;
         * is_emergency: no old value survives; is_quiet: nobody waits for an answer (a file has changed) */
        FLEET_RELOAD,
        FLEET_LOADED,      /* load, generation (a higher number than any before), digest */
        FLEET_LOAD_FAILED, /* load, status: exit status if that was the first load */
        FLEET_SPAWNED,     /* instance: its execve(2) succeeded, the app's first instruction is next */
        /* instance, status (125..127); is_permanent: trying again is useless (ENOENT, EACCES, E2BIG) */
        FLEET_SPAWN_FAILED,
        FLEET_READY,     /* instance; without any readiness protocol send it together with SPAWNED */
        FLEET_EXTEND,    /* instance asks for `delay_ns` from now to become ready (EXTEND_TIMEOUT_USEC) */
        FLEET_UNHEALTHY, /* instance: its probes failed as often as they may; final for this instance */
        /* instance, is_signal, status: exit code or signal number, reaped; has_leftovers: processes that it
         * started live on and are being ended, CLEARED follows when nothing is left; is_detached: what
         * lives on has gone into the background, as by a session of its own */
        FLEET_EXITED,
        FLEET_CLEARED, /* instance: nothing that it started is left */
        FLEET_SWEPT,   /* generation of the SWEEP: nothing that it was about is left, or can be ended */
        FLEET_EMPTY,   /* instance: since EMPTY its accept queue has been empty long enough */
        FLEET_IDLE,    /* instance: since DRAIN no request of it runs any more */
        /* go back to the generation before, by a rollout of its own (ROLLOUT, then COMMITTED or what else a
         * rollout ends in); of one that runs: to the one it started from (CANCELLED, then RESTORED); of one
         * that halted on its way back: go on with that (RESUMED, then RESTORED). What is left so is REFUSED
         * until it changes or somebody forces it. The generation that was left becomes `previous` with the
         * commit: a further one goes forward again */
        FLEET_ROLLBACK,
        /* signal: the signal that asked for the end (0: none); is_hard: KILL now; is_at_once: without
         * draining; is_delivered: the instances have that signal already */
        FLEET_STOP,
};

struct fleet_event {
        enum fleet_event_kind kind;
        int64_t now_ns; /* monotonic; an earlier time than the last one is taken as the last one */
        uint64_t instance;
        uint64_t generation;
        uint32_t load;
        int32_t status;
        int64_t delay_ns;
        uint8_t digest[FLEET_DIGEST_BYTES];
        int32_t signal;
        bool has_generation;
        bool is_forced;
        bool is_emergency;
        bool is_quiet;
        bool is_permanent;
        bool is_signal;
        bool has_leftovers;
        bool is_detached;
        bool is_hard;
        bool is_at_once;
        bool is_delivered;
};

enum fleet_action_kind {
        FLEET_DO_LOAD,        /* load: start a loader; answer with this number */
        FLEET_DO_CANCEL_LOAD, /* load: end that loader; its answer is no longer wanted */
        FLEET_DO_SPAWN,       /* slot, instance (a new number), generation */
        /* instance: tell it to read its secrets again; from now on it is one of `generation` */
        FLEET_DO_SIGNAL,
        /* slot, instance, generation: it is to go, and gets no new connection: STEER, which is the first
         * action of its step, has sent them elsewhere before. Watch its accept queue, and tell FLEET_EMPTY
         * when that has been empty long enough. The watch ends with RECALL, STOP, KILL or the exit of the
         * instance. Several may empty at a time, also of one generation: each has a watch of its own */
        FLEET_DO_EMPTY,
        /* slot, instance, generation: its accept queue is empty. Look at its connections, and tell FLEET_IDLE
         * when no request runs any more. Ends as the watch of EMPTY does */
        FLEET_DO_DRAIN,
        /* slot, instance, generation: it was emptying or draining and serves again. A STEER that sends it
         * connections stands before this, too */
        FLEET_DO_RECALL,
        /* instance: stop signal, then SIGCONT (to its shim, if the app does not run yet). delay_ns: drain for
         * so long before it. is_delivered: the app has the signal already. May come again without a delay:
         * that ends draining, and the signal is sent once more; no deadline moves by it */
        FLEET_DO_STOP,
        /* instance: SIGKILL, group and all; may come again if it does not die. Of one that has left processes
         * behind: to those */
        FLEET_DO_KILL,
        /* generation, delay_ns: in the emergency to that generation no older instance is left, but for one
         * that does not die. End what all former ones have left behind, as far as no instance that is of it,
         * or newer, can have started it. delay_ns: from TERM to KILL, at the most. Then tell FLEET_SWEPT with
         * this generation */
        FLEET_DO_SWEEP,
        FLEET_DO_DROP,   /* generation: close it; never named again */
        FLEET_DO_STEER,  /* new connections go by fleet_actions.shares (steered fleets only) */
        FLEET_DO_REPORT, /* report, and the fields its comment names: for the observers, nothing to do */
        /* status: the fleet is over; the last action ever. A load still running is to be ended */
        FLEET_DO_EXIT,
};

/* Reports carry `slot` and `instance` where they are about one. */
enum fleet_report {
        FLEET_REPORT_LOAD_CANCELLED, /* ROLLBACK: the loads that run or were asked for are given up */
        FLEET_REPORT_LOAD_FAILED,    /* nothing is touched; delay_ns: until the next try, NS_FOREVER: none */
        /* generation (the one that runs): same digest, nothing restarts; is_quiet: nobody who asked for this
         * load waits for an answer */
        FLEET_REPORT_UNCHANGED,
        FLEET_REPORT_REFUSED, /* generation (the new one): its digest failed before; force it or change it */
        FLEET_REPORT_STARTED, /* generation: the first one is up in every slot */
        FLEET_REPORT_ROLLOUT, /* generation: a rollout to it begins */
        FLEET_REPORT_SUPERSEDED, /* generation: its rollout is given up for a newer one */
        /* generation: its rollout is given up without a failure: ROLLBACK, the old content again, or
         * halted and nothing of it is left */
        FLEET_REPORT_CANCELLED,
        FLEET_REPORT_FAILED,    /* reason, status: an instance failed; `generation` is its own */
        FLEET_REPORT_RETRY,     /* delay_ns: the rollout tries this slot again then */
        FLEET_REPORT_REVERTED,  /* generation (the bad one), reason, status: going back begins */
        FLEET_REPORT_RESTORED,  /* generation: back on it in every slot */
        FLEET_REPORT_COMMITTED, /* generation: every slot runs it */
        /* generation (the target), reason: stays as it is until a reload or a rollback */
        FLEET_REPORT_HALTED,
        FLEET_REPORT_RESUMED,      /* generation: halted no longer, the way back to it goes on */
        FLEET_REPORT_NO_PREVIOUS,  /* ROLLBACK: there is nothing to go back to */
        FLEET_REPORT_RESTART,      /* delay_ns: the instance ended, its successor comes then (0: now) */
        FLEET_REPORT_ENDED,        /* status: the slot's instance ended and stays ended */
        FLEET_REPORT_GAVE_UP,      /* status: restart_limit reached, or the app cannot be executed */
        FLEET_REPORT_UNHEALTHY,    /* unhealthy, but the restart policy is `no`: left alone */
        FLEET_REPORT_STOP_TIMEOUT, /* the instance did not stop in time: KILL */
        FLEET_REPORT_STUCK,        /* it did not even die of KILL yet: KILL again */
        FLEET_REPORT_STOPPING,     /* STOP begins */
        /* a further STOP: unless its signal was delivered, STOP is said again to every live instance. No
         * deadline moves */
        FLEET_REPORT_STOP_AGAIN,
        FLEET_REPORT_READY,     /* the instance is ready */
        FLEET_REPORT_AVAILABLE, /* the instance has been ready for healthy_min_ns */
        FLEET_REPORT_CANARY,    /* the canary share goes to this instance for delay_ns */
        /* generation: its canary's time is over without a failure, the rollout goes on */
        FLEET_REPORT_CANARY_PASSED,
        FLEET_REPORT_EMPTIED,       /* the instance's accept queue is empty */
        FLEET_REPORT_QUEUE_TIMEOUT, /* it was never seen empty: nothing is lost by going on */
        FLEET_REPORT_DRAINED,       /* no request of the instance runs any more: it is told to stop */
        FLEET_REPORT_DRAIN_TIMEOUT, /* the same, although some do */
        FLEET_REPORT_STOPPED,       /* an instance that was told to stop is gone */
};

enum fleet_reason {
        FLEET_REASON_NONE,
        /* status: its exit status, 128+N for signal N (is_signal); was_ready: it had been */
        FLEET_REASON_EXITED,
        FLEET_REASON_SPAWN,     /* could not be started: status */
        FLEET_REASON_NOT_READY, /* not ready within ready_timeout_ns */
        FLEET_REASON_UNHEALTHY,
        /* ended as if all was well, before it had proved itself or as a program that is known for it, and
         * what is to serve lives on where nobody sees it end: no success. status: as if it had failed */
        FLEET_REASON_BACKGROUND,
        FLEET_REASON_TOO_SLOW, /* the rollout took longer than progress_timeout_ns */
};

struct fleet_action {
        enum fleet_action_kind kind;
        enum fleet_report report;
        enum fleet_reason reason;
        uint32_t slot;
        uint32_t load;
        int32_t status;
        uint64_t instance;
        uint64_t generation;
        int64_t delay_ns;
        bool is_delivered;
        bool is_quiet;
        bool is_signal, was_ready; /* FLEET_REASON_EXITED */
};

/* How many of every 'total of all weights' new connections a seat gets: the place of one generation in one
 * slot. An instance sits there, or is about to; when it crashes its successor of the same generation gets the
 * same seat, and with it who waits there. */
struct fleet_share {
        uint64_t generation;
        uint32_t slot;
        uint32_t weight;
};

/* Large: keep one, static. Decisions always fit (see DECISIONS_MAX in state.c); reports that do not fit are
 * only counted. */
struct fleet_actions {
        size_t count;
        size_t lost;
        struct fleet_action unheard; /* where a lost report is written */
        size_t share_count;
        struct fleet_share shares[FLEET_SHARES_MAX];
        struct fleet_action list[FLEET_ACTIONS_MAX]; /* last: few steps go far into it */
};

/* ---- the state: read it through the functions below only ----------------------------------------------- */

enum instance_state {
        INSTANCE_NONE,
        INSTANCE_SPAWNING,  /* SPAWN said, no answer yet */
        INSTANCE_BOOTING,   /* the app runs, not ready yet */
        INSTANCE_READY,     /* ready, not yet for healthy_min_ns */
        INSTANCE_AVAILABLE, /* ready and healthy */
        INSTANCE_EMPTYING,  /* EMPTY said: gets no new connection, waits for its queue to be empty */
        INSTANCE_DRAINING,  /* DRAIN said: its queue is empty, requests that it has taken may run */
        INSTANCE_STOPPING,  /* STOP said */
        INSTANCE_KILLED,    /* KILL said */
        INSTANCE_CLEARING,  /* it has ended; what it left behind is being ended, and nobody takes its place */
};

struct fleet_instance {
        enum instance_state state;
        bool was_ready;
        bool is_unhealthy;
        bool has_failed; /* its end is already counted as a failure */
        bool was_told;   /* clearing: it had been told to stop */
        uint64_t number;
        uint64_t generation;
        int64_t started_ns;
        int64_t available_ns;   /* since when */
        int64_t draining_ns;    /* draining: since when */
        int64_t drain_until_ns; /* stopping: when it gets its stop signal */
        int64_t deadline_ns;    /* of its state; NS_FOREVER where only a fact ends it */
};

/* How often in a row a generation failed in a slot, and when it may be tried again. */
struct fleet_backoff {
        bool is_used;
        uint32_t row; /* failures in a row */
        uint64_t generation;
        int64_t earliest_ns;
};

struct fleet_slot {
        struct fleet_instance pair[2];
        struct fleet_backoff backoff[2];
        bool is_turning; /* chosen for replacement: the next instance here is of the target */
        bool has_ended;  /* its app ended by itself, and the restart policy does not restart it */
        bool has_status;
        /* `status` is of an instance that was ready: one that was not does not overwrite it */
        bool is_status_of_ready;
        int32_t status;
};

enum fleet_canary {
        CANARY_OFF,
        CANARY_AWAITED, /* one slot changes over alone */
        CANARY_RUNS,    /* it is available and has its share; nothing else moves toward the target */
};

struct fleet_generation {
        bool is_used;
        uint64_t number;
        uint8_t digest[FLEET_DIGEST_BYTES];
};

struct fleet {
        struct fleet_settings settings;
        int64_t now_ns;
        uint64_t random;
        uint64_t instance_last;
        uint64_t generation_next; /* the lowest number that a new generation may have */
        uint32_t load_last;

        bool is_started;
        bool is_up;   /* every slot was available once */
        bool has_run; /* some instance was ready once */
        bool is_over;
        bool is_stopping;
        bool is_reverting;
        bool is_halted;
        bool is_emergency;  /* the rollout that runs is an emergency rollout */
        bool is_blamed;     /* some failure of this rollout was the new generation's own */
        bool is_undrained;  /* the STOP that came leaves no time for draining */
        bool is_delivering; /* the instances have the signal of this step's STOP already */
        bool has_status;    /* exit_status is fixed */
        int32_t exit_status;
        int32_t stop_signal;
        uint32_t failures;  /* in this rollout */
        uint64_t sweep_due; /* generation of an emergency whose SWEEP was not said yet; 0: none */
        uint64_t sweeping;  /* of the SWEEP that was not answered yet; 0: none */
        int64_t progress_deadline_ns;
        enum fleet_canary canary;
        int64_t canary_until_ns;

        bool is_loading;
        bool is_load_forced;
        bool is_load_emergency;
        bool is_load_loud; /* somebody waits for its answer */
        bool is_wanted;    /* a reload that was asked for after the running load began */
        bool is_wanted_forced;
        bool is_wanted_emergency;
        bool is_wanted_loud;
        uint32_t load_failures;
        int64_t load_deadline_ns;
        int64_t load_retry_ns;

        /* indexes into `generations`; -1: none */
        int32_t stable;   /* known to work: where a failed rollout goes back to */
        int32_t target;   /* what all slots are to run */
        int32_t previous; /* kept for ROLLBACK until previous_until_ns */
        int64_t previous_until_ns;
        struct fleet_generation generations[FLEET_GENERATIONS_MAX];

        uint64_t left;           /* generation that a failure or ROLLBACK gave up for an older; 0: none */
        int64_t left_ns;         /* when that was */
        uint32_t rejected_count; /* digests of content that failed, the newest last */
        uint8_t rejected[FLEET_REJECTED_MAX][FLEET_DIGEST_BYTES];

        size_t share_count;
        struct fleet_share shares[FLEET_SHARES_MAX];
        struct fleet_slot slots[FLEET_REPLICAS_MAX];
};

/* Set *fleet up. Settings are copied, and clamped to what makes sense (replicas, both limits 0, a restart
 * delay below 10 ms). */
void fleet_init(struct fleet *fleet, const struct fleet_settings *settings);

/* Take one fact and write what to do about it to *actions, in order. After FLEET_DO_EXIT every further step
 * returns no action. */
void fleet_step(struct fleet *fleet, const struct fleet_event *event, struct fleet_actions *actions);

/* While a load runs: will LOADED of new content make a SPAWN in the same step? True: most likely, and
 * *out_slot and *out_instance are those of its first SPAWN, so that the caller can prepare it. False: no, or
 * unknown. */
bool fleet_foresee(const struct fleet *fleet, uint32_t *out_slot, uint64_t *out_instance);

/* When the next FLEET_TICK is due: later than the last step, or NS_FOREVER when only facts can change
 * something. */
int64_t fleet_deadline(const struct fleet *fleet);

/* The state as observers see it; derived, nothing is decided by it. */
enum fleet_phase {
        FLEET_PHASE_STARTING,  /* the first generation is not up yet */
        FLEET_PHASE_IDLE,      /* one generation everywhere (crashed replicas may be restarting) */
        FLEET_PHASE_ROLLING,   /* on the way to a new one */
        FLEET_PHASE_REVERTING, /* on the way back */
        FLEET_PHASE_HALTED,
        FLEET_PHASE_STOPPING,
        FLEET_PHASE_OVER,
};

struct fleet_view {
        enum fleet_phase phase;
        bool is_loading;
        bool is_emergency; /* the rollout that runs is one */
        bool has_target;
        bool has_stable;
        bool has_previous;
        uint64_t target;
        uint64_t stable;
        uint64_t previous;
        uint64_t left;      /* generation that a failure or ROLLBACK gave up for an older; 0: none */
        int64_t left_ns;    /* when that was, monotonic */
        uint32_t live;      /* instances of any generation, those on their way out included */
        uint32_t ready;     /* of them ready and not told to stop */
        uint32_t available; /* of them ready for healthy_min_ns */
        uint32_t failures;  /* failed instances of the rollout that runs */
};

/* Write a summary of the state to *out. */
void fleet_look(const struct fleet *fleet, struct fleet_view *out);

/* Walk over the instances that live, those on their way out included, by slots and places:
 *
 *      struct fleet_cursor cursor = {0};
 *      while ((instance = fleet_instance_next(&fleet, &cursor)))
 *              use instance, cursor.slot, cursor.place
 *
 * Returns NULL at the end, and ever after. No fleet_step() in between. */
struct fleet_cursor {
        uint32_t slot;  /* of the instance that was returned */
        uint32_t place; /* of that instance in its slot: 0 or 1 */
        uint32_t next;
};
const struct fleet_instance *fleet_instance_next(const struct fleet *fleet, struct fleet_cursor *cursor);

/* The number of the next FLEET_DO_LOAD. The load with the number before runs while the view says is_loading;
 * all lower ones are over. */
uint32_t fleet_load_next(const struct fleet *fleet);

/* The instance in `slot` and place 0 or 1; NULL when there is none. */
const struct fleet_instance *fleet_instance_at(const struct fleet *fleet, uint32_t slot, uint32_t place);

/* Names for logs and status: "ready", "rolling", "exited". Never NULL. */
const char *instance_state_name(enum instance_state state);
const char *fleet_phase_name(enum fleet_phase phase);
const char *fleet_reason_name(enum fleet_reason reason);
