/* The judge of what the fleet says about itself: settled, reverted, refused, unchanged must be true when they
 * are said. */

#include "tests/simulation/oracle.h"

bool judge_everywhere(struct world *world, uint64_t generation) {
        for (uint32_t slot = 0; slot < world->fleet.settings.replicas; slot++) {
                uint32_t proved = 0;
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                        const struct sim_instance *one = &world->instances[i];
                        if (!one->is_live || one->slot != slot)
                                continue;
                        if (is_serving(one) && one->generation == generation &&
                                world->now_ns - one->ready_ns >= world->settings.healthy_min_ns)
                                proved++;
                        else
                                REQUIRE(one->is_killed,
                                        "said to be on %llu everywhere, but %llu is in slot %u",
                                        (number)generation, (number)one->number, slot);
                }
                REQUIRE(proved == 1 || (proved == 0 && world->has_ended[slot]),
                        "said to be on %llu everywhere, but slot %u has %u", (number)generation, slot,
                        proved);
        }
        return true;
}

static bool judge_failed_rollout(struct world *world, const struct fleet_action *action) {
        struct sim_generation *generation = &world->generations[world->target];
        const bool is_slow = action->reason == FLEET_REASON_TOO_SLOW;
        world->was_slow |= is_slow && world->is_calm;
        if (world->is_rolling) {
                REQUIRE(action->generation == world->target, "report about %llu", (number)action->generation);
                REQUIRE(!is_slow || (world->settings.progress_timeout_ns > 0 &&
                                            world->now_ns - world->aimed_ns >=
                                                    world->settings.progress_timeout_ns),
                        "too slow, too soon");
                REQUIRE(is_slow || generation->has_permanent_failure || generation->has_canary_failure ||
                                generation->failures > world->settings.failures_max,
                        "gave generation %llu up after %u failures, %u are allowed", (number)world->target,
                        generation->failures, world->settings.failures_max);
                if (generation->is_blamed || is_slow)
                        reject(world, generation->content.number);
        } else {
                REQUIRE(action->report == FLEET_REPORT_HALTED && world->is_reverting,
                        "failed without a rollout");
        }
        return true;
}

/* The answer to the load is adopted. */
static bool judge_rollout(struct world *world, const struct fleet_event *event, uint64_t generation) {
        const struct sim_content content = world->generations[generation].content;
        const bool has_old = world->has_target;
        const uint64_t old = world->target;
        if (world->is_adopting) {
                REQUIRE(generation == event->generation, "adopted %llu", (number)generation);
                REQUIRE(world->is_load_forced || !is_rejected(world, content.number),
                        "content %u is tried again although it was rejected", content.number);
                REQUIRE(world->is_load_forced || !has_old ||
                                world->generations[old].content.number != content.number,
                        "the same content %u restarts the fleet", content.number);
                if (has_old && !world->has_stable && count_serving(world, old, false) > 0) {
                        world->has_stable = true;
                        world->stable = old;
                }
        }
        const bool had_stable = world->has_stable;
        if (event->kind == FLEET_ROLLBACK)
                reject(world, world->generations[old].content.number);
        forgive(world, content.number);
        aim(world, generation);
        if (!world->is_adopting || !world->is_load_emergency || !has_old) {
                world->is_canary_due =
                        world->is_adopting && world->is_rolling && world->fleet.settings.canary_percent > 0;
                return true;
        }
        census.emergencies++;
        if (world->generations[old].content.number != content.number)
                reject(world, world->generations[old].content.number);
        if (had_stable && world->generations[world->stable].content.number != content.number)
                reject(world, world->generations[world->stable].content.number);
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                /* who is on the way out already may not take longer than the others */
                struct sim_instance *one = &world->instances[i];
                const int64_t limit_ns = world->now_ns - one->stopped_ns +
                                         (world->settings.emergency_timeout_ns == 0) +
                                         world->settings.emergency_timeout_ns;
                one->is_hurried |= one->is_clearing;
                if (one->is_live && one->is_stopped && limit_ns < one->stop_limit_ns)
                        one->stop_limit_ns = limit_ns;
        }
        world->is_emergency = true;
        world->sweep_due = generation;
        world->has_stable = false;
        world->is_rolling = false;
        return true;
}

static bool judge_settled(struct world *world, const struct fleet_action *action) {
        const bool is_back = action->report == FLEET_REPORT_RESTORED;
        REQUIRE(action->generation == world->target, "settled on %llu, not the target",
                (number)action->generation);
        if (!judge_everywhere(world, action->generation))
                return false;
        REQUIRE(is_back || !world->has_stable || world->stable != action->generation, "committed twice");
        REQUIRE(!world->is_canary && !world->is_canary_due, "committed without its canary");
        REQUIRE(count_clearing(world) == 0, "settled while leftovers live");
        REQUIRE(!world->sweep_due && !world->sweeping,
                "settled before what an emergency is about was searched for");
        if (is_back)
                forgive(world, world->generations[action->generation].content.number);
        world->has_stable = true;
        world->stable = action->generation;
        aim(world, action->generation);
        census.commits += !is_back;
        census.restores += is_back;
        return true;
}

static bool judge_canary_report(struct world *world, const struct fleet_action *action) {
        const bool is_passed = action->report == FLEET_REPORT_CANARY_PASSED;
        REQUIRE(world->is_canary_due && world->is_rolling && is_passed == world->is_canary,
                "no canary is due");
        if (!is_passed) {
                const struct sim_instance *instance = world_find(world, action->instance);
                REQUIRE(instance && instance->is_available && instance->generation == world->target,
                        "%llu is no canary", (number)action->instance);
                world->is_canary = true;
                world->canary_ns = world->now_ns;
                census.canaries++;
                return true;
        }
        REQUIRE(world->now_ns - world->canary_ns >= world->settings.canary_ns,
                "the canary has passed too soon");
        world->is_canary = world->is_canary_due = false;
        census.canaries_passed++;
        return true;
}

/* What goes well must be true as well. */
static bool judge_step(struct world *world, const struct fleet_action *action) {
        const struct sim_instance *instance = world_find(world, action->instance);
        if (action->report == FLEET_REPORT_STOPPED) {
                REQUIRE(!instance, "%llu has not stopped", (number)action->instance);
                for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                        REQUIRE(world->instances[i].number != action->instance ||
                                        world->instances[i].is_stopped || world->instances[i].is_killed,
                                "%llu was not told to stop", (number)action->instance);
                return true;
        }
        if (action->report == FLEET_REPORT_CANARY || action->report == FLEET_REPORT_CANARY_PASSED)
                return judge_canary_report(world, action);
        REQUIRE(instance && instance->is_ready, "%llu is not even ready", (number)action->instance);
        REQUIRE(action->report != FLEET_REPORT_AVAILABLE || instance->is_available, "%llu is not proved yet",
                (number)action->instance);
        if (action->report == FLEET_REPORT_EMPTIED)
                REQUIRE(instance->is_emptying && instance->is_empty, "the queue of %llu is not empty",
                        (number)action->instance);
        return true;
}

/* By who goes back, and never in an emergency: what it is about must not come again. */
static bool judge_load_cancelled(struct world *world, const struct fleet_event *event) {
        REQUIRE(event->kind == FLEET_ROLLBACK && (world->load_live || world->is_reload_owed),
                "no load is to be given up");
        REQUIRE(!world->is_owed_emergency && !(world->load_live && world->is_load_emergency),
                "the load of an emergency is given up");
        world->is_reload_owed = false;
        world->is_owed_forced = false;
        world->is_owed_loud = false;
        return true;
}

bool judge_report(struct world *world, const struct fleet_event *event, const struct fleet_action *action) {
        switch (action->report) {
        case FLEET_REPORT_ROLLOUT:
                return judge_rollout(world, event, action->generation);
        case FLEET_REPORT_STARTED:
        case FLEET_REPORT_COMMITTED:
        case FLEET_REPORT_RESTORED:
                return judge_settled(world, action);
        case FLEET_REPORT_REVERTED:
                REQUIRE(!world->settings.is_revert_off, "reverted although that is off");
                REQUIRE(world->is_rolling, "reverted without a rollout");
                if (!judge_failed_rollout(world, action))
                        return false;
                census.reverts++;
                aim(world, world->stable);
                world->is_reverting = true;
                break;
        case FLEET_REPORT_HALTED:
                if (!judge_failed_rollout(world, action))
                        return false;
                census.halts++;
                world->is_halted = true;
                world->is_reverting = false;
                world->is_canary = false;
                world->is_canary_due = false;
                break;
        case FLEET_REPORT_CANCELLED:
                census.cancelled++;
                REQUIRE(world->has_stable, "cancelled, with nothing to go back to");
                if (event->kind == FLEET_ROLLBACK)
                        reject(world, world->generations[world->target].content.number);
                aim(world, world->stable);
                world->is_reverting = true;
                break;
        case FLEET_REPORT_UNCHANGED:
                census.unchanged++;
                REQUIRE(world->generations[event->generation].content.number ==
                                world->generations[world->target].content.number,
                        "said to be unchanged");
                REQUIRE(action->is_quiet == !world->is_load_loud, "said to be unchanged %s",
                        action->is_quiet ? "so that nobody hears" : "to nobody");
                census.quiet += action->is_quiet;
                break;
        case FLEET_REPORT_RESUMED:
                if (event->kind == FLEET_ROLLBACK && world->is_reverting)
                        break; /* on the way already */
                REQUIRE(world->is_halted && !world->is_rolling, "resumed, but not halted on the way back");
                aim(world, world->target);
                world->is_reverting = true;
                break;
        case FLEET_REPORT_REFUSED:
                census.refusals++;
                REQUIRE(!world->is_load_forced, "refused what was forced");
                REQUIRE(is_rejected(world, world->generations[event->generation].content.number) ||
                                world->is_halted,
                        "refused content that never failed and was not left");
                break;
        case FLEET_REPORT_ENDED:
                REQUIRE(world->settings.restart != FLEET_RESTART_ALWAYS, "ended under restart = always");
                world->has_ended[action->slot] = true;
                break;
        case FLEET_REPORT_GAVE_UP:
                census.give_ups++;
                world->stopping_ns = world->now_ns;
                world->is_stopping = true;
                world->is_emergency = false;
                break;
        case FLEET_REPORT_SUPERSEDED:
                census.superseded++;
                break;
        case FLEET_REPORT_LOAD_CANCELLED:
                return judge_load_cancelled(world, event);
        case FLEET_REPORT_LOAD_FAILED:
        case FLEET_REPORT_FAILED:
        case FLEET_REPORT_RETRY:
        case FLEET_REPORT_NO_PREVIOUS:
        case FLEET_REPORT_RESTART:
        case FLEET_REPORT_UNHEALTHY:
        case FLEET_REPORT_STOP_TIMEOUT:
        case FLEET_REPORT_STUCK:
        case FLEET_REPORT_STOPPING:
        case FLEET_REPORT_STOP_AGAIN:
                break;
        case FLEET_REPORT_READY:
        case FLEET_REPORT_AVAILABLE:
        case FLEET_REPORT_CANARY:
        case FLEET_REPORT_CANARY_PASSED:
        case FLEET_REPORT_DRAINED:
        case FLEET_REPORT_DRAIN_TIMEOUT:
        case FLEET_REPORT_EMPTIED:
        case FLEET_REPORT_QUEUE_TIMEOUT:
        case FLEET_REPORT_STOPPED:
                return judge_step(world, action);
        }
        return true;
}
