/* The accept queues of generations that drain, and the sockets of those that are gone: listeners_settle().
 *
 * A generation whose last instance is to be stopped gets no new connection any more, but some may have begun
 * their handshake before the switch, and some may wait to be accepted. When those handshakes are over and its
 * queue, looked at every few milliseconds, has been empty for drain_quiet, the core hears of it. Only while
 * an instance drains: else nothing wakes up here. */

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/state.h"

#define LOOK_EVERY_NS      (5 * NS_PER_MS)
#define HANDSHAKE_EVERY_NS (20 * NS_PER_MS) /* asking for them walks a large table */
#define STEER_AGAIN_NS     (20 * NS_PER_MS)

static struct listener_drain *drain_of(struct listeners *listeners, uint64_t generation) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (listeners->drains[i].is_used && listeners->drains[i].generation == generation)
                        return &listeners->drains[i];
        return NULL;
}

static bool is_draining(const struct fleet *fleet, uint64_t generation) {
        for (uint32_t slot = 0; slot < fleet->settings.replicas; slot++)
                for (uint32_t place = 0; place < 2; place++) {
                        const struct fleet_instance *instance = fleet_instance_at(fleet, slot, place);

                        if (instance && instance->state == INSTANCE_DRAINING &&
                                instance->generation == generation)
                                return true;
                }
        return false;
}

static void drain_begin(struct listeners *listeners, uint64_t generation) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct listener_drain *drain = &listeners->drains[i];

                if (drain->is_used)
                        continue;
                drain->is_used = true;
                drain->is_told = false;
                drain->generation = generation;
                drain->empty_since_ns = NS_FOREVER;
                drain->handshakes.count = drain->handshakes.kept = 0;
                for (size_t k = 0; k < listeners->count; k++)
                        if (!listeners->list[k].why_shared)
                                listener_handshakes_note(&listeners->list[k], &drain->handshakes);
                return;
        }
}

static bool has_handshakes(struct listeners *listeners, struct listener_drain *drain) {
        if (drain->handshakes.count == 0)
                return false;
        for (size_t i = 0; i < listeners->count; i++)
                if (!listeners->list[i].why_shared)
                        listener_handshakes_look(&listeners->list[i], &drain->handshakes);
        return listener_handshakes_left(&drain->handshakes) > 0;
}

static bool are_stale(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->list[i].is_stale)
                        return true;
        return false;
}

/* Returns how soon somebody has to look again; NS_FOREVER: never. */
static int64_t drain_look(struct supervisor *supervisor, struct listener_drain *drain, int64_t now_ns) {
        bool is_late;

        if (!drain->is_used || drain->is_told)
                return NS_FOREVER;
        is_late = has_handshakes(&supervisor->listeners, drain) || are_stale(&supervisor->listeners);
        if (is_late || listeners_waiting(supervisor, drain->generation) > 0) {
                drain->empty_since_ns = NS_FOREVER;
                return is_late ? HANDSHAKE_EVERY_NS : LOOK_EVERY_NS;
        }
        if (drain->empty_since_ns == NS_FOREVER)
                drain->empty_since_ns = now_ns;
        if (now_ns - drain->empty_since_ns < supervisor->settings->drain_quiet_ns)
                return LOOK_EVERY_NS;
        drain->is_told = true;
        supervisor_push(
                supervisor, (struct fleet_event){.kind = FLEET_EMPTY, .generation = drain->generation});
        return NS_FOREVER;
}

static void watch_on_due(struct loop_timer *timer) {
        struct supervisor *supervisor = timer->owner;
        int64_t now_ns = time_now_ns();
        int64_t soonest_ns = NS_FOREVER;

        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                int64_t next_ns = drain_look(supervisor, &supervisor->listeners.drains[i], now_ns);

                soonest_ns = next_ns < soonest_ns ? next_ns : soonest_ns;
        }
        if (soonest_ns != NS_FOREVER)
                loop_timer_set(&supervisor->loop, timer, now_ns + soonest_ns);
}

static void drains_follow(struct supervisor *supervisor) {
        const struct fleet *fleet = &supervisor->fleet;
        struct listeners *listeners = &supervisor->listeners;
        bool is_new = false;

        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (listeners->drains[i].is_used && !is_draining(fleet, listeners->drains[i].generation))
                        listeners->drains[i].is_used = false;
        for (uint32_t slot = 0; slot < fleet->settings.replicas; slot++)
                for (uint32_t place = 0; place < 2; place++) {
                        const struct fleet_instance *instance = fleet_instance_at(fleet, slot, place);

                        if (!instance || instance->state != INSTANCE_DRAINING ||
                                drain_of(listeners, instance->generation))
                                continue;
                        drain_begin(listeners, instance->generation);
                        is_new = true;
                }
        if (!is_new)
                return;
        listeners->watch.on_due = watch_on_due;
        listeners->watch.owner = supervisor;
        loop_timer_set(&supervisor->loop, &listeners->watch, time_now_ns());
}

bool listeners_have_instance(const struct supervisor *supervisor, uint64_t generation) {
        for (size_t i = 0; i < supervisor->app_places; i++)
                if (supervisor->apps[i].is_used && supervisor->apps[i].generation == generation)
                        return true;
        return false;
}

/* Will nobody come back for it? The target's and the stable one's instances may be between two lives. */
static bool is_over(const struct supervisor *supervisor, const struct fleet_view *view,
        const struct listener_member *member) {
        uint64_t generation = member->generation;

        return !member->is_spare && member->weight == 0 &&
               !(view->has_target && view->target == generation) &&
               !(view->has_stable && view->stable == generation) &&
               !listeners_have_instance(supervisor, generation);
}

static void members_release(struct supervisor *supervisor, struct listener *listener) {
        struct fleet_view view;

        if (listener->why_shared || listener->member_count < 2)
                return;
        fleet_look(&supervisor->fleet, &view);
        for (size_t i = listener->member_count; i-- > 0;)
                if (i < listener->member_count && is_over(supervisor, &view, &listener->members[i]))
                        listener_member_drop(listener, listener->members[i].generation);
}

/* Nothing to do but to wake up: what is stale is tried again after every turn. */
static void again_on_due(struct loop_timer *timer) {
        (void)timer;
}

/* Where the kernel had no memory for the last program it still sends clients to whom the one before named:
 * until that is mended nobody who drains is taken for idle. The failure was said when it happened. */
static void programs_renew(struct supervisor *supervisor) {
        struct listeners *listeners = &supervisor->listeners;
        struct error error;

        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->list[i].is_stale && listener_program_set(&listeners->list[i], &error) == 0)
                        log_write(LOG_NOTICE, "the connections of '%s' are steered again",
                                listeners->list[i].name);
        if (!are_stale(listeners) || listeners->again.is_set)
                return;
        listeners->again.on_due = again_on_due;
        loop_timer_set(&supervisor->loop, &listeners->again, time_now_ns() + STEER_AGAIN_NS);
}

void listeners_settle(struct supervisor *supervisor) {
        listener_kept_settle(supervisor);
        if (!supervisor->fleet.settings.is_steered)
                return;
        programs_renew(supervisor);
        drains_follow(supervisor);
        for (size_t i = 0; i < supervisor->listeners.count; i++)
                members_release(supervisor, &supervisor->listeners.list[i]);
}
