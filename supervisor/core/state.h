#pragma once

/* What the files of this folder share: small questions about the fleet's state, and changes of it. Nothing
 * outside supervisor/core includes it. */

#include "lib/duration.h"
#include "supervisor/core/fleet.h"

/* KILL is said again after this time to an instance that does not even die of it (uninterruptible sleep). */
#define KILL_REPEAT_NS (10 * NS_PER_S)

/* Exit status of a failure that has none of its own: an app that failed ended with 0, or a load timed out. */
#define STATUS_FAILED 125

/* Exit status of an app that died of signal N: 128 + N, as shells have it. */
#define SIGNAL_STATUS_BASE 128

/* now + delay; NS_FOREVER when that is too large. */
static inline int64_t time_after(int64_t now_ns, int64_t delay_ns) {
        return delay_ns >= NS_FOREVER - now_ns ? NS_FOREVER : now_ns + delay_ns;
}

/* The deadline of one step on the way STOP, KILL, KILL. At least 1 ns ahead: a deadline that is due in the
 * step that made it would be a wake-up in the past. */
static inline int64_t ladder_after(const struct fleet *fleet, int64_t delay_ns) {
        return time_after(fleet->now_ns, delay_ns > 0 ? delay_ns : 1);
}

/* Has a place: a process, or what one has left behind. */
static inline bool instance_is_live(const struct fleet_instance *instance) {
        return instance->state != INSTANCE_NONE;
}

/* Live, and neither emptying nor told to stop. */
static inline bool instance_is_staying(const struct fleet_instance *instance) {
        return instance->state >= INSTANCE_SPAWNING && instance->state <= INSTANCE_AVAILABLE;
}

/* It gets no new connection, and is stopped when it has finished with those that it got. */
static inline bool instance_is_finishing(const struct fleet_instance *instance) {
        return instance->state == INSTANCE_EMPTYING || instance->state == INSTANCE_DRAINING;
}

static inline bool instance_is_ready(const struct fleet_instance *instance) {
        return (instance->state == INSTANCE_READY || instance->state == INSTANCE_AVAILABLE) &&
               !instance->is_unhealthy;
}

static inline bool instance_is_available(const struct fleet_instance *instance) {
        return instance->state == INSTANCE_AVAILABLE && !instance->is_unhealthy;
}

/* ---- state.c ---- */

/* A new action of that kind, zeroed. Never NULL: a report that finds no room is written aside and counted. */
struct fleet_action *action_add(struct fleet_actions *actions, enum fleet_action_kind kind);

/* Add a report about a generation. */
void report_generation(struct fleet_actions *actions, enum fleet_report report, uint64_t generation);

/* A report about an instance; `slot` may be any of the fleet's. Returns the action for further fields, never
 * NULL. */
struct fleet_action *report_instance(struct fleet *fleet, struct fleet_actions *actions,
        enum fleet_report report, const struct fleet_slot *slot, const struct fleet_instance *instance);

/* The slot's index in the fleet, from 0. */
uint32_t slot_number(const struct fleet *fleet, const struct fleet_slot *slot);

/* The number of generation `index`; callers have checked that there is one. */
uint64_t generation_number(const struct fleet *fleet, int32_t index);

/* True when generation `index` has this number; false for index -1. */
bool generation_is(const struct fleet *fleet, int32_t index, uint64_t number);

/* Put a generation into the table, and return its index. generation_has_room() says whether there is room. */
int32_t generation_add(struct fleet *fleet, uint64_t number, const uint8_t digest[FLEET_DIGEST_BYTES]);
bool generation_has_room(const struct fleet *fleet);

/* DROP every generation that has no role and no live instance. */
void generations_collect(struct fleet *fleet, struct fleet_actions *actions);

/* True while slots move from one known generation to another. */
bool fleet_is_rolling(const struct fleet *fleet);

/* The staying instance of the slot that is of the target; the best one that is not. NULL: there is none. */
struct fleet_instance *slot_target(const struct fleet *fleet, struct fleet_slot *slot);
struct fleet_instance *slot_other(const struct fleet *fleet, struct fleet_slot *slot);

/* True when the slot has no live instance. */
bool slot_is_empty(const struct fleet_slot *slot);

/* What an instance left behind here is still being ended. */
bool slot_is_clearing(const struct fleet_slot *slot);

uint32_t fleet_count_live(const struct fleet *fleet);
uint32_t fleet_count_clearing(const struct fleet *fleet);
uint32_t fleet_count_available(const struct fleet *fleet);

/* Say STOP, and set the deadline after which KILL follows. */
void instance_stop(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* End the draining of an instance that was told to stop; no effect on others. */
void instance_undrain(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* Say STOP once more to an instance that was told to stop and not killed yet. That ends its draining; no
 * deadline moves. */
void instance_stop_again(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* Say KILL; it is said again every KILL_REPEAT_NS until the instance is gone. */
void instance_kill(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* It has ended, and what it left behind is being ended: it keeps its place until CLEARED. */
void instance_clear(struct fleet_instance *instance);

/* Say EMPTY: it gets no new connection, and is stopped when its accept queue is empty. */
void instance_empty(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance);

/* Say DRAIN: its queue is empty, it is stopped when none of its requests runs. Where that is not waited for,
 * say STOP. */
void instance_drain(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance);

/* Say RECALL: one that was emptying or draining serves again. */
void instance_recall(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance);

/* End the load that runs, and forget those that were requested. */
void load_cancel(struct fleet *fleet, struct fleet_actions *actions);

/* ---- restart.c ---- */

/* The time before which `generation` is not to be spawned in this slot. */
int64_t backoff_earliest(const struct fleet_slot *slot, uint64_t generation);

/* The delay before the next try, in ns, after `row` failures in a row: restart_delay_ns doubled, capped, with
 * jitter. */
int64_t backoff_delay(struct fleet *fleet, uint32_t row);

/* `instance` ended without a failure: if it lived for restart_reset_ns, the row of failures is over. */
void backoff_forget(struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance);

/* `instance` (a copy, or one that is about to be stopped) failed by itself: count it, decide what follows. */
struct fleet_failure {
        enum fleet_reason reason;
        int32_t status;
        bool is_permanent;
        bool is_signal, was_ready; /* what a report of it says beside the status */
};

/* Into the report that is about it. */
static inline void failure_note(struct fleet_action *report, const struct fleet_failure *failure) {
        report->reason = failure->reason;
        report->status = failure->status;
        report->is_signal = failure->is_signal;
        report->was_ready = failure->was_ready;
}

void instance_failed(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance, const struct fleet_failure *failure);

/* ---- rollout.c ---- */

/* A load brought the generation of `event`: begin a rollout to it, go back to it, or report why not. */
void rollout_adopt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);

/* The rollout has failed: go back to the stable generation, or halt where the settings say so. */
void rollout_fail(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure);

/* Leave the slots as they are until a reload or a ROLLBACK. */
void rollout_halt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure);

/* ROLLBACK: see FLEET_ROLLBACK. */

/* Is there anything to go back to, or a way back that runs? */
bool rollout_has_way_back(const struct fleet *fleet);
void rollout_back(struct fleet *fleet, struct fleet_actions *actions);

/* End a rollout, a way back or the first start that has reached its target. Returns true when one ended. */
bool rollout_settle(struct fleet *fleet, struct fleet_actions *actions);

/* An instance of the target is available in `slot`: where a rollout waits for its canary, it becomes that. */
void canary_begin(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        const struct fleet_instance *instance);

/* Let the rollout go on when the canary's time is over. */
void canary_expire(struct fleet *fleet, struct fleet_actions *actions);

/* From now on ROLLBACK has no previous generation to go to. */
void previous_forget(struct fleet *fleet);

/* ---- load.c ---- */

/* Note the request for a load in `event` (START or RELOAD); load_begin() starts it. */
void load_ask(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);

/* The running load failed with `status`. */
void load_failed(struct fleet *fleet, struct fleet_actions *actions, int32_t status);

/* A load has brought the generation of `event`: adopt it, or DROP it when that load is no longer wanted. */
void load_arrived(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);

/* Cancel a load that has run too long; request again one whose retry is due. */
void load_expire(struct fleet *fleet, struct fleet_actions *actions);

/* Start the load that was requested, when none runs and there is room for its result. */
void load_begin(struct fleet *fleet, struct fleet_actions *actions);

/* ---- stop.c ---- */

/* Stop every instance, or kill it at once (is_hard), and start nothing from now on. May be called again. */
void fleet_stop(struct fleet *fleet, struct fleet_actions *actions, bool is_hard);

/* Stop the fleet by itself, with this exit status. */
void fleet_give_up(struct fleet *fleet, struct fleet_actions *actions, int32_t status);

/* Note with what `instance` (a copy) ended, for the fleet's exit status. */
void slot_note_status(
        struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance, int32_t status);

/* Say EXIT when the fleet stops, or every slot has ended, and no instance lives. */
void fleet_end_if_over(struct fleet *fleet, struct fleet_actions *actions);

/* ---- reconcile.c, shares.c ---- */

/* Bring every slot one safe move nearer to the target. Returns true when something moved. */
bool fleet_reconcile(struct fleet *fleet, struct fleet_actions *actions);

/* Divide new connections among the instances that serve; STEER when that changed. */
void fleet_steer(struct fleet *fleet, struct fleet_actions *actions);
