/* What follows when an instance fails by itself: a further try, a restart with a growing delay, the end of
 * the slot or of a rollout. Called by fleet.c in a step.
 *
 * It depends on the failed instance's generation: a failure of the new one in a rollout counts against the
 * rollout; of the one that serves, the restart policy decides; of one that is superseded already, nothing
 * follows. The delay is counted from start to start, so an app that was up for longer than the delay is
 * restarted at once. Delays belong to a generation in a slot: a new generation never waits for failures of
 * the old one. */

#include <string.h>

#include "supervisor/core/state.h"

#define DOUBLINGS_MAX 32

/* xorshift64: good enough to keep replicas apart, and the same run for the same seed. */
static uint64_t random_next(struct fleet *fleet) {
        uint64_t x = fleet->random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        fleet->random = x;
        return x;
}

int64_t backoff_delay(struct fleet *fleet, uint32_t row) {
        int64_t delay_ns = fleet->settings.restart_delay_ns;
        const int64_t delay_max_ns = fleet->settings.restart_delay_max_ns;
        for (uint32_t i = 1; i < row && i < DOUBLINGS_MAX && delay_ns < delay_max_ns; i++)
                delay_ns = delay_ns > delay_max_ns / 2 ? delay_max_ns : delay_ns * 2;
        if (delay_ns > delay_max_ns)
                delay_ns = delay_max_ns;
        const int64_t step_ns = delay_ns / 1024;
        return delay_ns - delay_ns / 8 + step_ns * (int64_t)(random_next(fleet) % 256);
}

static struct fleet_backoff *backoff_find(struct fleet_slot *slot, uint64_t generation) {
        for (size_t i = 0; i < 2; i++)
                if (slot->backoff[i].is_used && slot->backoff[i].generation == generation)
                        return &slot->backoff[i];
        return NULL;
}

int64_t backoff_earliest(const struct fleet_slot *slot, uint64_t generation) {
        for (size_t i = 0; i < 2; i++)
                if (slot->backoff[i].is_used && slot->backoff[i].generation == generation)
                        return slot->backoff[i].earliest_ns;
        return 0;
}

/* The slot's record of `generation`. A new record overwrites that of a generation that is neither stable nor
 * the target any more. */
static struct fleet_backoff *backoff_take(
        const struct fleet *fleet, struct fleet_slot *slot, uint64_t generation) {
        struct fleet_backoff *found = backoff_find(slot, generation);
        if (found)
                return found;
        found = &slot->backoff[0];
        if (found->is_used && (generation_is(fleet, fleet->stable, found->generation) ||
                                      generation_is(fleet, fleet->target, found->generation)))
                found = &slot->backoff[1];
        memset(found, 0, sizeof *found);
        found->is_used = true;
        found->generation = generation;
        return found;
}

/* Count one failure more in the row. */
static struct fleet_backoff *backoff_count(
        struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance) {
        struct fleet_backoff *backoff = backoff_take(fleet, slot, instance->generation);
        if (fleet->now_ns - instance->started_ns >= fleet->settings.restart_reset_ns)
                backoff->row = 0;
        if (backoff->row < UINT32_MAX)
                backoff->row++;
        const int64_t earliest_ns = time_after(instance->started_ns, backoff_delay(fleet, backoff->row));
        backoff->earliest_ns = earliest_ns > fleet->now_ns ? earliest_ns : fleet->now_ns;
        return backoff;
}

void backoff_forget(struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance) {
        struct fleet_backoff *backoff = backoff_find(slot, instance->generation);
        if (backoff && fleet->now_ns - instance->started_ns >= fleet->settings.restart_reset_ns)
                backoff->row = 0;
}

static bool policy_wants_restart(const struct fleet *fleet, const struct fleet_failure *failure) {
        /* A failed start is no end of the app: where an app has run before, it is tried again under every
         * policy. */
        if (failure->reason == FLEET_REASON_SPAWN && fleet->has_run)
                return true;
        switch (fleet->settings.restart) {
        case FLEET_RESTART_NO:
                return false;
        case FLEET_RESTART_ON_FAILURE:
                return failure->reason != FLEET_REASON_EXITED || failure->status != 0;
        case FLEET_RESTART_ALWAYS:
                return true;
        }
        return false;
}

/* Is an instance ready that is not of the target? */
static bool others_are_serving(struct fleet *fleet) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                const struct fleet_instance *other = slot_other(fleet, &fleet->slots[i]);
                if (other && instance_is_ready(other))
                        return true;
        }
        return false;
}

/* True when another instance of this slot serves (unhealthy or not: under the policy `no` an unhealthy one
 * goes on). */
static bool slot_is_served(struct fleet *fleet, struct fleet_slot *slot) {
        const struct fleet_instance *target = slot_target(fleet, slot);
        const struct fleet_instance *other = slot_other(fleet, slot);
        return (target && target->state == INSTANCE_AVAILABLE) || (other && other->state >= INSTANCE_READY);
}

/* An instance failed of the generation that serves, or is to serve again. */
static void restart_decide(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance, const struct fleet_failure *failure) {
        if (failure->is_permanent && !fleet->has_run) {
                fleet_give_up(fleet, actions, failure->status);
                return;
        }
        const struct fleet_backoff *backoff = backoff_count(fleet, slot, instance);
        enum fleet_report report = FLEET_REPORT_RESTART;
        if (fleet->is_reverting && others_are_serving(fleet)) {
                /* On the way back failures_max counts, not the restart policy. Where the old generation fails
                 * as well, the way back halts: otherwise it would stop what still serves. */
                if (++fleet->failures > fleet->settings.failures_max) {
                        rollout_halt(fleet, actions, failure);
                        return;
                }
                report = FLEET_REPORT_RETRY;
        } else if (!policy_wants_restart(fleet, failure)) {
                if (slot_is_served(fleet, slot))
                        return;
                slot->has_ended = true;
                if (slot->status == 0 && fleet->is_reverting) /* a way back that leads nowhere */
                        slot->status = STATUS_FAILED;
                report_instance(fleet, actions, FLEET_REPORT_ENDED, slot, instance)->status = slot->status;
                return;
        } else if (fleet->settings.restart_limit > 0 && backoff->row > fleet->settings.restart_limit) {
                fleet_give_up(fleet, actions, failure->status);
                return;
        }
        report_instance(fleet, actions, report, slot, instance)->delay_ns =
                backoff->earliest_ns - fleet->now_ns;
}

/* An instance of a rollout's new generation failed. */
static void attempt_failed(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        const struct fleet_instance *instance, const struct fleet_failure *failure) {
        if (failure->reason != FLEET_REASON_SPAWN || failure->is_permanent)
                fleet->is_blamed = true;
        fleet->failures++;
        if (slot_other(fleet, slot))
                slot->is_turning = false; /* the old instance serves here: another slot may try first */
        const struct fleet_backoff *backoff = backoff_count(fleet, slot, instance);
        /* A canary has had clients: there is no second try. */
        if (failure->is_permanent || fleet->canary == CANARY_RUNS ||
                fleet->failures > fleet->settings.failures_max) {
                rollout_fail(fleet, actions, failure);
                return;
        }
        report_instance(fleet, actions, FLEET_REPORT_RETRY, slot, instance)->delay_ns =
                backoff->earliest_ns - fleet->now_ns;
}

void instance_failed(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance, const struct fleet_failure *failure) {
        instance->has_failed = true;
        struct fleet_action *report = report_instance(fleet, actions, FLEET_REPORT_FAILED, slot, instance);
        failure_note(report, failure);

        const bool is_of_target = generation_is(fleet, fleet->target, instance->generation);
        const bool is_of_stable = generation_is(fleet, fleet->stable, instance->generation);
        if (is_of_target && fleet_is_rolling(fleet) && !fleet->is_halted)
                attempt_failed(fleet, actions, slot, instance, failure);
        else if (is_of_target || is_of_stable)
                restart_decide(fleet, actions, slot, instance, failure);
}
