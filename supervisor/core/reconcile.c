/* One safe move per slot toward the target. The only place that spawns, and that stops an instance which did
 * nothing wrong.
 *
 * The limits, everywhere: instances of all generations, those on their way out included, are never more than
 * replicas plus surge_max, and no slot's own place is taken by another one's surge; a stop of ours never
 * leaves fewer available replicas than allowed. A slot is `turning` from the moment it is chosen for the next
 * generation until that is available there; so many turn at a time as both limits together allow. */

#include <string.h>

#include "supervisor/core/state.h"

/* Slots that are still meant to run something. */
static uint32_t slots_open(const struct fleet *fleet) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                count += !fleet->slots[i].has_ended;
        return count;
}

/* An instance more, beside what slots that are empty now will need. The place of a slot that has ended is
 * nobody's. */
static bool has_surge_room(const struct fleet *fleet) {
        uint32_t used = fleet_count_live(fleet);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                used += slot_is_empty(&fleet->slots[i]);
        return used < fleet->settings.replicas + fleet->settings.surge_max;
}

/* Are so many available replicas enough, when `spare` of all slots may be without one? */
static bool is_enough(const struct fleet *fleet, uint32_t available, uint32_t spare) {
        const uint32_t open = slots_open(fleet);
        return available >= (open > spare ? open - spare : 0);
}

/* May we stop this one? One that is not ready is missed by nobody. */
static bool may_stop(const struct fleet *fleet, const struct fleet_instance *instance, uint32_t spare) {
        return !instance_is_ready(instance) ||
               is_enough(fleet, fleet_count_available(fleet) - instance_is_available(instance), spare);
}

/* One that takes connections first gets no new one, and lets its queue run empty. */
static void retire(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance) {
        const bool has_queue = fleet->settings.is_steered && instance_is_ready(instance);
        if (has_queue && fleet->settings.queue_timeout_ns > 0)
                instance_empty(fleet, actions, slot, instance);
        else if (has_queue)
                instance_drain(fleet, actions, slot, instance);
        else
                instance_stop(fleet, actions, instance);
}

/* Somebody here does as much as it did: is available, or ready where it was no more than that itself. */
static bool has_successor(const struct fleet_slot *slot, const struct fleet_instance *instance) {
        for (size_t place = 0; place < 2; place++) {
                const struct fleet_instance *other = &slot->pair[place];
                if (instance_is_available(other) || (instance->available_ns == 0 && instance_is_ready(other)))
                        return true;
        }
        return false;
}

/* Its successor, or somebody else, has failed since: one that empties here is needed again. */
static bool is_needed_again(
        const struct fleet *fleet, const struct fleet_slot *slot, const struct fleet_instance *instance) {
        const uint32_t spare = fleet->settings.unavailable_max;
        return !is_enough(fleet, fleet_count_available(fleet), spare) ||
               (spare == 0 && !has_successor(slot, instance) && !slot->has_ended);
}

static bool slot_recall(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot) {
        bool has_moved = false;
        for (size_t place = 0; place < 2; place++) {
                struct fleet_instance *instance = &slot->pair[place];
                if (!instance_is_finishing(instance) || fleet->is_emergency ||
                        !is_needed_again(fleet, slot, instance))
                        continue;
                instance_recall(fleet, actions, slot, instance);
                /* The turn goes to whom it can do good: a slot that does not serve may wait for it. */
                slot->is_turning &= slot_target(fleet, slot) != NULL;
                has_moved = true;
        }
        return has_moved;
}

static struct fleet_instance *slot_place(struct fleet_slot *slot) {
        for (size_t place = 0; place < 2; place++)
                if (!instance_is_live(&slot->pair[place]))
                        return &slot->pair[place];
        return NULL;
}

/* Have generation `index` here: one that empties comes back, else one is spawned if its back-off is over and
 * there is a place for it. */
static bool slot_bring(
        struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot, int32_t index) {
        struct fleet_instance *instance = slot_place(slot);
        const uint64_t generation = generation_number(fleet, index);
        for (size_t place = 0; place < 2; place++)
                if (instance_is_finishing(&slot->pair[place]) && slot->pair[place].generation == generation) {
                        instance_recall(fleet, actions, slot, &slot->pair[place]);
                        return true;
                }
        if (!instance || slot_is_clearing(slot) || backoff_earliest(slot, generation) > fleet->now_ns ||
                (!slot_is_empty(slot) && !has_surge_room(fleet)))
                return false;
        *instance = (struct fleet_instance){
                .state = INSTANCE_SPAWNING,
                .number = ++fleet->instance_last,
                .generation = generation,
                .started_ns = fleet->now_ns,
                .deadline_ns = fleet->settings.ready_timeout_ns > 0
                                       ? time_after(fleet->now_ns, fleet->settings.ready_timeout_ns)
                                       : NS_FOREVER,
        };
        struct fleet_action *action = action_add(actions, FLEET_DO_SPAWN);
        action->slot = slot_number(fleet, slot);
        action->instance = instance->number;
        action->generation = generation;
        return true;
}

/* Chosen for the target, which has not arrived here yet. */
static bool slot_is_turning(struct fleet *fleet, struct fleet_slot *slot) {
        const struct fleet_instance *target = slot_target(fleet, slot);
        return slot->is_turning && (target ? !instance_is_available(target) : !slot->has_ended);
}

/* So many slots change over at a time. A canary is alone, and while it has its share nothing follows it. */
static uint32_t turns_max(const struct fleet *fleet) {
        switch (fleet->canary) {
        case CANARY_OFF:
                break;
        case CANARY_AWAITED:
                return 1;
        case CANARY_RUNS:
                return 0;
        }
        return fleet->settings.surge_max + fleet->settings.unavailable_max;
}

/* May this slot begin to change over, with those that do already? */
static bool may_turn(struct fleet *fleet, const struct fleet_slot *slot) {
        uint32_t turning = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                turning += slot_is_turning(fleet, &fleet->slots[i]);
        return slot->is_turning || turning < turns_max(fleet);
}

static bool target_is_available_somewhere(struct fleet *fleet) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                const struct fleet_instance *instance = slot_target(fleet, &fleet->slots[i]);
                if (instance && instance_is_available(instance))
                        return true;
        }
        return false;
}

/* Stop what costs nothing: superseded instances that do not serve, one of two old ones, everything old in an
 * emergency. */
static bool slot_clear(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot) {
        const struct fleet_instance *keep = slot_other(fleet, slot);
        bool has_moved = false;
        for (size_t place = 0; place < 2; place++) {
                struct fleet_instance *instance = &slot->pair[place];
                const bool is_staying = instance_is_staying(instance);
                if ((!is_staying && !instance_is_finishing(instance)) ||
                        generation_is(fleet, fleet->target, instance->generation))
                        continue;
                const bool is_superseded = !generation_is(fleet, fleet->stable, instance->generation);
                if (fleet->is_emergency || (is_staying && is_superseded && !instance_is_ready(instance)))
                        instance_stop(fleet, actions, instance);
                else if (is_staying && instance != keep &&
                         may_stop(fleet, instance, fleet->settings.unavailable_max))
                        retire(fleet, actions, slot, instance);
                else
                        continue;
                has_moved = true;
        }
        return has_moved;
}

/* Both generations are here. */
static bool slot_relieve(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *target, struct fleet_instance *other) {
        if (!instance_is_available(target)) {
                if (!fleet->is_halted || !fleet_is_rolling(fleet) || instance_is_ready(target))
                        return false;
                instance_stop(fleet, actions, target); /* halted: what did not make it in time goes */
                return true;
        }
        if (fleet->canary == CANARY_RUNS)
                return false;
        if (instance_is_ready(other) && !fleet->is_reverting &&
                time_after(target->available_ns, fleet->settings.hold_ns) > fleet->now_ns)
                return false;
        if (!may_stop(fleet, other, fleet->is_halted ? 0 : fleet->settings.unavailable_max))
                return false;
        retire(fleet, actions, slot, other);
        return true;
}

/* The process lives on and is one of the target from now on; it has to prove itself anew, and if it dies of
 * the news, that is the target's failure. */
static bool slot_signal(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *other) {
        if (!may_stop(fleet, other, fleet->settings.unavailable_max))
                return false;
        other->generation = generation_number(fleet, fleet->target);
        other->state = INSTANCE_READY;
        other->deadline_ns = ladder_after(fleet, fleet->settings.healthy_min_ns);
        struct fleet_action *action = action_add(actions, FLEET_DO_SIGNAL);
        action->slot = slot_number(fleet, slot);
        action->instance = other->number;
        action->generation = other->generation;
        return true;
}

/* Only an old one is here: bring the new one beside it, or stop it to make room. */
static bool slot_replace(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *other) {
        const struct fleet_settings *settings = &fleet->settings;
        if (fleet->is_halted || !may_turn(fleet, slot) ||
                backoff_earliest(slot, generation_number(fleet, fleet->target)) > fleet->now_ns)
                return false;
        if (settings->is_signalled && instance_is_ready(other))
                return slot_signal(fleet, actions, slot, other);
        if (slot_bring(fleet, actions, slot, fleet->target)) {
                slot->is_turning = true;
                return true;
        }
        /* One that does not serve is stopped under every limit. */
        if ((settings->unavailable_max == 0 && instance_is_ready(other)) ||
                !may_stop(fleet, other, settings->unavailable_max))
                return false;
        slot->is_turning = true;
        retire(fleet, actions, slot, other);
        return true;
}

/* Nobody stays here. A slot that is free anyway is where the new generation is tried, unless enough others
 * are at it already and none has succeeded yet: then the old one comes back for as long. */
static bool slot_fill(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot) {
        if (!fleet_is_rolling(fleet))
                return slot_bring(fleet, actions, slot, fleet->target);
        if (fleet->is_halted)
                return slot_bring(fleet, actions, slot, fleet->stable);
        if (!may_turn(fleet, slot) && (fleet->canary == CANARY_RUNS || !target_is_available_somewhere(fleet)))
                return slot_bring(fleet, actions, slot, fleet->stable);
        slot->is_turning = true;
        if (slot_bring(fleet, actions, slot, fleet->target))
                return true;
        /* The next try has to wait: with room for both the old one serves meanwhile. Where it is room that is
         * waited for, the old one was retired to make it, and is not taken back. */
        return fleet->settings.surge_max > 0 &&
               backoff_earliest(slot, generation_number(fleet, fleet->target)) > fleet->now_ns &&
               slot_bring(fleet, actions, slot, fleet->stable);
}

static bool slot_move(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot) {
        if (slot_recall(fleet, actions, slot) || slot_clear(fleet, actions, slot))
                return true;
        struct fleet_instance *target = slot_target(fleet, slot);
        struct fleet_instance *other = slot_other(fleet, slot);
        if (target && other)
                return slot_relieve(fleet, actions, slot, target, other);
        if (slot->has_ended)
                return false;
        if (other)
                return slot_replace(fleet, actions, slot, other);
        if (!target)
                return slot_fill(fleet, actions, slot);
        /* The old one crashed while the new one starts, or is a canary: it comes back, if there is room for
         * both. */
        return fleet_is_rolling(fleet) && !fleet->is_halted &&
               (!instance_is_available(target) || fleet->canary == CANARY_RUNS) &&
               slot_bring(fleet, actions, slot, fleet->stable);
}

bool fleet_reconcile(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet->target < 0)
                return false;
        bool has_moved = false;
        /* First where nothing is lost, and what is neither stable nor the target: three generations serve for
         * as short a time as can be. */
        for (int pass = 0; pass < 2; pass++)
                for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                        struct fleet_slot *slot = &fleet->slots[i];
                        const struct fleet_instance *other = slot_other(fleet, slot);
                        const bool is_first =
                                other && (!instance_is_ready(other) ||
                                                 !generation_is(fleet, fleet->stable, other->generation));
                        if (is_first == (pass == 0))
                                has_moved |= slot_move(fleet, actions, slot);
                }
        return has_moved;
}
