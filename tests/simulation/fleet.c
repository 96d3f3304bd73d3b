/* The simulation of the fleet: thousands of bad days in a few seconds, each from one number.
 *
 *      fleet [SEEDS] [FROM]       run so many seeds, beginning with FROM
 *      fleet -v SEED              run one and tell everything
 *
 * A day: start, chaos (faults, reloads, rollbacks, perhaps the end), calm, a last look, the end. A broken
 * promise prints the seed and the reason; the same seed gives the same day. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"
#include "tests/simulation/world.h"

#define CHAOS_NS (40 * NS_PER_S)
#define CALM_NS  (600 * NS_PER_S)

static void post_reload(struct world *world, int64_t at_ns, struct sim_content content) {
        const size_t before = world->pending_count;
        struct fleet_event event = {.kind = FLEET_RELOAD,
                .is_forced = world_chance(world, 8),
                .is_emergency = world_chance(world, 7),
                .is_quiet = world_chance(world, 30)};
        world_post(world, at_ns, event);
        if (world->pending_count > before)
                world->pending[before].content = content;
}

/* What people do to it during the day. */
static void operator_script(struct world *world) {
        const uint64_t visits = world_random(world, 9);
        struct sim_content content = world->content;
        for (uint64_t i = 0; i < visits; i++) {
                int64_t at_ns = (int64_t)world_random(world, (uint64_t)(CHAOS_NS - NS_PER_S));
                const uint64_t burst = world_chance(world, 15) ? 1 + world_random(world, 20) : 1;
                if (world_chance(world, 8)) {
                        world_post(world, at_ns, (struct fleet_event){.kind = FLEET_ROLLBACK});
                        continue;
                }
                for (uint64_t k = 0; k < burst; k++) {
                        struct sim_content next = {.number = 0};
                        if (world_chance(world, 70))
                                next = content = world_new_content(world);
                        else if (world_chance(world, 30))
                                next = content; /* what somebody wrote before */
                        post_reload(world, at_ns, next);
                        at_ns += (int64_t)world_random(world, (uint64_t)(30 * NS_PER_MS));
                }
        }
        const uint64_t stops = world_chance(world, 25) ? 1 + world_random(world, 3) : 0;
        int64_t stop_ns = (int64_t)world_random(world, (uint64_t)CHAOS_NS);
        for (uint64_t i = 0; i < stops; i++) {
                world_post(world, stop_ns,
                        (struct fleet_event){.kind = FLEET_STOP,
                                .signal = 15,
                                .is_hard = world_chance(world, 20),
                                .is_at_once = world_chance(world, 30),
                                .is_delivered = world_chance(world, 30)});
                stop_ns += (int64_t)world_random(world, (uint64_t)NS_PER_S);
        }
}

static bool is_quiet(const struct world *world) {
        return world->is_over || (world->pending_count == 0 && fleet_deadline(&world->fleet) == NS_FOREVER);
}

/* Nothing new goes wrong. Whatever has happened, it must come to rest, if need be after one good reload. */
static bool calm_down(struct world *world) {
        bool is_rescued = world_chance(world, 50);
        world->is_calm = true;
        if (!is_rescued) {
                if (!world_live(world, world->now_ns + CALM_NS))
                        return false;
                is_rescued = !is_quiet(world);
        }
        if (is_rescued && !world->is_over) {
                struct sim_content content = world_new_content(world);
                post_reload(world, 0, content);
                if (!world_live(world, world->now_ns + CALM_NS))
                        return false;
        }
        return world->is_over || oracle_calm(world, is_rescued);
}

static bool stop_all(struct world *world) {
        world_post(world, 0, (struct fleet_event){.kind = FLEET_STOP, .signal = 15});
        world_post(world, NS_PER_MS, (struct fleet_event){.kind = FLEET_STOP, .signal = 15});
        const int64_t limit_ns =
                world->now_ns + world->settings.drain_ns + world->settings.stop_timeout_ns + 30 * NS_PER_S;
        if (!world_live(world, limit_ns))
                return false;
        return world->is_over || oracle_object(world, "still there after STOP");
}

static bool seed_run(uint64_t seed, bool is_verbose) {
        static struct world world;
        world_init(&world, seed);
        world.is_verbose = is_verbose;
        operator_script(&world);
        return world_live(&world, NS_PER_S + CHAOS_NS) && (world.is_over || calm_down(&world)) &&
               (world.is_over || stop_all(&world));
}

/* A simulation in which something never happens proves nothing about it. */
static bool census_is_rich(uint64_t seeds) {
        const struct {
                const char *what;
                uint64_t count;
        } rows[] = {
                {"commits", census.commits},
                {"reverts", census.reverts},
                {"restores", census.restores},
                {"halts", census.halts},
                {"refusals", census.refusals},
                {"unchanged", census.unchanged},
                {"quiet", census.quiet},
                {"cancelled", census.cancelled},
                {"superseded", census.superseded},
                {"emergencies", census.emergencies},
                {"signals", census.signals},
                {"canaries", census.canaries},
                {"canaries passed", census.canaries_passed},
                {"drained stops", census.stop_drains},
                {"drains cut short", census.undrained},
                {"further stops", census.stops_again},
                {"give-ups", census.give_ups},
                {"steers", census.steers},
                {"emptied queues", census.emptied},
                {"drained requests", census.drained},
                {"recalled", census.recalled},
                {"kills", census.kills},
                {"stale events", census.stale},
                {"calm checks", census.calm_checks},
        };
        bool is_rich = true;
        printf("%" PRIu64 " seeds, %" PRIu64 " steps:", seeds, census.steps);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                printf(" %" PRIu64 " %s%s", rows[i].count, rows[i].what,
                        i + 1 < sizeof rows / sizeof rows[0] ? "," : "\n");
                is_rich &= rows[i].count > 0;
        }
        if (!is_rich && seeds >= 5000)
                printf("something never happened: the simulation proves nothing about it\n");
        return is_rich || seeds < 5000;
}

int main(int argc, char **argv) {
        uint64_t seeds = 20000;
        uint64_t from = 1;
        const bool is_verbose = argc == 3 && strcmp(argv[1], "-v") == 0;
        if (argc > 3 || (argc > 1 && !is_verbose && !text_to_u64(argv[1], &seeds)) ||
                (argc > 2 && !text_to_u64(argv[2], &from))) {
                fprintf(stderr, "usage: fleet [SEEDS] [FROM] | fleet -v SEED\n");
                return 64;
        }
        if (is_verbose)
                return seed_run(from, true) ? 0 : 1;
        for (uint64_t i = 0; i < seeds; i++)
                if (!seed_run(from + i, false)) {
                        printf("not ok 1 - the fleet keeps its promises (again, with words: -v %" PRIu64
                               ")\n",
                                from + i);
                        return 1;
                }
        if (!census_is_rich(seeds)) {
                printf("not ok 1 - the fleet keeps its promises\n");
                return 1;
        }
        printf("ok 1 - the fleet keeps its promises over %" PRIu64 " seeds\n1..1\n", seeds);
        return 0;
}
