/* The judge of what the fleet orders: each action must be allowed at its moment, by what was told and ordered
 * before. oracle.c calls this for one action after the other, and judges what they come to. */

#include <string.h>

#include "tests/simulation/oracle.h"

static uint32_t count_of(const struct world *world, uint64_t generation) {
        uint32_t count = 0;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                count += world->instances[i].is_live && !world->instances[i].is_stopped &&
                         world->instances[i].generation == generation;
        return count;
}

static bool judge_spawn(struct world *world, const struct fleet_action *action) {
        struct sim_instance *place = NULL;
        uint32_t here = 0;
        REQUIRE(!world->is_stopping, "spawn after STOP");
        REQUIRE(action->slot < world->fleet.settings.replicas, "spawn in slot %u", action->slot);
        REQUIRE(!world->has_ended[action->slot], "spawn in slot %u, which has ended", action->slot);
        REQUIRE(action->generation < SIM_GENERATIONS_MAX && world->generations[action->generation].is_known &&
                        !world->generations[action->generation].is_dropped,
                "spawn names generation %llu, which is dropped", (number)action->generation);
        REQUIRE(action->generation == world->target ||
                        (world->has_stable && action->generation == world->stable &&
                                (world->is_rolling || world->is_halted)),
                "spawn of generation %llu: neither the target nor what serves", (number)action->generation);
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                const struct sim_instance *one = &world->instances[i];
                REQUIRE(!one->is_live || one->number != action->instance, "instance number %llu twice",
                        (number)action->instance);
                here += one->is_live && one->slot == action->slot;
                REQUIRE(!one->is_clearing || one->slot != action->slot,
                        "spawn in slot %u, where leftovers live", action->slot);
                if (!one->is_live && !one->is_clearing && !place)
                        place = &world->instances[i];
        }
        REQUIRE(here < 2 && place, "a third instance in slot %u", action->slot);
        REQUIRE(here == 0 || !world->settings.is_signalled, "an instance beside one that could be signalled");
        REQUIRE(!world->is_canary || action->generation != world->target,
                "%llu follows before the canary has passed", (number)action->instance);
        REQUIRE(!world->is_canary_due || action->generation != world->target ||
                        count_of(world, world->target) == 0,
                "%llu is started beside the canary", (number)action->instance);
        const int64_t gap_ns = world->now_ns - world->spawn_ns[action->slot];
        const int64_t least_ns = world->fleet.settings.restart_delay_ns / 100 * 87;
        REQUIRE(!world->spawn_failed[action->slot] || gap_ns >= least_ns ||
                        world->spawn_generation[action->slot] != action->generation,
                "slot %u is spawned again %lld ns after a spawn that failed", action->slot,
                (long long)gap_ns);
        *place = (struct sim_instance){.is_live = true,
                .slot = action->slot,
                .number = action->instance,
                .generation = action->generation,
                .spawned_ns = world->now_ns,
                .ready_deadline_ns = world->now_ns + world->settings.ready_timeout_ns};
        world->spawn_ns[action->slot] = world->now_ns;
        world->spawn_generation[action->slot] = action->generation;
        world->spawn_failed[action->slot] = false;
        const uint32_t limit = world->fleet.settings.replicas + world->fleet.settings.surge_max;
        REQUIRE(count_live(world) + count_clearing(world) <= limit, "%u instances live, %u are the limit",
                count_live(world), limit);
        return true;
}

static bool seat_has_share(const struct world *world, uint64_t generation, uint32_t slot) {
        for (size_t i = 0; i < world->share_count; i++)
                if (world->shares[i].generation == generation && world->shares[i].slot == slot)
                        return true;
        return false;
}

/* A stop that we chose, of an instance that serves. */
static bool judge_chosen_stop(struct world *world, const struct sim_instance *instance) {
        const struct fleet_settings *s = &world->fleet.settings;
        const uint32_t open = open_slots(world);
        const uint32_t floor = open > s->unavailable_max ? open - s->unavailable_max : 0;
        const uint32_t left = count_serving(world, 0, true) - 1;
        REQUIRE(left >= floor, "stop of %llu leaves %u ready, %u are the floor", (number)instance->number,
                left, floor);
        REQUIRE(world->is_rolling || world->is_reverting || world->target != instance->generation,
                "stop of %llu, which serves the target", (number)instance->number);
        REQUIRE(!s->is_signalled, "stop of %llu, where a signal is enough", (number)instance->number);
        if (s->unavailable_max == 0 && !world->has_ended[instance->slot]) {
                const struct sim_instance *next = NULL;
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                        if (is_serving(&world->instances[i]) && &world->instances[i] != instance &&
                                world->instances[i].slot == instance->slot)
                                next = &world->instances[i];
                const int64_t proof_ns = s->healthy_min_ns + (world->is_rolling ? s->hold_ns : 0);
                REQUIRE(next && (next->generation != world->target ||
                                        world->now_ns - next->ready_ns >= proof_ns),
                        "stop of %llu before its successor has proved itself", (number)instance->number);
        }
        if (s->is_steered) {
                REQUIRE(!seat_has_share(world, instance->generation, instance->slot),
                        "stop of %llu, while it gets connections", (number)instance->number);
                REQUIRE(instance->is_emptying || s->queue_timeout_ns == 0,
                        "stop of %llu, which was not emptied", (number)instance->number);
        }
        if (instance->is_emptying) {
                REQUIRE(instance->is_empty || world->now_ns - instance->emptying_ns >= s->queue_timeout_ns,
                        "stop of %llu, while connections wait for it", (number)instance->number);
                census.emptied++;
        }
        if (s->is_steered && s->drain_timeout_ns > 0)
                REQUIRE(instance->is_draining &&
                                (instance->is_idle ||
                                        world->now_ns - instance->draining_ns >= s->drain_timeout_ns),
                        "stop of %llu, while its requests run", (number)instance->number);
        return true;
}

/* Said when nobody is sent there any more, and taken back only by RECALL. */
static bool judge_empty(struct world *world, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        REQUIRE(world->settings.is_steered && world->settings.queue_timeout_ns > 0 && !world->is_stopping,
                "%llu is emptied now", (number)action->instance);
        REQUIRE(instance && is_serving(instance) && instance->generation == action->generation &&
                        instance->slot == action->slot,
                "%llu is emptied, and does not serve", (number)action->instance);
        REQUIRE(!instance->is_emptying, "%llu is emptied twice", (number)action->instance);
        REQUIRE(!seat_has_share(world, action->generation, action->slot),
                "%llu is emptied while it gets connections", (number)action->instance);
        instance->is_emptying = true;
        instance->is_empty = false;
        instance->emptying_ns = world->now_ns;
        instance->emptying_step = census.steps;
        return true;
}

/* Who has an empty queue has requests still. */
static bool judge_draining(struct world *world, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        const struct fleet_settings *s = &world->settings;
        REQUIRE(s->is_steered && s->drain_timeout_ns > 0 && !world->is_stopping && !world->is_emergency,
                "%llu drains now", (number)action->instance);
        REQUIRE(instance && is_serving(instance) && !instance->is_draining &&
                        instance->generation == action->generation && instance->slot == action->slot,
                "%llu drains, and does not serve", (number)action->instance);
        REQUIRE(!seat_has_share(world, action->generation, action->slot),
                "%llu drains while it gets connections", (number)action->instance);
        REQUIRE(instance->is_emptying
                        ? instance->is_empty || world->now_ns - instance->emptying_ns >= s->queue_timeout_ns
                        : s->queue_timeout_ns == 0,
                "%llu drains, and its queue is not empty", (number)action->instance);
        instance->is_draining = true;
        instance->is_idle = false;
        instance->draining_ns = world->now_ns;
        census.drained++;
        return true;
}

static bool judge_recall(struct world *world, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        REQUIRE(instance && is_serving(instance) && instance->generation == action->generation &&
                        instance->slot == action->slot && !world->is_stopping && !world->is_emergency,
                "recall of %llu", (number)action->instance);
        REQUIRE(instance->is_emptying || instance->is_draining, "recall of %llu, which was not emptying",
                (number)action->instance);
        REQUIRE(instance->emptying_step < census.steps, "%llu is emptied and recalled in one step",
                (number)action->instance);
        instance->is_emptying = instance->is_draining = false;
        instance->is_recalled = true;
        instance->emptying_ns = world->now_ns;
        census.recalled++;
        return true;
}

/* It was told before. Said again: the signal of a further STOP, or nobody waits any longer for who drains. */
static bool judge_stop_again(struct world *world, const struct fleet_event *event,
        const struct fleet_action *action, struct sim_instance *instance) {
        const bool is_draining = instance->drain_until_ns > world->now_ns;
        REQUIRE(!instance->is_killed && action->delay_ns == 0, "stop of %llu twice",
                (number)instance->number);
        REQUIRE(action->is_delivered == (event->kind == FLEET_STOP && event->is_delivered),
                "the signal of a further stop is sent twice or not at all");
        census.undrained += is_draining;
        instance->drain_until_ns = world->now_ns;
        if (instance->stops_heard < world->stops_asked) {
                instance->stops_heard = world->stops_asked;
                census.stops_again++;
                return true;
        }
        REQUIRE(is_draining, "stop of %llu twice", (number)instance->number);
        REQUIRE(world->is_emergency || (event->kind == FLEET_STOP && world->is_at_once),
                "the draining of %llu is cut short", (number)instance->number);
        return true;
}

/* The time to drain is for who serves, and for nobody in a hurry. */
static bool judge_drain(struct world *world, const struct fleet_event *event,
        const struct fleet_action *action, struct sim_instance *instance) {
        const bool is_patient = is_serving(instance) && !world->is_emergency && !world->is_at_once;
        const int64_t spent_ns = instance->is_draining ? world->now_ns - instance->draining_ns : 0;
        const int64_t left_ns = spent_ns < world->settings.drain_ns ? world->settings.drain_ns - spent_ns : 0;
        REQUIRE(action->delay_ns == (is_patient ? left_ns : 0), "%llu drains for %lld ns",
                (number)instance->number, (long long)action->delay_ns);
        REQUIRE(action->is_delivered == (event->kind == FLEET_STOP && event->is_delivered),
                "the stop signal of %llu is sent twice or not at all", (number)instance->number);
        instance->drain_until_ns = world->now_ns + action->delay_ns;
        census.stop_drains += action->delay_ns > 0;
        return true;
}

static bool judge_signal(struct world *world, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        const struct fleet_settings *s = &world->fleet.settings;
        uint32_t left = 0;
        REQUIRE(s->is_signalled && instance && is_serving(instance), "signal to %llu",
                (number)action->instance);
        REQUIRE(!world->is_stopping && !world->is_emergency && !world->is_halted, "signal to %llu now",
                (number)action->instance);
        REQUIRE(action->generation == world->target && instance->generation != world->target,
                "signal to %llu, which is there already", (number)action->instance);
        REQUIRE(world->is_rolling || world->is_reverting, "signal without a rollout");
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                left += &world->instances[i] != instance && is_serving(&world->instances[i]) &&
                        world->instances[i].is_available;
        REQUIRE(left + s->unavailable_max >= open_slots(world), "signal to %llu leaves %u proved",
                (number)action->instance, left);
        instance->generation = action->generation;
        instance->is_available = false;
        instance->ready_ns = world->now_ns;
        instance->signalled_ns = world->now_ns;
        census.signals++;
        return true;
}

static bool judge_stop(
        struct world *world, const struct fleet_event *event, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        REQUIRE(instance, "stop of %llu, which is gone", (number)action->instance);
        if (instance->is_stopped)
                return judge_stop_again(world, event, action, instance);
        REQUIRE(!instance->is_killed, "stop of %llu twice", (number)action->instance);
        if (!judge_drain(world, event, action, instance))
                return false;
        if (is_serving(instance) && !world->is_stopping && !world->is_emergency &&
                !judge_chosen_stop(world, instance))
                return false;
        instance->is_stopped = true;
        instance->stops_heard = world->stops_asked;
        instance->stopped_ns = world->now_ns;
        instance->stop_limit_ns = world->settings.stop_timeout_ns;
        if (world->is_emergency && world->settings.emergency_timeout_ns < instance->stop_limit_ns)
                instance->stop_limit_ns = world->settings.emergency_timeout_ns;
        instance->stop_limit_ns += action->delay_ns;
        return true;
}

static bool judge_kill(
        struct world *world, const struct fleet_action *action, const struct fleet_event *event) {
        struct sim_instance *instance = world_find(world, action->instance);
        const bool is_hard = event->kind == FLEET_STOP && event->is_hard;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                if (world->instances[i].is_clearing && world->instances[i].number == action->instance) {
                        REQUIRE(is_hard || world->instances[i].is_hurried, "the leftovers of %llu are killed",
                                (number)action->instance);
                        return true;
                }
        REQUIRE(instance, "kill of %llu, which is gone", (number)action->instance);
        if (instance->is_killed)
                REQUIRE(world->now_ns - instance->killed_ns >= KILL_REPEAT_NS, "kill of %llu again at once",
                        (number)action->instance);
        else
                REQUIRE(is_hard || (instance->is_stopped &&
                                           world->now_ns - instance->stopped_ns >= instance->stop_limit_ns),
                        "kill of %llu before its time to stop is over", (number)action->instance);
        instance->is_killed = true;
        instance->killed_ns = world->now_ns;
        census.kills++;
        return true;
}

static bool judge_drop(struct world *world, const struct fleet_action *action) {
        struct sim_generation *generation = &world->generations[action->generation];
        REQUIRE(action->generation < SIM_GENERATIONS_MAX && generation->is_known,
                "drop of an unknown generation");
        REQUIRE(!generation->is_dropped, "drop of generation %llu twice", (number)action->generation);
        REQUIRE(!(world->has_target && world->target == action->generation), "drop of the target %llu",
                (number)action->generation);
        REQUIRE(!(world->has_stable && world->stable == action->generation),
                "drop of %llu, which is to go back to", (number)action->generation);
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                REQUIRE(!world->instances[i].is_live || world->instances[i].generation != action->generation,
                        "drop of generation %llu, which %llu has", (number)action->generation,
                        (number)world->instances[i].number);
        generation->is_dropped = true;
        return true;
}

static bool judge_load(struct world *world, const struct fleet_action *action) {
        REQUIRE(!world->is_stopping, "load after STOP");
        REQUIRE(world->load_live == 0, "two loads at a time");
        REQUIRE(action->load > world->load_last, "load number %u again", action->load);
        REQUIRE(world->is_reload_owed || !world->has_target, "a load that nobody asked for");
        world->load_live = world->load_last = action->load;
        world->load_began_ns = world->now_ns;
        world->is_load_forced = world->is_owed_forced;
        world->is_load_emergency = world->is_owed_emergency;
        world->is_load_loud = world->is_owed_loud;
        world->is_reload_owed = world->is_owed_forced = world->is_owed_emergency = false;
        world->is_owed_loud = false;
        return true;
}

bool takes_connections(const struct world *world, const struct sim_instance *one) {
        for (uint32_t place = 0; place < 2; place++) {
                const struct fleet_instance *seen = fleet_instance_at(&world->fleet, one->slot, place);
                if (seen && seen->number == one->number)
                        return is_serving(one) && seen->state <= INSTANCE_AVAILABLE;
        }
        return false;
}

/* Who takes connections there and is of that generation; NULL: nobody. */
const struct sim_instance *seat_taker(
        const struct world *world, uint64_t generation, uint32_t slot, bool *out_is_alone) {
        const struct sim_instance *taker = NULL;
        uint32_t here = 0;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                const struct sim_instance *one = &world->instances[i];
                if (one->slot != slot || !takes_connections(world, one))
                        continue;
                here++;
                if (one->generation == generation && (!taker || one->is_available))
                        taker = one;
        }
        *out_is_alone = here == 1;
        return taker;
}

bool is_anybody_there(const struct world *world) {
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                if (takes_connections(world, &world->instances[i]))
                        return true;
        return false;
}

/* New connections go to who has proved itself, or else to the only one in its slot; when there is nobody, to
 * the target. */
static bool share_is_earned(const struct world *world, const struct fleet_share *share) {
        struct fleet_view view;
        bool is_alone;
        fleet_look(&world->fleet, &view); /* the switch is said first, before the reason for it */
        const bool must_prove = share->generation == view.target && view.phase != FLEET_PHASE_REVERTING;
        const struct sim_instance *taker = seat_taker(world, share->generation, share->slot, &is_alone);
        if (taker)
                return taker->is_available || is_alone || !must_prove;
        return !is_anybody_there(world) && share->generation == view.target;
}

static bool judge_steer(struct world *world, const struct fleet_actions *actions) {
        REQUIRE(world->settings.is_steered, "steer in a fleet that is not steered");
        REQUIRE(actions->share_count > 0, "steer to nobody");
        census.steers++;
        world->share_count = actions->share_count;
        memcpy(world->shares, actions->shares, sizeof world->shares);
        for (size_t i = 0; i < actions->share_count; i++) {
                const struct fleet_share *share = &actions->shares[i];
                REQUIRE(share->weight > 0 && !world->generations[share->generation].is_dropped &&
                                share->slot < world->fleet.settings.replicas,
                        "steer to generation %llu in slot %u", (number)share->generation, share->slot);
                REQUIRE(share_is_earned(world, share),
                        "generation %llu gets connections in slot %u before it has proved itself",
                        (number)share->generation, share->slot);
                for (size_t k = 0; k < i; k++)
                        REQUIRE(share->slot != actions->shares[k].slot ||
                                        share->generation != actions->shares[k].generation,
                                "two shares of one seat");
        }
        return true;
}

static bool judge_sweep(struct world *world, const struct fleet_action *action) {
        REQUIRE(world->sweep_due == action->generation &&
                        action->delay_ns == world->settings.emergency_timeout_ns,
                "sweep for %llu", (number)action->generation);
        REQUIRE(!is_older_left(world, action->generation, false), "sweep while older instances live");
        world->sweep_due = 0;
        world->sweeping = action->generation;
        return true;
}

static bool judge_exit(struct world *world) {
        REQUIRE(count_live(world) == 0, "exit while %u live", count_live(world));
        REQUIRE(world->is_stopping || open_slots(world) == 0, "exit of a fleet that nobody stopped");
        world->is_over = true;
        census.exits++;
        return true;
}

bool judge_action(struct world *world, const struct fleet_event *event, const struct fleet_actions *actions,
        const struct fleet_action *action) {
        REQUIRE(!world->is_over, "an action after EXIT");
        world->decisions += action->kind != FLEET_DO_REPORT;
        switch (action->kind) {
        case FLEET_DO_LOAD:
                return judge_load(world, action);
        case FLEET_DO_CANCEL_LOAD:
                REQUIRE(world->load_live == action->load && action->load > 0, "cancel of load %u",
                        action->load);
                world->load_live = 0;
                return true;
        case FLEET_DO_SPAWN:
                world->spawns++;
                return judge_spawn(world, action);
        case FLEET_DO_EMPTY:
                return judge_empty(world, action);
        case FLEET_DO_DRAIN:
                return judge_draining(world, action);
        case FLEET_DO_RECALL:
                return judge_recall(world, action);
        case FLEET_DO_STOP:
                return judge_stop(world, event, action);
        case FLEET_DO_SIGNAL:
                return judge_signal(world, action);
        case FLEET_DO_KILL:
                return judge_kill(world, action, event);
        case FLEET_DO_SWEEP:
                return judge_sweep(world, action);
        case FLEET_DO_DROP:
                return judge_drop(world, action);
        case FLEET_DO_STEER:
                return judge_steer(world, actions);
        case FLEET_DO_REPORT:
                return judge_report(world, event, action);
        case FLEET_DO_EXIT:
                return judge_exit(world);
        }
        return oracle_object(world, "action %d", (int)action->kind);
}
