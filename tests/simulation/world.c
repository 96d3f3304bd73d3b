/* The world of the simulation: what processes, loaders and operators do, drawn from one seed.
 *
 * A fact is posted with the time at which the fleet is told. Facts come late, twice, out of order and about
 * instances that are long gone, as in life. In the calm at the end of a run nothing new goes wrong: that is
 * when promises about "in the end" are due. */

#include <stdio.h>
#include <string.h>

#include "tests/simulation/world.h"

struct sim_census census;

uint64_t world_random(struct world *world, uint64_t below) {
        uint64_t x = world->random += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (x ^ (x >> 31)) % below;
}

bool world_chance(struct world *world, uint64_t percent) {
        return world_random(world, 100) < percent;
}

static bool mishap(struct world *world, uint64_t percent) {
        return world_chance(world, percent) && !world->is_calm;
}

static int64_t pick(struct world *world, const int64_t *list, size_t count) {
        return list[world_random(world, count)];
}
#define PICK(world, ...)                                                                                     \
        pick(world, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

void world_post(struct world *world, int64_t delay_ns, struct fleet_event event) {
        if (world->pending_count == SIM_PENDING_MAX)
                return;
        world->pending[world->pending_count++] = (struct sim_pending){
                .at_ns = world->now_ns + delay_ns, .order = ++world->order_last, .event = event};
}

struct sim_content world_new_content(struct world *world) {
        struct sim_content content = {.number = ++world->content_last, .quality = QUALITY_GOOD};
        if (mishap(world, 40))
                content.quality = (enum sim_quality)(1 + world_random(world, QUALITY_COUNT - 1));
        content.does_not_load = mishap(world, 12);
        return content;
}

struct sim_instance *world_find(struct world *world, uint64_t number) {
        for (size_t i = 0; i < SIM_INSTANCES_MAX; i++)
                if (world->instances[i].is_live && world->instances[i].number == number)
                        return &world->instances[i];
        return NULL;
}

static void settings_draw(struct world *world) {
        struct fleet_settings *s = &world->settings;
        static const uint32_t limits[][2] = {
                {0, 1}, {0, 1}, {1, 0}, {1, 0}, {1, 1}, {2, 0}, {0, 2}, {6, 0}, {0, 6}, {2, 2}, {0, 0}};
        const uint64_t strategy = world_random(world, sizeof limits / sizeof limits[0]);
        *s = (struct fleet_settings){
                .replicas = (uint32_t)(1 + (world_chance(world, 40) ? 0 : world_random(world, 6))),
                .surge_max = limits[strategy][0],
                .unavailable_max = limits[strategy][1],
                .failures_max = (uint32_t)world_random(world, 4),
                .is_revert_off = world_chance(world, 12),
                .is_steered = world_chance(world, 35),
                .is_signalled = world_chance(world, 15),
                .canary_percent = (uint32_t)PICK(world, 0, 0, 1, 10, 50, 200),
                .canary_ns = PICK(world, 0, 700 * NS_PER_MS, 5 * NS_PER_S),
                .drain_ns = PICK(world, 0, 0, 300 * NS_PER_MS, 4 * NS_PER_S),
                .load_timeout_ns = PICK(world, NS_PER_S, 5 * NS_PER_S),
                .ready_timeout_ns = PICK(world, 2 * NS_PER_S, 5 * NS_PER_S),
                .healthy_min_ns = PICK(world, 0, 500 * NS_PER_MS, NS_PER_S, 3 * NS_PER_S),
                .hold_ns = PICK(world, 0, 0, 2 * NS_PER_S),
                .queue_timeout_ns = PICK(world, 0, NS_PER_S),
                .drain_timeout_ns = PICK(world, 0, 300 * NS_PER_MS, 4 * NS_PER_S),
                .stop_timeout_ns = PICK(world, 0, 500 * NS_PER_MS, 5 * NS_PER_S),
                .emergency_timeout_ns = PICK(world, 0, 300 * NS_PER_MS, 8 * NS_PER_S),
                .progress_timeout_ns = PICK(world, 0, 0, 20 * NS_PER_S),
                .previous_keep_ns = PICK(world, 0, 10 * NS_PER_S),
                .restart = (enum fleet_restart)PICK(world, FLEET_RESTART_NO, FLEET_RESTART_ON_FAILURE,
                        FLEET_RESTART_ALWAYS, FLEET_RESTART_ALWAYS),
                .restart_delay_ns = PICK(world, 0, 100 * NS_PER_MS, NS_PER_S),
                .restart_delay_max_ns = PICK(world, 2 * NS_PER_S, 8 * NS_PER_S),
                .restart_reset_ns = PICK(world, 2 * NS_PER_S, 10 * NS_PER_S),
                .restart_limit = (uint32_t)PICK(world, 0, 0, 5),
                .jitter_seed = world->seed,
        };
}

void world_init(struct world *world, uint64_t seed) {
        memset(world, 0, sizeof *world);
        world->seed = seed;
        world->random = seed * UINT64_C(0x2545f4914f6cdd1d) + 88172645463325252u;
        world->now_ns = NS_PER_S;
        settings_draw(world);
        world->content = world_new_content(world);
        fleet_init(&world->fleet, &world->settings);
        world->settings.is_steered &= !world->settings.is_signalled;
        world_post(world, 0, (struct fleet_event){.kind = FLEET_START});
}

static int64_t draw_ns(struct world *world, int64_t below_ns) {
        return below_ns > 0 ? (int64_t)world_random(world, (uint64_t)below_ns) : 0;
}

static void post_about(struct world *world, const struct sim_instance *instance, int64_t delay_ns,
        enum fleet_event_kind kind, int32_t status) {
        struct fleet_event event = {.kind = kind, .instance = instance->number, .status = status};
        event.has_leftovers = kind == FLEET_EXITED && mishap(world, 15);
        if (kind == FLEET_EXITED && status > 128) {
                event.is_signal = true;
                event.status = status - 128;
        }
        event.is_permanent = kind == FLEET_SPAWN_FAILED && status != 125;
        event.delay_ns = NS_PER_S;
        world_post(world, delay_ns, event);
}

/* A life without fault of its own content, with what chance adds to it. */
static void live_well(struct world *world, const struct sim_instance *instance, int64_t ready_ns) {
        static const int32_t statuses[] = {0, 1, 139};
        if (mishap(world, 4)) {
                post_about(world, instance, ready_ns / 2, FLEET_EXITED, 1);
                return;
        }
        if (mishap(world, 3))
                return; /* hangs before it is ready */
        if (mishap(world, 5))
                post_about(world, instance, ready_ns / 3, FLEET_EXTEND, 0);
        post_about(world, instance, ready_ns, FLEET_READY, 0);
        if (mishap(world, 12))
                post_about(world, instance, ready_ns + draw_ns(world, 20 * NS_PER_S), FLEET_EXITED,
                        statuses[world_random(world, 3)]);
        if (mishap(world, 4))
                post_about(world, instance, ready_ns + draw_ns(world, 20 * NS_PER_S), FLEET_UNHEALTHY, 0);
}

static void instance_begin(struct world *world, const struct fleet_action *action) {
        struct sim_instance *instance = world_find(world, action->instance);
        const struct sim_content content = world->generations[action->generation].content;
        enum sim_quality quality = content.quality;
        const int64_t ready_ns = 5 * NS_PER_MS + draw_ns(world, 1500 * NS_PER_MS);
        const int64_t soon_ns = draw_ns(world, world->settings.healthy_min_ns);
        instance->ignores_stop = mishap(world, 8);
        instance->survives_kill = mishap(world, 2);
        instance->stop_status = (int32_t)PICK(world, 0, 143, 143, 1);
        if (mishap(world, 5)) {
                post_about(world, instance, draw_ns(world, 5 * NS_PER_MS), FLEET_SPAWN_FAILED, 125);
                return;
        }
        if (quality == QUALITY_NOT_EXECUTABLE || mishap(world, 1)) {
                post_about(world, instance, draw_ns(world, 5 * NS_PER_MS), FLEET_SPAWN_FAILED, 126);
                return;
        }
        if (!mishap(world, 3))
                post_about(world, instance, draw_ns(world, 5 * NS_PER_MS), FLEET_SPAWNED, 0);
        if (soon_ns == 0 && (quality == QUALITY_EXITS_SOON || quality == QUALITY_UNHEALTHY))
                quality = QUALITY_EXITS_AT_BOOT;
        if (quality == QUALITY_EXITS_AT_BOOT)
                post_about(world, instance, draw_ns(world, 200 * NS_PER_MS), FLEET_EXITED, 1);
        if (quality == QUALITY_EXITS_SOON || quality == QUALITY_UNHEALTHY) {
                post_about(world, instance, ready_ns, FLEET_READY, 0);
                post_about(world, instance, ready_ns + soon_ns,
                        quality == QUALITY_UNHEALTHY ? FLEET_UNHEALTHY : FLEET_EXITED, 1);
        }
        if (quality == QUALITY_GOOD)
                live_well(world, instance, ready_ns);
}

/* What the former content would have done to it does not come to pass. */
static void fate_forget(struct world *world, uint64_t instance) {
        size_t kept = 0;
        for (size_t i = 0; i < world->pending_count; i++) {
                const struct fleet_event *event = &world->pending[i].event;
                if (event->instance != instance ||
                        (event->kind != FLEET_EXITED && event->kind != FLEET_UNHEALTHY))
                        world->pending[kept++] = world->pending[i];
        }
        world->pending_count = kept;
}

/* It reads the new content while it serves. One that is not made for the signal dies of it. */
static void instance_signalled(struct world *world, const struct fleet_action *action) {
        const struct sim_instance *instance = world_find(world, action->instance);
        const enum sim_quality quality = world->generations[action->generation].content.quality;
        const int64_t soon_ns = draw_ns(world, world->settings.healthy_min_ns);
        if (world->is_calm)
                fate_forget(world, action->instance);
        if (quality == QUALITY_EXITS_AT_BOOT || quality == QUALITY_EXITS_SOON || mishap(world, 5))
                post_about(world, instance, soon_ns, FLEET_EXITED, 129);
        else if (quality == QUALITY_UNHEALTHY)
                post_about(world, instance, soon_ns, FLEET_UNHEALTHY, 0);
}

static void load_begin(struct world *world, uint32_t load) {
        struct fleet_event event = {.kind = FLEET_LOADED, .load = load};
        if (mishap(world, 5))
                return; /* hangs */
        if (world->content.does_not_load || mishap(world, 3)) {
                event.kind = FLEET_LOAD_FAILED;
                event.status = 65;
        }
        const size_t before = world->pending_count;
        world_post(world, NS_PER_MS + draw_ns(world, 300 * NS_PER_MS), event);
        if (world->pending_count > before)
                world->pending[before].content = world->content;
}

/* Who gets no more connections has an empty queue soon. Only who was told so is watched. */
static void queue_watch(struct world *world, const struct sim_instance *instance) {
        if (!mishap(world, 25))
                post_about(world, instance, 50 * NS_PER_MS + draw_ns(world, 100 * NS_PER_MS), FLEET_EMPTY, 0);
}

/* Its requests come to an end, or not before the time is over. */
static void requests_watch(struct world *world, const struct sim_instance *instance) {
        if (!mishap(world, 25))
                post_about(world, instance, draw_ns(world, 400 * NS_PER_MS), FLEET_IDLE, 0);
}

/* It empties no more: what the watch would have said it does not say. */
static void queue_forget(struct world *world, uint64_t instance) {
        size_t kept = 0;
        for (size_t i = 0; i < world->pending_count; i++) {
                const struct fleet_event *event = &world->pending[i].event;
                if ((event->kind != FLEET_EMPTY && event->kind != FLEET_IDLE) || event->instance != instance)
                        world->pending[kept++] = world->pending[i];
        }
        world->pending_count = kept;
}

static void perform(struct world *world, const struct fleet_action *action) {
        const struct sim_instance *instance = world_find(world, action->instance);
        switch (action->kind) {
        case FLEET_DO_LOAD:
                load_begin(world, action->load);
                break;
        case FLEET_DO_SPAWN:
                instance_begin(world, action);
                break;
        case FLEET_DO_SIGNAL:
                instance_signalled(world, action);
                break;
        case FLEET_DO_EMPTY:
                queue_watch(world, instance);
                break;
        case FLEET_DO_DRAIN:
                requests_watch(world, instance);
                break;
        case FLEET_DO_RECALL:
                queue_forget(world, action->instance);
                break;
        case FLEET_DO_STOP:
                queue_forget(world, action->instance);
                if (!instance->ignores_stop)
                        post_about(world, instance,
                                (world_chance(world, 70) ? action->delay_ns : 0) +
                                        draw_ns(world, 400 * NS_PER_MS),
                                FLEET_EXITED, instance->stop_status);
                break;
        case FLEET_DO_KILL:
                if (!instance) /* what it left behind: that comes to its end anyway */
                        break;
                post_about(world, instance,
                        instance->survives_kill ? 25 * NS_PER_S : draw_ns(world, 5 * NS_PER_MS), FLEET_EXITED,
                        137);
                break;
        case FLEET_DO_SWEEP:
                world_post(world, draw_ns(world, 6 * NS_PER_S),
                        (struct fleet_event){.kind = FLEET_SWEPT, .generation = action->generation});
                break;
        case FLEET_DO_STEER:
        case FLEET_DO_CANCEL_LOAD: /* its answer may still come */
        case FLEET_DO_DROP:
        case FLEET_DO_REPORT:
        case FLEET_DO_EXIT:
                break;
        }
}

static void narrate(
        const struct world *world, const struct fleet_event *event, const struct fleet_actions *actions) {
        printf("%.6f event %d instance %llu generation %llu load %u status %d\n",
                (double)world->now_ns / NS_PER_S, (int)event->kind, (unsigned long long)event->instance,
                (unsigned long long)event->generation, event->load, event->status);
        for (size_t i = 0; i < actions->count; i++) {
                const struct fleet_action *a = &actions->list[i];
                static const char *const names[] = {"LOAD", "CANCEL", "SPAWN", "SIGNAL", "EMPTY", "DRAIN",
                        "RECALL", "STOP", "KILL", "SWEEP", "DROP", "STEER", "REPORT", "EXIT"};
                printf("    %s slot %u instance %llu generation %llu report %d reason %d status %d delay "
                       "%lld\n",
                        names[a->kind], a->slot, (unsigned long long)a->instance,
                        (unsigned long long)a->generation, (int)a->report, (int)a->reason, a->status,
                        (long long)a->delay_ns);
        }
}

/* Tell one fact, judge the answer, do what it says. */
static bool tell(struct world *world, const struct fleet_event *event, const struct sim_content *content) {
        static struct fleet_actions actions;
        world->told_ns = world->now_ns;
        if (event->kind == FLEET_EXITED && event->has_leftovers && world_find(world, event->instance))
                post_about(world, world_find(world, event->instance), draw_ns(world, 6 * NS_PER_S),
                        FLEET_CLEARED, 0);
        oracle_told(world, event, content);
        fleet_step(&world->fleet, event, &actions);
        if (world->is_verbose)
                narrate(world, event, &actions);
        if (!oracle_judge(world, event, &actions))
                return false;
        for (size_t i = 0; i < actions.count; i++)
                perform(world, &actions.list[i]);
        return true;
}

/* A fact about what is no more, at a time that has been: nothing may change, not one byte. */
static bool tell_stale(struct world *world) {
        static const enum fleet_event_kind kinds[] = {FLEET_SPAWNED, FLEET_SPAWN_FAILED, FLEET_READY,
                FLEET_UNHEALTHY, FLEET_EXITED, FLEET_EXTEND, FLEET_LOAD_FAILED, FLEET_EMPTY};
        static struct fleet_actions actions;
        static struct fleet before;
        if (world->stale_count == 0 || world->is_over)
                return true;
        struct fleet_event event = {.kind = kinds[world_random(world, 8)], .status = 1};
        event.instance = world->stale[world_random(world, world->stale_count)];
        event.load = world->load_live ? world->load_live - 1 : world->load_last;
        before = world->fleet;
        fleet_step(&world->fleet, &event, &actions);
        census.stale++;
        if (actions.count > 0 ||
                memcmp((const uint8_t *)&before, (const uint8_t *)&world->fleet, sizeof before) != 0)
                return oracle_object(world, "a stale event (kind %d, instance %llu) changed something",
                        (int)event.kind, (unsigned long long)event.instance);
        return true;
}

static bool take_pending(struct world *world, size_t index) {
        struct sim_pending next = world->pending[index];
        world->pending[index] = world->pending[--world->pending_count];
        struct fleet_event *event = &next.event;
        event->now_ns = world->now_ns;
        if (mishap(world, 3) && world->told_ns > 0) {
                world->now_ns = world->told_ns; /* measured before the last one, told after it */
                event->now_ns = world->told_ns - draw_ns(world, NS_PER_S);
        }
        if (event->kind == FLEET_LOADED) {
                if (world->generation_next + 1 >= SIM_GENERATIONS_MAX)
                        return true;
                event->generation = ++world->generation_next;
                memset(event->digest, (int)next.content.number, sizeof event->digest);
                event->digest[0] = (uint8_t)(next.content.number >> 8);
        }
        if (event->kind == FLEET_RELOAD && next.content.number > 0)
                world->content = next.content;
        if (!tell(world, event, &next.content))
                return false;
        const bool is_answer = event->kind >= FLEET_LOADED && event->kind <= FLEET_EXITED;
        return !is_answer || !mishap(world, 4) || tell(world, event, &next.content);
}

bool world_live(struct world *world, int64_t until_ns) {
        while (!world->is_over) {
                size_t next = world->pending_count;
                int64_t at_ns = NS_FOREVER;
                for (size_t i = 0; i < world->pending_count; i++) {
                        const struct sim_pending *one = &world->pending[i];
                        if (one->at_ns < at_ns ||
                                (one->at_ns == at_ns && one->order < world->pending[next].order)) {
                                next = i;
                                at_ns = one->at_ns;
                        }
                }
                const int64_t deadline_ns = fleet_deadline(&world->fleet);
                const int64_t next_ns = at_ns < deadline_ns ? at_ns : deadline_ns;
                if (next_ns > until_ns || next_ns == NS_FOREVER)
                        break;
                if (++world->steps > SIM_STEPS_MAX)
                        return oracle_object(world, "a storm: no rest after %d steps", SIM_STEPS_MAX);
                if (next_ns > world->now_ns)
                        world->now_ns = next_ns;
                if (mishap(world, 3) && !tell_stale(world))
                        return false;
                if (deadline_ns < at_ns) {
                        /* the process was not scheduled at once */
                        if (mishap(world, 10))
                                world->now_ns += draw_ns(world, 20 * NS_PER_MS);
                        if (!tell(world, &(struct fleet_event){.kind = FLEET_TICK, .now_ns = world->now_ns},
                                    NULL))
                                return false;
                } else if (!take_pending(world, next)) {
                        return false;
                }
        }
        if (until_ns < NS_FOREVER && world->now_ns < until_ns)
                world->now_ns = until_ns;
        return true;
}
