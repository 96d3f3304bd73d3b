/* The fleet's state: questions about it, and the few changes that every decision consists of.
 *
 * Called only by the other files of this folder, in the supervisor; none of them makes a system call. Indexes
 * into the table of generations stay in this folder; outside a generation has a number. */

#include <assert.h>
#include <string.h>

#include "supervisor/core/state.h"

/* A step says at most: EMPTY, DRAIN, RECALL, STOP, KILL or SPAWN once per place, DROP per generation, and one
 * each of CANCEL_LOAD, LOAD, SWEEP, STEER and EXIT. Reports may not use that room. */
#define DECISIONS_MAX (FLEET_INSTANCES_MAX + FLEET_GENERATIONS_MAX + 5)
static_assert(FLEET_ACTIONS_MAX >= 2 * DECISIONS_MAX, "room for every decision and a report with each");

struct fleet_action *action_add(struct fleet_actions *actions, enum fleet_action_kind kind) {
        const size_t reserved = kind == FLEET_DO_REPORT ? DECISIONS_MAX : 0;
        struct fleet_action *action = &actions->unheard;
        if (actions->count < FLEET_ACTIONS_MAX - reserved)
                action = &actions->list[actions->count++];
        else
                actions->lost++;
        memset(action, 0, sizeof *action);
        action->kind = kind;
        return action;
}

void report_generation(struct fleet_actions *actions, enum fleet_report report, uint64_t generation) {
        struct fleet_action *action = action_add(actions, FLEET_DO_REPORT);
        action->report = report;
        action->generation = generation;
}

struct fleet_action *report_instance(struct fleet *fleet, struct fleet_actions *actions,
        enum fleet_report report, const struct fleet_slot *slot, const struct fleet_instance *instance) {
        struct fleet_action *action = action_add(actions, FLEET_DO_REPORT);
        action->report = report;
        action->slot = slot_number(fleet, slot);
        action->instance = instance->number;
        action->generation = instance->generation;
        return action;
}

uint32_t slot_number(const struct fleet *fleet, const struct fleet_slot *slot) {
        return (uint32_t)(slot - fleet->slots);
}

uint64_t generation_number(const struct fleet *fleet, int32_t index) {
        return fleet->generations[index].number;
}

bool generation_is(const struct fleet *fleet, int32_t index, uint64_t number) {
        return index >= 0 && fleet->generations[index].number == number;
}

bool generation_has_room(const struct fleet *fleet) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (!fleet->generations[i].is_used)
                        return true;
        return false;
}

int32_t generation_add(struct fleet *fleet, uint64_t number, const uint8_t digest[FLEET_DIGEST_BYTES]) {
        int32_t index = 0;
        while (index < FLEET_GENERATIONS_MAX - 1 && fleet->generations[index].is_used)
                index++;
        struct fleet_generation *generation = &fleet->generations[index];
        generation->is_used = true;
        generation->number = number;
        memcpy(generation->digest, digest, FLEET_DIGEST_BYTES);
        fleet->generation_next = number + 1;
        return index;
}

static bool generation_has_instance(const struct fleet *fleet, uint64_t number) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        const struct fleet_instance *instance = &fleet->slots[i].pair[place];
                        if (instance_is_live(instance) && instance->generation == number)
                                return true;
                }
        return false;
}

void generations_collect(struct fleet *fleet, struct fleet_actions *actions) {
        for (int32_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct fleet_generation *generation = &fleet->generations[i];
                if (!generation->is_used || i == fleet->stable || i == fleet->target ||
                        i == fleet->previous || generation_has_instance(fleet, generation->number))
                        continue;
                action_add(actions, FLEET_DO_DROP)->generation = generation->number;
                memset(generation, 0, sizeof *generation);
        }
}

bool fleet_is_rolling(const struct fleet *fleet) {
        return fleet->target >= 0 && fleet->stable >= 0 && fleet->target != fleet->stable;
}

struct fleet_instance *slot_target(const struct fleet *fleet, struct fleet_slot *slot) {
        for (size_t place = 0; place < 2; place++) {
                struct fleet_instance *instance = &slot->pair[place];
                if (instance_is_staying(instance) &&
                        generation_is(fleet, fleet->target, instance->generation))
                        return instance;
        }
        return NULL;
}

/* Of two instances that are not of the target, the one to keep: available, then ready, then stable. */
struct fleet_instance *slot_other(const struct fleet *fleet, struct fleet_slot *slot) {
        struct fleet_instance *best = NULL;
        int best_rank = -1;
        for (size_t place = 0; place < 2; place++) {
                struct fleet_instance *instance = &slot->pair[place];
                if (!instance_is_staying(instance) ||
                        generation_is(fleet, fleet->target, instance->generation))
                        continue;
                const int rank = (instance_is_available(instance) ? 4 : 0) +
                                 (instance_is_ready(instance) ? 2 : 0) +
                                 (generation_is(fleet, fleet->stable, instance->generation) ? 1 : 0);
                if (rank > best_rank) {
                        best = instance;
                        best_rank = rank;
                }
        }
        return best;
}

bool slot_is_empty(const struct fleet_slot *slot) {
        return !instance_is_live(&slot->pair[0]) && !instance_is_live(&slot->pair[1]);
}

bool slot_is_clearing(const struct fleet_slot *slot) {
        return slot->pair[0].state == INSTANCE_CLEARING || slot->pair[1].state == INSTANCE_CLEARING;
}

uint32_t fleet_count_live(const struct fleet *fleet) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++)
                        count += instance_is_live(&fleet->slots[i].pair[place]);
        return count;
}

uint32_t fleet_count_clearing(const struct fleet *fleet) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++)
                        count += fleet->slots[i].pair[place].state == INSTANCE_CLEARING;
        return count;
}

uint32_t fleet_count_available(const struct fleet *fleet) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++)
                        count += instance_is_available(&fleet->slots[i].pair[place]);
        return count;
}

/* Only who serves has anything to finish, and an emergency or an impatient STOP leaves no time for it. */
static bool may_finish(const struct fleet *fleet, const struct fleet_instance *instance) {
        return (instance_is_ready(instance) || instance_is_finishing(instance)) && !instance->has_failed &&
               !instance->is_unhealthy && !fleet->is_emergency && !fleet->is_undrained;
}

/* What is left of the time that everybody gets: one that drains has had some of it. */
static int64_t drain_time(const struct fleet *fleet, const struct fleet_instance *instance) {
        const int64_t spent_ns =
                instance->state == INSTANCE_DRAINING ? fleet->now_ns - instance->draining_ns : 0;
        if (!may_finish(fleet, instance) || spent_ns >= fleet->settings.drain_ns)
                return 0;
        return fleet->settings.drain_ns - spent_ns;
}

void instance_stop(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance) {
        int64_t delay_ns = fleet->settings.stop_timeout_ns;
        if (fleet->is_emergency && fleet->settings.emergency_timeout_ns < delay_ns)
                delay_ns = fleet->settings.emergency_timeout_ns;
        const int64_t drain_ns = drain_time(fleet, instance);
        instance->state = INSTANCE_STOPPING;
        instance->drain_until_ns = time_after(fleet->now_ns, drain_ns);
        instance->deadline_ns = ladder_after(fleet, time_after(drain_ns, delay_ns));
        struct fleet_action *action = action_add(actions, FLEET_DO_STOP);
        action->instance = instance->number;
        action->delay_ns = drain_ns;
        action->is_delivered = fleet->is_delivering;
}

void instance_undrain(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance) {
        if (instance->drain_until_ns > fleet->now_ns)
                instance_stop_again(fleet, actions, instance);
}

void instance_stop_again(
        struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance) {
        /* An instance whose time is over gets KILL in this very step. */
        if (instance->state != INSTANCE_STOPPING || instance->deadline_ns <= fleet->now_ns)
                return;
        if (instance->drain_until_ns > fleet->now_ns)
                instance->drain_until_ns = fleet->now_ns;
        struct fleet_action *action = action_add(actions, FLEET_DO_STOP);
        action->instance = instance->number;
        action->is_delivered = fleet->is_delivering;
}

void instance_clear(struct fleet_instance *instance) {
        *instance = (struct fleet_instance){.state = INSTANCE_CLEARING,
                .was_told = instance->state >= INSTANCE_STOPPING,
                .number = instance->number,
                .generation = instance->generation,
                .started_ns = instance->started_ns,
                .deadline_ns = NS_FOREVER};
}

void instance_kill(struct fleet *fleet, struct fleet_actions *actions, struct fleet_instance *instance) {
        /* Whoever ends leftovers says by itself when they do not die. */
        const bool is_clearing = instance->state == INSTANCE_CLEARING;
        instance->state = is_clearing ? INSTANCE_CLEARING : INSTANCE_KILLED;
        instance->deadline_ns = is_clearing ? NS_FOREVER : ladder_after(fleet, KILL_REPEAT_NS);
        action_add(actions, FLEET_DO_KILL)->instance = instance->number;
}

/* Add an action with an instance, its slot and its generation. */
static void instance_action_add(struct fleet *fleet, struct fleet_actions *actions,
        enum fleet_action_kind kind, const struct fleet_slot *slot, const struct fleet_instance *instance) {
        struct fleet_action *action = action_add(actions, kind);
        action->slot = slot_number(fleet, slot);
        action->instance = instance->number;
        action->generation = instance->generation;
}

void instance_empty(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance) {
        instance->state = INSTANCE_EMPTYING;
        instance->deadline_ns = ladder_after(fleet, fleet->settings.queue_timeout_ns);
        instance_action_add(fleet, actions, FLEET_DO_EMPTY, slot, instance);
}

void instance_drain(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance) {
        if (fleet->settings.drain_timeout_ns <= 0 || !may_finish(fleet, instance)) {
                instance_stop(fleet, actions, instance);
                return;
        }
        instance->state = INSTANCE_DRAINING;
        instance->draining_ns = fleet->now_ns;
        instance->deadline_ns = ladder_after(fleet, fleet->settings.drain_timeout_ns);
        instance_action_add(fleet, actions, FLEET_DO_DRAIN, slot, instance);
}

void instance_recall(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_slot *slot,
        struct fleet_instance *instance) {
        const bool was_available = instance->available_ns > 0;
        instance_action_add(fleet, actions, FLEET_DO_RECALL, slot, instance);
        instance->state = was_available ? INSTANCE_AVAILABLE : INSTANCE_READY;
        instance->deadline_ns =
                was_available ? NS_FOREVER : ladder_after(fleet, fleet->settings.healthy_min_ns);
}

void load_cancel(struct fleet *fleet, struct fleet_actions *actions) {
        fleet->is_wanted = false;
        fleet->is_wanted_forced = false;
        fleet->is_wanted_emergency = false;
        fleet->is_wanted_loud = false;
        fleet->load_retry_ns = NS_FOREVER;
        if (!fleet->is_loading)
                return;
        fleet->is_loading = false;
        action_add(actions, FLEET_DO_CANCEL_LOAD)->load = fleet->load_last;
}
