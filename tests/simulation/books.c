/* The judge's books: what the fleet was told, and what follows from it for what it may say.
 *
 * Facts go in before the step that they cause. */

#include <string.h>

#include "tests/simulation/oracle.h"

uint32_t open_slots(const struct world *world) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < world->fleet.settings.replicas; i++)
                count += !world->has_ended[i];
        return count;
}

bool is_serving(const struct sim_instance *instance) {
        return instance->is_live && instance->is_ready && !instance->is_unhealthy && !instance->is_stopped &&
               !instance->is_killed;
}

uint32_t count_live(const struct world *world) {
        uint32_t count = 0;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                count += world->instances[i].is_live;
        return count;
}

uint32_t count_clearing(const struct world *world) {
        uint32_t count = 0;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                count += world->instances[i].is_clearing;
        return count;
}

bool is_older_left(const struct world *world, uint64_t generation, bool counts_killed) {
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                const struct sim_instance *one = &world->instances[i];
                if (((one->is_live && (counts_killed || !one->is_killed)) || one->is_clearing) &&
                        one->generation < generation)
                        return true;
        }
        return false;
}

uint32_t count_serving(const struct world *world, uint64_t generation, bool is_any) {
        uint32_t count = 0;
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                count += is_serving(&world->instances[i]) &&
                         (is_any || world->instances[i].generation == generation);
        return count;
}

bool is_rejected(const struct world *world, uint32_t content) {
        for (size_t i = 0; i < world->rejected_count; i++)
                if (world->rejected[i] == content)
                        return true;
        return false;
}

void forgive(struct world *world, uint32_t content) {
        size_t kept = 0;
        for (size_t i = 0; i < world->rejected_count; i++)
                if (world->rejected[i] != content)
                        world->rejected[kept++] = world->rejected[i];
        world->rejected_count = kept;
}

void reject(struct world *world, uint32_t content) {
        forgive(world, content);
        if (world->rejected_count == FLEET_REJECTED_MAX) {
                memmove(&world->rejected[0], &world->rejected[1],
                        (FLEET_REJECTED_MAX - 1) * sizeof world->rejected[0]);
                world->rejected_count--;
        }
        world->rejected[world->rejected_count++] = content;
}

void aim(struct world *world, uint64_t generation) {
        world->has_target = true;
        world->target = generation;
        world->is_rolling = world->has_stable && world->stable != generation;
        world->is_reverting = false;
        world->is_halted = false;
        world->is_emergency = false;
        world->is_canary_due = false;
        world->is_canary = false;
        world->aimed_ns = world->now_ns;
        world->aims++;
        world->generations[generation].failures = 0;
        world->generations[generation].is_blamed = false;
        world->generations[generation].has_permanent_failure = false;
        world->generations[generation].has_canary_failure = false;
        for (size_t i = 0; i < FLEET_REPLICAS_MAX; i++)
                world->spawn_failed[i] = false;
}

/* An instance failed without being asked to go: it counts against its generation while that is rolled out. */
static void note_failure(
        struct world *world, struct sim_instance *instance, const struct fleet_event *event) {
        struct sim_generation *generation = &world->generations[instance->generation];
        if (instance->has_failed)
                return;
        instance->has_failed = true;
        if (world->spawn_generation[instance->slot] == instance->generation)
                world->spawn_failed[instance->slot] = true;
        if (!world->is_rolling || world->is_halted || instance->generation != world->target)
                return;
        generation->failures++;
        generation->has_canary_failure |= world->is_canary;
        const bool is_spawn = event && event->kind == FLEET_SPAWN_FAILED;
        generation->is_blamed |= !is_spawn || event->is_permanent;
        generation->has_permanent_failure |= is_spawn && event->is_permanent;
}

static void told_about_instance(struct world *world, const struct fleet_event *event) {
        struct sim_instance *instance = world_find(world, event->instance);
        if (!instance)
                return;
        const bool is_asked = instance->is_stopped || instance->is_killed;
        const int64_t extended_ns = world->now_ns + event->delay_ns;
        switch ((int)event->kind) {
        case FLEET_EXTEND:
                if (!instance->is_ready && extended_ns > instance->ready_deadline_ns)
                        instance->ready_deadline_ns = extended_ns;
                break;
        case FLEET_READY:
                if (is_asked || instance->is_ready)
                        break;
                instance->is_ready = true;
                instance->ready_ns = world->now_ns;
                break;
        case FLEET_UNHEALTHY:
                if (is_asked || instance->is_unhealthy)
                        break;
                if (world->settings.restart != FLEET_RESTART_NO ||
                        (world->is_rolling && instance->generation == world->target))
                        note_failure(world, instance, event);
                instance->is_unhealthy = true;
                break;
        case FLEET_SPAWN_FAILED:
        case FLEET_EXITED:
                instance->is_live = false;
                instance->is_clearing = event->kind == FLEET_EXITED && event->has_leftovers;
                if (!is_asked)
                        note_failure(world, instance, event);
                world->stale[world->stale_count % SIM_STALE_MAX] = instance->number;
                if (world->stale_count < SIM_STALE_MAX - 1)
                        world->stale_count++;
                break;
        default:
                break;
        }
}

void oracle_told(struct world *world, const struct fleet_event *event, const struct sim_content *content) {
        const bool is_answer = world->load_live != 0 && event->load == world->load_live;
        world->is_adopting = false;
        switch (event->kind) {
        case FLEET_START:
                world->is_started = true;
                world->is_reload_owed = true;
                break;
        case FLEET_RELOAD:
                census.reloads++;
                if (!world->is_stopping) {
                        world->is_reload_owed = true;
                        world->is_owed_forced |= event->is_forced;
                        world->is_owed_loud |= !event->is_quiet;
                        if (event->is_emergency && world->load_live) {
                                world->is_owed_forced |= world->is_load_forced;
                                world->is_owed_loud |= world->is_load_loud;
                        }
                        world->is_owed_emergency |= event->is_emergency;
                }
                break;
        case FLEET_ROLLBACK: /* LOAD_CANCELLED says whether it takes anything */
                break;
        case FLEET_LOADED:
                if (!world->generations[event->generation].is_known) {
                        world->generations[event->generation].is_known = true;
                        world->generations[event->generation].content = *content;
                }
                world->is_adopting = is_answer;
                if (is_answer)
                        world->load_live = 0;
                break;
        case FLEET_LOAD_FAILED:
                if (is_answer)
                        world->load_live = 0;
                break;
        case FLEET_STOP:
                if (!world->is_stopping)
                        world->stopping_ns = world->now_ns;
                else if (!event->is_delivered)
                        world->stops_asked++;
                world->is_stopping = true;
                world->is_emergency = false;
                world->is_at_once |= event->is_at_once || event->is_delivered;
                break;
        case FLEET_EMPTY:
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                        if (world->instances[i].is_emptying && world->instances[i].number == event->instance)
                                world->instances[i].is_empty = true;
                break;
        case FLEET_IDLE:
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                        if (world->instances[i].is_draining && world->instances[i].number == event->instance)
                                world->instances[i].is_idle = true;
                break;
        case FLEET_CLEARED:
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                        if (world->instances[i].number == event->instance)
                                world->instances[i].is_clearing = false;
                break;
        case FLEET_SWEPT:
                if (world->sweeping == event->generation)
                        world->sweeping = 0;
                break;
        case FLEET_TICK:
                break;
        case FLEET_SPAWNED:
        case FLEET_SPAWN_FAILED:
        case FLEET_READY:
        case FLEET_EXTEND:
        case FLEET_UNHEALTHY:
        case FLEET_EXITED:
                told_about_instance(world, event);
                break;
        }
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                struct sim_instance *instance = &world->instances[i];
                if (instance->is_live && !instance->is_ready && !instance->is_stopped &&
                        instance->ready_deadline_ns <= world->now_ns)
                        note_failure(world, instance, NULL);
        }
}
