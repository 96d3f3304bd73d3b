#pragma once

/* What the files of this folder share: the small questions and writes on the fleet's state. Not for anybody
 * else. */

#include "lib/duration.h"
#include "supervisor/core/fleet.h"

/* KILL is said again after this time to an instance that does not even die of it (uninterruptible sleep). */
#define KILL_REPEAT_NS (10 * NS_PER_S)

/* Used where an app ended with 0 although it failed: never became ready, or could not be loaded. */
#define STATUS_FAILED 125

#define SIGNAL_STATUS_BASE 128

/* now + delay; NS_FOREVER absorbs. */
static inline int64_t time_after(int64_t now_ns, int64_t delay_ns) {
        return delay_ns >= NS_FOREVER - now_ns ? NS_FOREVER : now_ns + delay_ns;
}

/* The end of one rung of the ladder STOP, KILL, KILL: a ladder takes time, for a deadline that is due in the
 * step that made it would be a wake-up in the past. */
static inline int64_t ladder_after(const struct fleet *fleet, int64_t delay_ns) {
        return time_after(fleet->now_ns, delay_ns > 0 ? delay_ns : 1);
}

/* Has a place: a process, or what one has left behind. */
static inline bool instance_is_live(const struct fleet_instance *instance) {
        return instance->state != INSTANCE_NONE;
}

/* Nobody has decided that it must go. */
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

void report_generation(struct fleet_actions *actions, enum fleet_report report, uint64_t generation);

/* A report about an instance; `slot` may be any of the fleet's. Returns the action for further fields, never
 * NULL. */
struct fleet_action *report_instance(struct fleet *fleet, struct fleet_actions *actions,
        enum fleet_report report, const struct fleet_slot *slot, const struct fleet_instance *instance);

uint32_t slot_number(const struct fleet *fleet, const struct fleet_slot *slot);

/* The number of generation `index`; callers have checked that there is one. */
uint64_t generation_number(const struct fleet *fleet, int32_t index);

bool generation_is(const struct fleet *fleet, int32_t index, uint64_t number);

/* Put a generation into the table; there is room when generation_has_room() says so. */
int32_t generation_add(struct fleet *fleet, uint64_t number, const uint8_t digest[FLEET_DIGEST_BYTES]);
bool generation_has_room(const struct fleet *fleet);

/* DROP every generation that has no role and no live instance. */
void generations_collect(struct fleet *fleet, struct fleet_actions *actions);

/* True while slots move from one known generation to another. */
bool fleet_is_rolling(const struct fleet *fleet);

/* The instance of the target that stays in this slot; the other one (of a pair that is not): NULL when there
 * is none. */
struct fleet_instance *slot_target(const struct fleet *fleet, struct fleet_slot *slot);
struct fleet_instance *slot_other(const struct fleet *fleet, struct fleet_slot *slot);
bool slot_is_empty(const struct fleet_slot *slot);

/* What an instance left behind here is still being ended. */
bool slot_is_clearing(const struct fleet_slot *slot);

uint32_t fleet_count_live(const struct fleet *fleet);
uint32_t fleet_count_clearing(const struct fleet *fleet);
uint32_t fleet_count_available(const struct fleet *fleet);

/* Say STOP and start the clock of the ladder. */
void instance_stop(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* One that was told to stop and still drains: its time for that is over. */
void instance_undrain(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);

/* Say STOP once more to one that was told and not killed yet. That ends its draining; no deadline moves. */
void instance_stop_again(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance);
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

/* End the load that runs, and forget those that were asked for. */
void load_cancel(struct fleet *fleet, struct fleet_actions *actions);

/* ---- restart.c ---- */

/* The time before which `generation` is not to be spawned in this slot. */
int64_t backoff_earliest(const struct fleet_slot *slot, uint64_t generation);

/* Double `restart_delay_ns` for the `row`-th failure, cap it, jitter it. */
int64_t backoff_delay(struct fleet *fleet, uint32_t row);

/* A life of restart_reset_ns ended without failure: the row of failures is over. */
void backoff_forget(struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance);

/* `instance` (a copy, or one that is about to be stopped) failed by itself: count it, decide what follows. */
struct fleet_failure {
        enum fleet_reason reason;
        int32_t status;
        bool is_permanent;
};
void instance_failed(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance, const struct fleet_failure *failure);

/* ---- rollout.c ---- */

void rollout_adopt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);
void rollout_fail(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure);
void rollout_halt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure);
void rollout_back(struct fleet *fleet, struct fleet_actions *actions);

/* Notice that a rollout, a way back or the first start has reached its end. Returns true when something was
 * settled. */
bool rollout_settle(struct fleet *fleet, struct fleet_actions *actions);

/* An instance of the target has proved itself in `slot`: a rollout that waits for its canary has it. */
void canary_begin(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        const struct fleet_instance *instance);
void canary_expire(struct fleet *fleet, struct fleet_actions *actions);

/* No ROLLBACK beyond this point. */
void previous_forget(struct fleet *fleet);

/* ---- load.c ---- */

void load_ask(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);
void load_failed(struct fleet *fleet, struct fleet_actions *actions, int32_t status);
void load_arrived(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event);
void load_expire(struct fleet *fleet, struct fleet_actions *actions);

/* Start the load that was asked for, when none runs and there is room for its result. */
void load_begin(struct fleet *fleet, struct fleet_actions *actions);

/* ---- stop.c ---- */

void fleet_stop(struct fleet *fleet, struct fleet_actions *actions, bool is_hard);
void fleet_give_up(struct fleet *fleet, struct fleet_actions *actions, int32_t status);
void slot_note_status(
        struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance, int32_t status);

/* EXIT when nothing is left to wait for. */
void fleet_end_if_over(struct fleet *fleet, struct fleet_actions *actions);

/* ---- reconcile.c, shares.c ---- */

/* Bring every slot one safe move nearer to the target. Returns true when something moved. */
bool fleet_reconcile(struct fleet *fleet, struct fleet_actions *actions);

/* Divide new connections among the instances that serve; STEER when that changed. */
void fleet_steer(struct fleet *fleet, struct fleet_actions *actions);
