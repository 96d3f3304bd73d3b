/* Which generation gets how many of the new connections, in a fleet where every generation has its own
 * listening sockets. Called by fleet.c at the end of a step.
 *
 * A slot adds one to the weight of one generation: the target once it is available there, else the one that
 * still serves. STEER is the first action of a step, so that an old instance is never told to stop while it
 * gets new connections. */

#include <string.h>

#include "supervisor/core/state.h"

#define PERCENT_ALL 100

bool steer_is_last(const struct fleet *fleet, const struct fleet_instance *instance) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        const struct fleet_instance *other = &fleet->slots[i].pair[place];
                        if (other != instance && instance_is_ready(other) &&
                                other->generation == instance->generation)
                                return false;
                }
        return true;
}

/* The instance whose generation gets this slot's part of new connections; NULL when none is ready. */
static const struct fleet_instance *slot_serving(struct fleet *fleet, struct fleet_slot *slot) {
        const struct fleet_instance *target = slot_target(fleet, slot);
        const struct fleet_instance *other = slot_other(fleet, slot);
        if (fleet->canary == CANARY_RUNS && other && instance_is_ready(other))
                return other; /* the canary has its own share */
        /* On the way back the target has proved itself before: ready is enough. */
        if (target && (instance_is_available(target) || (fleet->is_reverting && instance_is_ready(target))))
                return target;
        if (other && instance_is_ready(other))
                return other;
        return target && instance_is_ready(target) ? target : NULL;
}

static size_t shares_count(struct fleet *fleet, struct fleet_share shares[FLEET_GENERATIONS_MAX]) {
        size_t count = 0;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                const struct fleet_instance *speaker = slot_serving(fleet, &fleet->slots[i]);
                size_t found = 0;
                if (!speaker)
                        continue;
                while (found < count && shares[found].generation != speaker->generation)
                        found++;
                if (found == FLEET_GENERATIONS_MAX)
                        continue;
                if (found == count)
                        shares[count++] = (struct fleet_share){.generation = speaker->generation};
                shares[found].weight++;
        }
        /* No instance serves: new connections wait in the accept queue of the target. */
        if (count == 0)
                shares[count++] = (struct fleet_share){
                        .generation = generation_number(fleet, fleet->target), .weight = 1};
        return count;
}

/* Give the target canary_percent of new connections, and divide the rest as without the target. Where no
 * other generation serves, the target gets all. Returns the new count. */
static size_t shares_scale(
        const struct fleet *fleet, struct fleet_share shares[FLEET_GENERATIONS_MAX], size_t count) {
        const uint64_t target = generation_number(fleet, fleet->target);
        uint32_t others = 0;
        size_t at = count;
        for (size_t i = 0; i < count; i++) {
                if (shares[i].generation == target) {
                        at = i;
                        continue;
                }
                others += shares[i].weight;
                shares[i].weight *= PERCENT_ALL - fleet->settings.canary_percent;
        }
        if (others == 0 || at == FLEET_GENERATIONS_MAX)
                return count;
        shares[at] =
                (struct fleet_share){.generation = target, .weight = others * fleet->settings.canary_percent};
        return at == count ? count + 1 : count;
}

/* By member: the struct has padding, which nothing promises to be zero. */
static bool shares_equal(const struct fleet_share *a, const struct fleet_share *b, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (a[i].generation != b[i].generation || a[i].weight != b[i].weight)
                        return false;
        return true;
}

void fleet_steer(struct fleet *fleet, struct fleet_actions *actions) {
        if (!fleet->settings.is_steered || fleet->target < 0 || fleet->is_stopping)
                return;
        struct fleet_share shares[FLEET_GENERATIONS_MAX];
        memset(shares, 0, sizeof shares);
        size_t count = shares_count(fleet, shares);
        if (fleet->canary == CANARY_RUNS)
                count = shares_scale(fleet, shares, count);
        if (count == fleet->share_count && shares_equal(shares, fleet->shares, count))
                return;
        memcpy(fleet->shares, shares, sizeof shares);
        fleet->share_count = count;
        memcpy(actions->shares, shares, sizeof shares);
        actions->share_count = count;
        action_add(actions, FLEET_DO_STEER);
        memmove(&actions->list[1], &actions->list[0], (actions->count - 1) * sizeof actions->list[0]);
        actions->list[0] = (struct fleet_action){.kind = FLEET_DO_STEER};
}
