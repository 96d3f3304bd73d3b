/* The fleet seen from outside: its next deadline, its state as observers see it, names for logs and status.
 * Called by the supervisor's loop and by observers; changes nothing. */

#include <string.h>

#include "supervisor/core/state.h"

/* Lower *earliest_ns to time_ns, if that lies ahead. What is due already waits for a fact, not for the
 * clock. */
static void earliest_note(const struct fleet *fleet, int64_t *earliest_ns, int64_t time_ns) {
        if (time_ns > fleet->now_ns && time_ns < *earliest_ns)
                *earliest_ns = time_ns;
}

/* The next time at which the slot can move for a reason that is not a deadline of its instances. */
static int64_t slot_deadline(const struct fleet *fleet, const struct fleet_slot *slot) {
        int64_t earliest_ns = NS_FOREVER;
        bool has_target = false;
        bool has_stable = false;
        bool has_other = false;
        int64_t hold_until_ns = NS_FOREVER;
        for (size_t place = 0; place < 2; place++) {
                const struct fleet_instance *instance = &slot->pair[place];
                if (!instance_is_staying(instance))
                        continue;
                const bool is_target = generation_is(fleet, fleet->target, instance->generation);
                has_target |= is_target;
                has_stable |= generation_is(fleet, fleet->stable, instance->generation);
                has_other |= !is_target;
                if (is_target && instance_is_available(instance))
                        hold_until_ns = time_after(instance->available_ns, fleet->settings.hold_ns);
        }
        if (has_other)
                earliest_note(fleet, &earliest_ns, hold_until_ns);
        if (slot->has_ended || (fleet->is_halted && has_other))
                return earliest_ns;
        const bool is_moving = fleet_is_rolling(fleet);
        for (size_t i = 0; i < 2; i++) {
                const struct fleet_backoff *backoff = &slot->backoff[i];
                const bool is_target = generation_is(fleet, fleet->target, backoff->generation);
                const bool is_stable = generation_is(fleet, fleet->stable, backoff->generation);
                if (backoff->is_used && ((is_target && !has_target && !(is_moving && fleet->is_halted)) ||
                                                (is_stable && !has_stable && is_moving)))
                        earliest_note(fleet, &earliest_ns, backoff->earliest_ns);
        }
        return earliest_ns;
}

bool fleet_foresee(const struct fleet *fleet, uint32_t *out_slot, uint64_t *out_instance) {
        const bool is_first = fleet->target < 0;
        const bool overlaps = fleet->settings.surge_max > 0 && !fleet_is_rolling(fleet) && !fleet->is_halted;

        if (!fleet->is_loading || fleet->is_stopping || fleet->is_over || fleet->settings.is_signalled)
                return false;
        *out_slot = 0;
        *out_instance = fleet->instance_last + 1;
        return is_first || overlaps;
}

int64_t fleet_deadline(const struct fleet *fleet) {
        int64_t earliest_ns = NS_FOREVER;
        if (fleet->is_over)
                return NS_FOREVER;
        if (fleet->is_loading)
                earliest_note(fleet, &earliest_ns, fleet->load_deadline_ns);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                for (size_t place = 0; place < 2; place++)
                        if (instance_is_live(&fleet->slots[i].pair[place]))
                                earliest_note(fleet, &earliest_ns, fleet->slots[i].pair[place].deadline_ns);
                if (!fleet->is_stopping)
                        earliest_note(fleet, &earliest_ns, slot_deadline(fleet, &fleet->slots[i]));
        }
        if (fleet->is_stopping)
                return earliest_ns;
        earliest_note(fleet, &earliest_ns, fleet->load_retry_ns);
        earliest_note(fleet, &earliest_ns, fleet->previous_until_ns);
        if (fleet_is_rolling(fleet))
                earliest_note(fleet, &earliest_ns, fleet->progress_deadline_ns);
        if (fleet->canary == CANARY_RUNS)
                earliest_note(fleet, &earliest_ns, fleet->canary_until_ns);
        return earliest_ns;
}

static enum fleet_phase fleet_phase(const struct fleet *fleet) {
        if (fleet->is_over)
                return FLEET_PHASE_OVER;
        if (fleet->is_stopping)
                return FLEET_PHASE_STOPPING;
        if (fleet->is_halted)
                return FLEET_PHASE_HALTED;
        if (fleet->is_reverting)
                return FLEET_PHASE_REVERTING;
        if (fleet->target == fleet->stable && fleet->target >= 0)
                return FLEET_PHASE_IDLE;
        return fleet->is_up ? FLEET_PHASE_ROLLING : FLEET_PHASE_STARTING;
}

void fleet_look(const struct fleet *fleet, struct fleet_view *out) {
        *out = (struct fleet_view){
                .phase = fleet_phase(fleet),
                .is_loading = fleet->is_loading,
                .is_emergency = fleet->is_emergency,
                .has_target = fleet->target >= 0,
                .has_stable = fleet->stable >= 0,
                .has_previous = fleet->previous >= 0,
                .target = fleet->target >= 0 ? generation_number(fleet, fleet->target) : 0,
                .stable = fleet->stable >= 0 ? generation_number(fleet, fleet->stable) : 0,
                .previous = fleet->previous >= 0 ? generation_number(fleet, fleet->previous) : 0,
                .left = fleet->left,
                .left_ns = fleet->left_ns,
                .live = fleet_count_live(fleet),
                .available = fleet_count_available(fleet),
                .failures = fleet->failures,
        };
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++)
                        out->ready += instance_is_ready(&fleet->slots[i].pair[place]);
}

const struct fleet_instance *fleet_instance_next(const struct fleet *fleet, struct fleet_cursor *cursor) {
        while (cursor->next < 2 * fleet->settings.replicas) {
                cursor->slot = cursor->next / 2;
                cursor->place = cursor->next++ % 2;
                if (instance_is_live(&fleet->slots[cursor->slot].pair[cursor->place]))
                        return &fleet->slots[cursor->slot].pair[cursor->place];
        }
        return NULL;
}

uint32_t fleet_load_next(const struct fleet *fleet) {
        return fleet->load_last + 1;
}

const struct fleet_instance *fleet_instance_at(const struct fleet *fleet, uint32_t slot, uint32_t place) {
        if (slot >= fleet->settings.replicas || place >= 2 ||
                !instance_is_live(&fleet->slots[slot].pair[place]))
                return NULL;
        return &fleet->slots[slot].pair[place];
}

const char *instance_state_name(enum instance_state state) {
        static const char *const names[] = {"none", "spawning", "booting", "ready", "available", "emptying",
                "draining", "stopping", "killed", "clearing"};
        return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *fleet_phase_name(enum fleet_phase phase) {
        static const char *const names[] = {
                "starting", "idle", "rolling", "reverting", "halted", "stopping", "over"};
        return (size_t)phase < sizeof names / sizeof names[0] ? names[phase] : "unknown";
}

const char *fleet_reason_name(enum fleet_reason reason) {
        static const char *const names[] = {"none", "exited", "could not be started", "not ready in time",
                "unhealthy", "went into the background", "rollout too slow"};
        return (size_t)reason < sizeof names / sizeof names[0] ? names[reason] : "unknown";
}
