/* Which generation the fleet is to run: adopt a newer one, go back from a bad one, halt, notice the end of a
 * rollout. Called by fleet.c in a step.
 *
 * There is no state "rolling". `target` is what every slot is to run, `stable` what is known to work; they
 * differ while a rollout runs. Going back makes `stable` the target again. reconcile.c moves the slots. A
 * generation that failed for reasons of its own is remembered by its digest, so that the same content is not
 * tried again unless a reload is forced. */

#include <string.h>

#include "supervisor/core/state.h"

static bool digest_is_rejected(const struct fleet *fleet, const uint8_t digest[FLEET_DIGEST_BYTES]) {
        for (uint32_t i = 0; i < fleet->rejected_count; i++)
                if (memcmp(fleet->rejected[i], digest, FLEET_DIGEST_BYTES) == 0)
                        return true;
        return false;
}

static void digest_forgive(struct fleet *fleet, const uint8_t digest[FLEET_DIGEST_BYTES]) {
        for (uint32_t i = 0; i < fleet->rejected_count; i++) {
                if (memcmp(fleet->rejected[i], digest, FLEET_DIGEST_BYTES) != 0)
                        continue;
                fleet->rejected_count--;
                memmove(fleet->rejected[i], fleet->rejected[i + 1],
                        (fleet->rejected_count - i) * FLEET_DIGEST_BYTES);
                return;
        }
}

/* Remember the digest, the newest last; when the list is full, the oldest is forgotten. */
static void digest_reject(struct fleet *fleet, const uint8_t digest[FLEET_DIGEST_BYTES]) {
        digest_forgive(fleet, digest);
        if (fleet->rejected_count == FLEET_REJECTED_MAX) {
                fleet->rejected_count--;
                memmove(fleet->rejected[0], fleet->rejected[1], fleet->rejected_count * FLEET_DIGEST_BYTES);
        }
        memcpy(fleet->rejected[fleet->rejected_count++], digest, FLEET_DIGEST_BYTES);
}

static bool digest_equals(
        const struct fleet *fleet, int32_t index, const uint8_t digest[FLEET_DIGEST_BYTES]) {
        return index >= 0 && memcmp(fleet->generations[index].digest, digest, FLEET_DIGEST_BYTES) == 0;
}

/* The target is given up for generation `to`: its content is rejected from now on, and where `to` is older,
 * the status says that the sources have something newer than what runs. */
static void target_leave(struct fleet *fleet, int32_t to) {
        const struct fleet_generation *generation = &fleet->generations[fleet->target];
        digest_reject(fleet, generation->digest);
        if (to >= 0 && generation->number < generation_number(fleet, to))
                return; /* `to` is newer: nothing was left behind */
        fleet->left = generation->number;
        fleet->left_ns = fleet->now_ns;
}

/* Every slot runs the target: it is not rejected any more, and nothing newer was left for it if it is the
 * newest. */
static void target_accept(struct fleet *fleet) {
        digest_forgive(fleet, fleet->generations[fleet->target].digest);
        if (generation_number(fleet, fleet->target) >= fleet->left)
                fleet->left = 0;
}

/* Make generation `index` the target. */
static void rollout_aim(struct fleet *fleet, int32_t index) {
        fleet->target = index;
        fleet->failures = 0;
        fleet->is_halted = false;
        fleet->is_reverting = false;
        fleet->is_emergency = false;
        fleet->is_blamed = false;
        fleet->canary = CANARY_OFF;
        fleet->progress_deadline_ns = NS_FOREVER;
        if (fleet_is_rolling(fleet) && fleet->settings.progress_timeout_ns > 0)
                fleet->progress_deadline_ns = time_after(fleet->now_ns, fleet->settings.progress_timeout_ns);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                fleet->slots[i].is_turning = false;
}

static bool target_is_ready_somewhere(const struct fleet *fleet) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        const struct fleet_instance *instance = &fleet->slots[i].pair[place];
                        if (instance_is_ready(instance) &&
                                generation_is(fleet, fleet->target, instance->generation))
                                return true;
                }
        return false;
}

void previous_forget(struct fleet *fleet) {
        fleet->previous = -1;
        fleet->previous_until_ns = NS_FOREVER;
}

/* No old value may survive: there is no generation to go back to, the old content is rejected, and instances
 * that have it get only the emergency's time to stop. */
static void emergency_begin(struct fleet *fleet, struct fleet_actions *actions, int32_t old,
        const uint8_t digest[FLEET_DIGEST_BYTES]) {
        if (old >= 0 && !digest_equals(fleet, old, digest))
                digest_reject(fleet, fleet->generations[old].digest);
        if (fleet->stable >= 0 && !digest_equals(fleet, fleet->stable, digest))
                digest_reject(fleet, fleet->generations[fleet->stable].digest);
        fleet->stable = -1;
        previous_forget(fleet);
        fleet->is_emergency = true;
        fleet->sweep_due = generation_number(fleet, fleet->target);
        const int64_t deadline_ns = ladder_after(fleet, fleet->settings.emergency_timeout_ns);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        struct fleet_instance *instance = &fleet->slots[i].pair[place];
                        instance_undrain(fleet, actions, instance);
                        if ((instance->state == INSTANCE_STOPPING || instance->state == INSTANCE_CLEARING) &&
                                instance->deadline_ns > deadline_ns)
                                instance->deadline_ns = deadline_ns;
                }
}

static void rollout_begin(
        struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        const int32_t old = fleet->target;
        if (old >= 0 && fleet->stable < 0 && target_is_ready_somewhere(fleet))
                fleet->stable = old;
        if (old >= 0 && old != fleet->stable)
                report_generation(actions, FLEET_REPORT_SUPERSEDED, generation_number(fleet, old));
        digest_forgive(fleet, event->digest);
        const int32_t new = generation_add(fleet, event->generation, event->digest);
        rollout_aim(fleet, new);
        if (old >= 0)
                report_generation(actions, FLEET_REPORT_ROLLOUT, event->generation);
        if (fleet->is_load_emergency && old >= 0)
                emergency_begin(fleet, actions, old, event->digest);
        if (fleet->settings.canary_percent > 0 && fleet_is_rolling(fleet))
                fleet->canary = CANARY_AWAITED;
}

/* Give the rollout up without a failure, and go back. */
static void rollout_cancel(struct fleet *fleet, struct fleet_actions *actions) {
        report_generation(actions, FLEET_REPORT_CANCELLED, generation_number(fleet, fleet->target));
        rollout_aim(fleet, fleet->stable);
        fleet->is_reverting = true;
}

/* Go on with a way back that was halted. */
static void rollout_resume(struct fleet *fleet, struct fleet_actions *actions) {
        rollout_aim(fleet, fleet->target);
        fleet->is_reverting = true;
        report_generation(actions, FLEET_REPORT_RESUMED, generation_number(fleet, fleet->target));
}

/* Begin no rollout to the generation that was loaded: say why, about generation `reported`, and drop it. */
static void rollout_decline(struct fleet *fleet, struct fleet_actions *actions,
        const struct fleet_event *event, enum fleet_report report, uint64_t reported) {
        fleet->generation_next = event->generation + 1;
        struct fleet_action *action = action_add(actions, FLEET_DO_REPORT);
        action->report = report;
        action->generation = reported;
        action->is_quiet = report == FLEET_REPORT_UNCHANGED && !fleet->is_load_loud;
        action_add(actions, FLEET_DO_DROP)->generation = event->generation;
}

void rollout_adopt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        const bool is_same = digest_equals(fleet, fleet->target, event->digest);
        if (fleet->is_load_forced || fleet->target < 0) {
                rollout_begin(fleet, actions, event);
        } else if (is_same && fleet->is_halted && fleet->target != fleet->stable) {
                rollout_decline(fleet, actions, event, FLEET_REPORT_REFUSED, event->generation);
        } else if (is_same) {
                const bool was_halted = fleet->is_halted;
                rollout_decline(fleet, actions, event, FLEET_REPORT_UNCHANGED,
                        generation_number(fleet, fleet->target));
                if (was_halted)
                        rollout_resume(fleet, actions);
        } else if (digest_is_rejected(fleet, event->digest)) {
                rollout_decline(fleet, actions, event, FLEET_REPORT_REFUSED, event->generation);
        } else if (digest_equals(fleet, fleet->stable, event->digest)) {
                rollout_decline(fleet, actions, event, FLEET_REPORT_CANCELLED,
                        generation_number(fleet, fleet->target));
                rollout_aim(fleet, fleet->stable);
                fleet->is_reverting = true;
        } else {
                rollout_begin(fleet, actions, event);
        }
}

static void report_failure(struct fleet *fleet, struct fleet_actions *actions, enum fleet_report report,
        const struct fleet_failure *failure) {
        struct fleet_action *action = action_add(actions, FLEET_DO_REPORT);
        action->report = report;
        action->generation = generation_number(fleet, fleet->target);
        failure_note(action, failure);
}

void rollout_halt(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure) {
        report_failure(fleet, actions, FLEET_REPORT_HALTED, failure);
        fleet->is_halted = true;
        fleet->is_reverting = false;
        fleet->canary = CANARY_OFF;
        fleet->progress_deadline_ns = NS_FOREVER;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                fleet->slots[i].is_turning = false;
}

void rollout_fail(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_failure *failure) {
        if (fleet->is_blamed)
                target_leave(fleet, fleet->stable);
        if (fleet->settings.is_revert_off) {
                rollout_halt(fleet, actions, failure);
                return;
        }
        report_failure(fleet, actions, FLEET_REPORT_REVERTED, failure);
        rollout_aim(fleet, fleet->stable);
        fleet->is_reverting = true;
}

static bool has_previous(const struct fleet *fleet) {
        return fleet->previous >= 0 && fleet->stable >= 0;
}

bool rollout_has_way_back(const struct fleet *fleet) {
        return fleet_is_rolling(fleet) || fleet->is_halted || fleet->is_reverting || has_previous(fleet);
}

void rollout_back(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet_is_rolling(fleet)) {
                target_leave(fleet, fleet->stable);
                rollout_cancel(fleet, actions);
        } else if (fleet->is_halted) {
                rollout_resume(fleet, actions);
        } else if (fleet->is_reverting) { /* on the way already: not one further */
                report_generation(actions, FLEET_REPORT_RESUMED, generation_number(fleet, fleet->target));
        } else {
                const int32_t index = fleet->previous;
                target_leave(fleet, index);
                previous_forget(fleet);
                rollout_aim(fleet, index);
                digest_forgive(fleet, fleet->generations[index].digest);
                report_generation(actions, FLEET_REPORT_ROLLOUT, generation_number(fleet, index));
        }
}

/* True when every slot that has not ended has an available instance of the target, and no other one but
 * killed ones. */
static bool target_is_everywhere(struct fleet *fleet) {
        bool is_somewhere = false;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                struct fleet_slot *slot = &fleet->slots[i];
                const struct fleet_instance *here = slot_target(fleet, slot);
                if (here ? !instance_is_available(here) : !slot->has_ended)
                        return false;
                for (size_t place = 0; place < 2; place++) {
                        const struct fleet_instance *instance = &slot->pair[place];
                        if (instance != here && instance_is_live(instance) &&
                                instance->state != INSTANCE_KILLED)
                                return false;
                }
                is_somewhere |= here != NULL;
        }
        return is_somewhere;
}

static bool target_is_nowhere(struct fleet *fleet) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                if (slot_target(fleet, &fleet->slots[i]))
                        return false;
        return true;
}

static void rollout_commit(struct fleet *fleet, struct fleet_actions *actions) {
        const int32_t old = fleet->stable;
        fleet->stable = fleet->target;
        rollout_aim(fleet, fleet->target);
        previous_forget(fleet);
        if (old >= 0 && fleet->settings.previous_keep_ns > 0) {
                fleet->previous = old;
                fleet->previous_until_ns = time_after(fleet->now_ns, fleet->settings.previous_keep_ns);
        }
        if (generation_number(fleet, fleet->target) >= fleet->left)
                fleet->left = 0; /* what runs is as new as what was given up */
        report_generation(actions, fleet->is_up ? FLEET_REPORT_COMMITTED : FLEET_REPORT_STARTED,
                generation_number(fleet, fleet->target));
        fleet->is_up = true;
}

void canary_begin(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        const struct fleet_instance *instance) {
        if (fleet->canary != CANARY_AWAITED || fleet->is_stopping)
                return;
        fleet->canary = CANARY_RUNS;
        fleet->canary_until_ns = time_after(fleet->now_ns, fleet->settings.canary_ns);
        report_instance(fleet, actions, FLEET_REPORT_CANARY, slot, instance)->delay_ns =
                fleet->settings.canary_ns;
}

void canary_expire(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet->canary != CANARY_RUNS || fleet->canary_until_ns > fleet->now_ns || fleet->is_stopping)
                return;
        fleet->canary = CANARY_OFF;
        report_generation(actions, FLEET_REPORT_CANARY_PASSED, generation_number(fleet, fleet->target));
}

/* When the emergency's old instances are gone, what they and those before them have left behind goes too. One
 * that does not die of KILL is not waited for longer than anybody else waits for it. */
static void sweep_begin(struct fleet *fleet, struct fleet_actions *actions) {
        struct fleet_cursor cursor = {0};
        const struct fleet_instance *instance;
        if (!fleet->sweep_due)
                return;
        while ((instance = fleet_instance_next(fleet, &cursor)))
                if (instance->generation < fleet->sweep_due && !target_is_everywhere(fleet))
                        return;
        struct fleet_action *action = action_add(actions, FLEET_DO_SWEEP);
        action->generation = fleet->sweeping = fleet->sweep_due;
        action->delay_ns = fleet->settings.emergency_timeout_ns;
        fleet->sweep_due = 0;
}

bool rollout_settle(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet->target < 0)
                return false;
        sweep_begin(fleet, actions);
        if (fleet->is_halted && fleet_is_rolling(fleet) && target_is_nowhere(fleet)) {
                rollout_cancel(fleet, actions); /* no instance of the halted generation is left */
                return true;
        }
        if (fleet->canary == CANARY_RUNS)
                return false; /* the canary's time runs on even when no old instance is left */
        const bool is_under_way = fleet->target != fleet->stable || fleet->is_reverting || fleet->is_halted;
        if (!is_under_way || fleet->sweep_due || fleet->sweeping || !target_is_everywhere(fleet))
                return false;
        if (fleet->target != fleet->stable) {
                rollout_commit(fleet, actions);
                return true;
        }
        rollout_aim(fleet, fleet->target);
        fleet->is_up = true;
        target_accept(fleet);
        report_generation(actions, FLEET_REPORT_RESTORED, generation_number(fleet, fleet->target));
        return true;
}
