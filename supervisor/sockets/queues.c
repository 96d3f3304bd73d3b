/* The accept queues of instances that are emptying, and the sockets of those that are gone:
 * listeners_settle().
 *
 * An instance that is to be stopped gets no new connection any more, but some may have begun their handshake
 * before the switch, and some may wait to be accepted. When those handshakes are over and its
 * queue, looked at every few milliseconds, has been empty for queue_quiet, the core hears of it. Only while
 * an instance drains: else nothing wakes up here. */

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define LOOK_EVERY_NS      (5 * NS_PER_MS)
#define HANDSHAKE_EVERY_NS (20 * NS_PER_MS) /* asking for them walks a large table */
#define STEER_AGAIN_NS     (20 * NS_PER_MS)

static struct listener_emptying *emptying_of(struct listeners *listeners, uint64_t number) {
        for (size_t i = 0; i < listeners->emptying_places; i++)
                if (listeners->emptyings[i].is_used && listeners->emptyings[i].number == number)
                        return &listeners->emptyings[i];
        return NULL;
}

static struct listener_handshakes *handshakes_of(
        struct listeners *listeners, const struct listener_emptying *emptying) {
        return &listeners->handshakes[emptying - listeners->emptyings];
}

static void handshake_hear(void *owner, const struct inquiry_record *record) {
        struct listener_emptying *emptying = owner;
        struct listener_handshakes *handshakes = handshakes_of(emptying->listeners, emptying);

        if (emptying->has_noted)
                listener_handshake_mark(handshakes, record->sample.cookie);
        else
                listener_handshake_note(handshakes, record->sample.cookie);
}

/* Where the kernel does not tell, none is known of. */
static void handshakes_on_end(void *owner, bool is_complete, int64_t spent_ns) {
        struct listener_emptying *emptying = owner;
        struct listeners *listeners = emptying->listeners;

        (void)is_complete;
        (void)spent_ns;
        if (emptying->has_noted)
                (void)listener_handshakes_left(handshakes_of(listeners, emptying));
        emptying->has_noted = true;
        emptying->looked_ns = time_now_ns();
        loop_timer_set(listeners->rooms.loop, &listeners->watch, emptying->looked_ns);
}

/* First which there are at the switch, when the queue is first read: STEER has been performed by then. Then
 * which of these there are still. */
static void handshakes_ask(struct listeners *listeners, struct listener_emptying *emptying) {
        struct inquiry_order order = {0};

        for (size_t i = 0; i < listeners->count; i++)
                if (!listeners->list[i].why_shared)
                        listener_handshakes_ask(&listeners->list[i], &order);
        inquiry_begin(&emptying->inquiry, listeners->rooms.loop, listeners->rooms.errands, &order);
}

/* Ask when it is time for it. Returns true while the answer is on its way. */
static bool is_asking(struct listeners *listeners, struct listener_emptying *emptying, int64_t now_ns) {
        const bool is_due =
                !emptying->has_noted || (handshakes_of(listeners, emptying)->count > 0 &&
                                                now_ns - emptying->looked_ns >= HANDSHAKE_EVERY_NS);

        if (is_due && !emptying->inquiry.is_running)
                handshakes_ask(listeners, emptying);
        return emptying->inquiry.is_running;
}

static void emptying_begin(struct listeners *listeners, const struct instance *instance) {
        size_t place = 0;

        while (place < listeners->emptying_places && listeners->emptyings[place].is_used)
                place++;
        assert(place < FLEET_INSTANCES_MAX);
        if (place == listeners->emptying_places)
                listeners->emptying_places++;
        listeners->emptyings[place] = (struct listener_emptying){.is_used = true,
                .number = instance->number,
                .seat = instance_seat(instance),
                .empty_since_ns = NS_FOREVER,
                .listeners = listeners,
                .inquiry = {.on_record = handshake_hear,
                        .on_end = handshakes_on_end,
                        .owner = &listeners->emptyings[place]}};
        listeners->handshakes[place].count = listeners->handshakes[place].seen = 0;
}

static bool programs_are_stale(const struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->list[i].is_stale)
                        return true;
        return false;
}

/* Check one generation. Returns after how many ns it has to be checked again; NS_FOREVER: never. */
static int64_t emptying_check(
        struct listeners *listeners, struct listener_emptying *emptying, int64_t now_ns) {
        bool is_late, is_unknown;

        if (!emptying->is_used || emptying->is_told)
                return NS_FOREVER;
        is_unknown = is_asking(listeners, emptying, now_ns);
        is_late = handshakes_of(listeners, emptying)->count > 0 || programs_are_stale(listeners);
        if (is_late || listeners_waiting(listeners, &emptying->seat) > 0) {
                emptying->empty_since_ns = NS_FOREVER;
                return is_late ? HANDSHAKE_EVERY_NS : LOOK_EVERY_NS;
        }
        if (emptying->empty_since_ns == NS_FOREVER)
                emptying->empty_since_ns = now_ns;
        if (is_unknown || now_ns - emptying->empty_since_ns < listeners->settings->queue_quiet_ns)
                return LOOK_EVERY_NS;
        emptying->is_told = true;
        facts_push(listeners->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_EMPTY, .instance = emptying->number});
        return NS_FOREVER;
}

static void watch_on_due(struct loop_timer *timer) {
        struct listeners *listeners = timer->owner;
        int64_t now_ns = time_now_ns();
        int64_t soonest_ns = NS_FOREVER;

        for (size_t i = 0; i < listeners->emptying_places; i++) {
                int64_t next_ns = emptying_check(listeners, &listeners->emptyings[i], now_ns);

                soonest_ns = next_ns < soonest_ns ? next_ns : soonest_ns;
        }
        if (soonest_ns != NS_FOREVER)
                loop_timer_set(listeners->rooms.loop, timer, now_ns + soonest_ns);
}

void listeners_empty(struct listeners *listeners, const struct instance *instance) {
        if (emptying_of(listeners, instance->number))
                return;
        emptying_begin(listeners, instance);
        listeners->watch.on_due = watch_on_due;
        listeners->watch.owner = listeners;
        loop_timer_set(listeners->rooms.loop, &listeners->watch, time_now_ns());
}

/* End the watch on generations that were recalled or are gone. */
static void emptyings_end(struct listeners *listeners) {
        for (size_t i = 0; i < listeners->emptying_places; i++)
                if (listeners->emptyings[i].is_used &&
                        !instance_is_emptying(listeners->rooms.instances, listeners->emptyings[i].number)) {
                        inquiry_end(&listeners->emptyings[i].inquiry);
                        listeners->emptyings[i].is_used = false;
                }
}

/* Another generation has the connections of its slot. */
static bool has_moved_on(const struct listeners *listeners, const struct seat *seat) {
        bool has_moved = false;

        for (size_t i = 0; i < listeners->share_count; i++) {
                if (listeners->shares[i].slot != seat->slot)
                        continue;
                if (listeners->shares[i].generation == seat->generation)
                        return false;
                has_moved = true;
        }
        return has_moved;
}

/* Will nobody come back for it? The target's and the stable one's instances may be between two lives. */
static bool is_over(const struct listeners *listeners, const struct fleet_view *view,
        const struct listener_member *member) {
        const struct seat *seat = &member->seat;
        const bool may_return = (view->has_target && view->target == seat->generation) ||
                                (view->has_stable && view->stable == seat->generation);

        return !member->is_spare && member->weight == 0 && (!may_return || has_moved_on(listeners, seat)) &&
               !instances_have_seat(listeners->rooms.instances, seat);
}

static void members_release(struct listeners *listeners, struct listener *listener) {
        struct fleet_view view;

        if (listener->why_shared || listener->member_count < 2)
                return;
        fleet_look(listeners->rooms.fleet, &view);
        for (size_t i = listener->member_count; i-- > 0;)
                if (i < listener->member_count && is_over(listeners, &view, &listener->members[i])) {
                        const struct seat seat = listener->members[i].seat;

                        listener_member_drop(listener, &seat);
                }
}

/* Only wakes the loop up: stale programs are attached again after every turn. */
static void again_on_due(struct loop_timer *timer) {
        (void)timer;
}

/* Where the kernel had no memory for the last program, it still goes by the one before: until a new one is
 * attached, no queue counts as empty. The failure was logged when it happened. */
static void programs_renew(struct listeners *listeners) {
        struct error error;

        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->list[i].is_stale && listener_program_set(&listeners->list[i], &error) == 0)
                        log_write(LOG_NOTICE, "the connections of '%s' are steered again",
                                listeners->list[i].name);
        if (!programs_are_stale(listeners) || listeners->again.is_set)
                return;
        listeners->again.on_due = again_on_due;
        loop_timer_set(listeners->rooms.loop, &listeners->again, time_now_ns() + STEER_AGAIN_NS);
}

void listeners_settle(struct listeners *listeners) {
        listener_kept_settle(listeners);
        if (!listeners->rooms.fleet->settings.is_steered)
                return;
        programs_renew(listeners);
        emptyings_end(listeners);
        for (size_t i = 0; i < listeners->count; i++)
                members_release(listeners, &listeners->list[i]);
}
