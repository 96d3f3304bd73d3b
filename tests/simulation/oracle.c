/* The judge of the simulation: every promise about the fleet that can be seen from outside, checked after
 * every step. What a single action may do stands in orders.c, what a report may say in reports.c; here is
 * what must hold whatever was ordered: deadlines, limits, rest.
 *
 * It keeps its own books from facts and actions alone and never asks the fleet why. What a mutant can get
 * wrong without any line of the judge objecting is a promise that nobody watches: tests/simulation/mutants is
 * the list that it has to pass. */

#include <stdarg.h>
#include <stdio.h>

#include "tests/simulation/oracle.h"

bool oracle_object(struct world *world, const char *format, ...) {
        va_list arguments;
        printf("seed %llu at %.6f s, step %llu: ", (unsigned long long)world->seed,
                (double)world->now_ns / NS_PER_S, (unsigned long long)world->steps);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n");
        return false;
}

/* What must be so after every step, whatever was said. */
static bool judge_stopping(struct world *world, const struct fleet_event *event) {
        REQUIRE(world->load_live == 0, "a load runs on after STOP");
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                const struct sim_instance *one = &world->instances[i];
                REQUIRE(!one->is_live || one->is_stopped || one->is_killed, "%llu was not told to stop",
                        (number)one->number);
                REQUIRE(!one->is_live || one->is_killed || event->kind != FLEET_STOP || !event->is_hard,
                        "%llu survived a hard stop", (number)one->number);
                REQUIRE(!one->is_live || one->is_killed || one->stops_heard == world->stops_asked,
                        "%llu does not hear of a further stop", (number)one->number);
        }
        REQUIRE(count_live(world) > 0 || world->is_over, "nothing is left, and no exit");
        return true;
}

/* The time by which something has to be done about it. */
static int64_t instance_bound(const struct world *world, const struct sim_instance *one) {
        if (one->is_killed)
                return one->killed_ns + KILL_REPEAT_NS;
        if (one->is_stopped)
                return one->stopped_ns + (one->stop_limit_ns > 0 ? one->stop_limit_ns : 1);
        if (!one->is_ready)
                return one->ready_deadline_ns;
        if (one->is_draining)
                return one->draining_ns + world->settings.drain_timeout_ns;
        if (one->is_emptying)
                return one->emptying_ns + world->settings.queue_timeout_ns;
        if (one->is_available)
                return NS_FOREVER;
        if (one->signalled_ns == one->ready_ns)
                return one->ready_ns +
                       (world->settings.healthy_min_ns > 0 ? world->settings.healthy_min_ns : 1);
        if (one->is_recalled)
                return one->emptying_ns +
                       (world->settings.healthy_min_ns > 0 ? world->settings.healthy_min_ns : 1);
        return one->ready_ns + world->settings.healthy_min_ns;
}

/* Every state has a deadline, nothing is overdue, and no wake-up lies in the past. */
static bool judge_time(struct world *world) {
        const int64_t deadline_ns = fleet_deadline(&world->fleet);
        REQUIRE(deadline_ns > world->now_ns, "a wake-up in the past");
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                const struct sim_instance *one = &world->instances[i];
                if (!one->is_live)
                        continue;
                const int64_t bound_ns = instance_bound(world, one);
                REQUIRE(bound_ns > world->now_ns, "%llu is overdue", (number)one->number);
                REQUIRE(deadline_ns <= bound_ns, "the fleet sleeps past the time of %llu",
                        (number)one->number);
        }
        if (world->load_live && world->settings.load_timeout_ns > 0) {
                const int64_t bound_ns = world->load_began_ns + world->settings.load_timeout_ns;
                REQUIRE(bound_ns > world->now_ns, "the load is overdue");
                REQUIRE(deadline_ns <= bound_ns, "the fleet sleeps past the time of the load");
        }
        if (world->is_rolling && !world->is_halted && !world->is_stopping &&
                world->settings.progress_timeout_ns > 0) {
                const int64_t bound_ns = world->aimed_ns + world->settings.progress_timeout_ns;
                REQUIRE(bound_ns > world->now_ns, "the rollout is overdue");
        }
        if (world->is_canary && !world->is_stopping) {
                const int64_t bound_ns = world->canary_ns + world->settings.canary_ns;
                REQUIRE(bound_ns > world->now_ns && deadline_ns <= bound_ns, "the canary is overdue");
        }
        return true;
}

/* The canary gets exactly its share, unless nobody else serves. */
static bool judge_canary(struct world *world) {
        const uint32_t percent = world->fleet.settings.canary_percent;
        const struct sim_generation *target = &world->generations[world->target];
        uint64_t own = 0;
        uint64_t all = 0;
        bool is_alone = true;
        REQUIRE(!target->has_canary_failure || !world->is_rolling,
                "the rollout goes on after its canary has failed");
        for (size_t i = 0; i < world->share_count; i++) {
                all += world->shares[i].weight;
                own += world->shares[i].generation == world->target ? world->shares[i].weight : 0;
        }
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                is_alone &= world->instances[i].generation == world->target ||
                            !takes_connections(world, &world->instances[i]);
        REQUIRE(is_alone ? own == all : own * 100 == all * percent, "the canary gets %llu of %llu",
                (number)own, (number)all);
        return true;
}

/* Who lives is shown; who empties was told so, and nobody else. */
static bool judge_instances(struct world *world) {
        struct fleet_cursor cursor = {0};
        const struct fleet_instance *seen;
        uint32_t count = 0;
        while ((seen = fleet_instance_next(&world->fleet, &cursor))) {
                const struct sim_instance *one = world_find(world, seen->number);
                REQUIRE((seen->state == INSTANCE_CLEARING) == !one, "%llu clears", (number)seen->number);
                count++;
                if (!one)
                        continue;
                REQUIRE(one && one->slot == cursor.slot, "%llu is not there", (number)seen->number);
                REQUIRE((seen->state == INSTANCE_EMPTYING) == (one->is_emptying && !one->is_draining &&
                                                                      !one->is_stopped && !one->is_killed),
                        "%llu empties and was not told, or was and does not", (number)one->number);
                REQUIRE((seen->state == INSTANCE_DRAINING) ==
                                (one->is_draining && !one->is_stopped && !one->is_killed),
                        "%llu drains and was not told, or was and does not", (number)one->number);
        }
        REQUIRE(count == count_live(world) + count_clearing(world), "%u instances of %u are shown", count,
                count_live(world));
        return true;
}

/* At any time: no slot that serves is left out, nobody gets more than another, and nothing goes to where
 * nobody serves while somebody does elsewhere. */
static bool judge_shares(struct world *world) {
        bool has_share[FLEET_REPLICAS_MAX] = {false};
        bool is_alone;
        for (size_t i = 0; i < world->share_count; i++) {
                const struct fleet_share *share = &world->shares[i];
                has_share[share->slot] = true;
                REQUIRE(world->is_canary || share->weight == world->shares[0].weight,
                        "slot %u gets another part than slot %u", share->slot, world->shares[0].slot);
                REQUIRE(seat_taker(world, share->generation, share->slot, &is_alone) ||
                                !is_anybody_there(world),
                        "connections go to slot %u, where nobody takes them", share->slot);
        }
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                REQUIRE(!takes_connections(world, &world->instances[i]) ||
                                has_share[world->instances[i].slot],
                        "slot %u serves and gets nothing", world->instances[i].slot);
        return true;
}

static bool judge_rest(struct world *world) {
        uint32_t known = 0;
        for (uint64_t i = 0; i <= world->generation_next; i++)
                known += world->generations[i].is_known && !world->generations[i].is_dropped;
        REQUIRE(known <= FLEET_GENERATIONS_MAX, "%u generations are held", known);
        REQUIRE(!world->is_started || !world->is_reload_owed || world->load_live ||
                        known == FLEET_GENERATIONS_MAX,
                "a reload is forgotten");
        REQUIRE(!world->sweep_due || world->is_stopping || is_older_left(world, world->sweep_due, true),
                "an emergency whose old instances are gone, and no search for what they left");
        REQUIRE(open_slots(world) > 0 || count_live(world) > 0 || world->is_over,
                "all has ended, and no exit");
        if (world->is_rolling && !world->is_halted) {
                const struct sim_generation *target = &world->generations[world->target];
                REQUIRE(target->failures <= world->settings.failures_max && !target->has_permanent_failure,
                        "the rollout of %llu goes on after %u failures", (number)world->target,
                        target->failures);
        }
        for (size_t i = 0; i < SIM_INSTANCES_MAX && world->is_emergency; i++) {
                const struct sim_instance *one = &world->instances[i];
                REQUIRE(!one->is_live || one->generation == world->target || one->is_stopped ||
                                one->is_killed,
                        "%llu keeps an old value in an emergency", (number)one->number);
        }
        return (!world->is_canary || judge_canary(world)) && (world->share_count == 0 || judge_shares(world));
}

/* So many starts and wake-ups are enough for what happened. */
static bool judge_storm(
        struct world *world, const struct fleet_event *event, const struct fleet_actions *actions) {
        const uint64_t places = 2 * (uint64_t)world->fleet.settings.replicas;
        const uint64_t seconds = (uint64_t)(world->now_ns / NS_PER_S);
        const uint64_t tries = (world->aims + 2) * (world->settings.failures_max + 3);
        const uint64_t rows = seconds * (uint64_t)NS_PER_S / (uint64_t)world->fleet.settings.restart_delay_ns;
        world->ticks_without_action += event->kind == FLEET_TICK && actions->count == 0;
        REQUIRE(world->spawns <= places * (tries + rows), "%llu spawns", (number)world->spawns);
        REQUIRE(world->ticks_without_action <= 100 + 5 * world->decisions, "%llu idle wake-ups",
                (number)world->ticks_without_action);
        return true;
}

/* An instance has proved itself: also its slot lives again. */
static void note_available(struct world *world) {
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++) {
                struct sim_instance *one = &world->instances[i];
                if (!one->is_live || !one->is_ready || one->is_stopped || one->is_available ||
                        world->now_ns - one->ready_ns < world->settings.healthy_min_ns)
                        continue;
                one->is_available = true;
                world->has_ended[one->slot] = false;
        }
}

bool oracle_judge(struct world *world, const struct fleet_event *event, const struct fleet_actions *actions) {
        bool is_declined = false;
        bool is_begun = false;
        census.steps++;
        REQUIRE(actions->count <= FLEET_ACTIONS_MAX && actions->lost == 0, "the list of actions is full");
        if (world->is_adopting && !world->has_target) {
                aim(world, event->generation);
                is_begun = true;
        }
        note_available(world);
        for (size_t i = 0; i < actions->count; i++) {
                const struct fleet_action *action = &actions->list[i];
                is_begun |= action->kind == FLEET_DO_REPORT && action->report == FLEET_REPORT_ROLLOUT;
                is_declined |= action->kind == FLEET_DO_DROP && action->generation == event->generation;
                if (!judge_action(world, event, actions, action))
                        return false;
        }
        REQUIRE(!world->is_adopting || is_begun != is_declined,
                "a loaded generation is neither taken nor dropped");
        if (world->is_over)
                return true;
        return judge_instances(world) && (!world->is_stopping || judge_stopping(world, event)) &&
               (world->is_stopping || judge_rest(world)) && judge_time(world) &&
               judge_storm(world, event, actions);
}

bool oracle_calm(struct world *world, bool is_rescued) {
        if (world->was_slow)
                return true; /* back to what there was, good or bad */
        REQUIRE(fleet_deadline(&world->fleet) == NS_FOREVER, "no rest in the calm");
        REQUIRE(!world->load_live && !world->is_reload_owed, "a load is owed in the calm");
        if (!is_rescued && (world->is_halted || !world->has_stable))
                return true;
        census.calm_checks++;
        REQUIRE(world->has_stable && world->stable == world->target, "not settled in the calm");
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                if (world->instances[i].is_live && world->instances[i].is_unhealthy &&
                        (!is_rescued || world->settings.is_signalled))
                        return true; /* left alone; what a signal made of it lasts beyond the next one */
        if (!judge_everywhere(world, world->target))
                return false;
        REQUIRE(!is_rescued || world->was_slow ||
                        world->generations[world->target].content.number == world->content.number,
                "the newest content is %u, the fleet runs %u", world->content.number,
                world->generations[world->target].content.number);
        struct fleet_view view;
        fleet_look(&world->fleet, &view);
        REQUIRE(view.phase == FLEET_PHASE_IDLE && view.live == view.available, "%s in the calm",
                fleet_phase_name(view.phase));
        return true;
}
