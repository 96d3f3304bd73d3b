/* Which instance gets how many of the new connections, in a fleet where every one has its own listening
 * sockets.
 *
 * A slot speaks through one instance: the target's once it is available there, else the one that still
 * serves. Each speaker counts the same; one that is to go, or has crashed, speaks no more, and the others
 * have its part at once. The switch is said before anything else in a step, so that an old instance is never
 * told to stop while it gets new connections. */

#include <string.h>

#include "supervisor/core/state.h"

#define PERCENT_ALL 100

struct shares {
        size_t count;
        struct fleet_share list[FLEET_SHARES_MAX];
};

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

static void share_add(struct shares *shares, uint64_t generation, uint32_t slot, uint32_t weight) {
        if (shares->count < FLEET_SHARES_MAX)
                shares->list[shares->count++] =
                        (struct fleet_share){.generation = generation, .slot = slot, .weight = weight};
}

/* Nobody serves: who comes waits where the target starts, spread as it will be; where nothing starts yet, in
 * all slots that will run something, but in a rollout in one alone, since not all get the target at once. */
static void shares_await(struct fleet *fleet, struct shares *shares) {
        const uint64_t target = generation_number(fleet, fleet->target);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                if (slot_target(fleet, &fleet->slots[i]))
                        share_add(shares, target, i, 1);
        if (shares->count > 0)
                return;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                if (!fleet->slots[i].has_ended && (shares->count == 0 || !fleet_is_rolling(fleet)))
                        share_add(shares, target, i, 1);
        if (shares->count == 0)
                share_add(shares, target, 0, 1);
}

static void shares_count(struct fleet *fleet, struct shares *shares) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                const struct fleet_instance *speaker = slot_serving(fleet, &fleet->slots[i]);
                if (speaker)
                        share_add(shares, speaker->generation, i, 1);
        }
        if (shares->count == 0)
                shares_await(fleet, shares);
}

/* Where the canary is: the only instance of the target. False: it is not there. */
static bool canary_find(struct fleet *fleet, uint32_t *out_slot) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                if (slot_target(fleet, &fleet->slots[i])) {
                        *out_slot = i;
                        return true;
                }
        return false;
}

/* Exactly so many of a hundred new connections for the canary, the rest as it would be without it. Nobody
 * else there: all. */
static void shares_scale(struct fleet *fleet, struct shares *shares) {
        const uint64_t target = generation_number(fleet, fleet->target);
        const uint32_t percent = fleet->settings.canary_percent;
        struct shares scaled = {.count = 0};
        uint32_t slot;
        for (size_t i = 0; i < shares->count; i++) {
                const struct fleet_share *share = &shares->list[i];
                if (share->generation != target)
                        share_add(&scaled, share->generation, share->slot, PERCENT_ALL - percent);
        }
        if (scaled.count == 0 || !canary_find(fleet, &slot))
                return;
        share_add(&scaled, target, slot, (uint32_t)scaled.count * percent);
        *shares = scaled;
}

/* By member: the struct has padding, which nothing promises to be zero. */
static bool shares_equal(const struct fleet_share *a, const struct fleet_share *b, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (a[i].generation != b[i].generation || a[i].slot != b[i].slot ||
                        a[i].weight != b[i].weight)
                        return false;
        return true;
}

void fleet_steer(struct fleet *fleet, struct fleet_actions *actions) {
        if (!fleet->settings.is_steered || fleet->target < 0 || fleet->is_stopping)
                return;
        struct shares shares;
        memset(&shares, 0, sizeof shares);
        shares_count(fleet, &shares);
        if (fleet->canary == CANARY_RUNS)
                shares_scale(fleet, &shares);
        if (shares.count == fleet->share_count && shares_equal(shares.list, fleet->shares, shares.count))
                return;
        memcpy(fleet->shares, shares.list, sizeof shares.list);
        fleet->share_count = shares.count;
        memcpy(actions->shares, shares.list, sizeof shares.list);
        actions->share_count = shares.count;
        action_add(actions, FLEET_DO_STEER);
        memmove(&actions->list[1], &actions->list[0], (actions->count - 1) * sizeof actions->list[0]);
        actions->list[0] = (struct fleet_action){.kind = FLEET_DO_STEER};
}
