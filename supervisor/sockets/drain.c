/* Looks at the connections that an instance has taken, until none of its requests runs: see listeners.h.
 * Called for one whose accept queue is empty, in the supervisor; the rules are core/drain.c, and inquiry.h
 * asks.
 *
 * Only connections over tcp that came through a socket of the instance's own are seen. Of a unix socket the
 * kernel tells unread bytes and no more; of a shared one nobody knows whose a connection is. Where
 * sock_diag(7) says nothing (another network namespace, a kernel without it) the instance is taken for idle,
 * as if nobody had looked. */

#include <string.h>
#include <sys/socket.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/sockets/listener.h"

#define LOOK_EVERY_NS   (5 * NS_PER_MS)
#define LOOK_COST_TIMES 20 /* looking takes at most a twentieth of the time */

/* net/tcp_states.h; linux/tcp.h has no names for them */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE_WAIT  8

static void idle_tell(struct listener_drain *drain) {
        const int64_t now_ns = time_now_ns();
        char took[32];

        drain->is_told = true;
        if (drain->drain.busy_first)
                log_write(LOG_INFO, "%zu request%s of generation %llu ran: waited for %s",
                        drain->drain.busy_first, drain->drain.busy_first == 1 ? "" : "s",
                        (unsigned long long)drain->seat.generation,
                        duration_format(now_ns - drain->drain.began_ns, took));
        facts_push(drain->listeners->rooms.facts, now_ns,
                (struct fleet_event){.kind = FLEET_IDLE, .instance = drain->instance});
}

static bool is_wanted(const struct listener_drain *drain) {
        const struct instance *instance =
                instance_by_number(drain->listeners->rooms.instances, drain->instance);

        return drain->is_ending || (instance && instance->is_emptying);
}

static void connection_look(void *owner, const struct inquiry_record *record) {
        struct listener_drain *drain = owner;
        enum drain_verdict verdict;

        drain_look_resume(&drain->drain, time_now_ns());
        verdict = drain_look_add(&drain->drain, &record->sample);
        if ((verdict == DRAIN_IDLE && !drain_is_unanswered(&drain->drain, &record->sample)) ||
                drain->open_count == DRAIN_CONNECTIONS_MAX)
                return;
        drain->open[drain->open_count].cookie = record->sample.cookie;
        drain->open[drain->open_count].family = record->family;
        drain->open[drain->open_count++].id = record->id;
}

static void look_on_end(void *owner, bool is_complete, int64_t spent_ns) {
        struct listener_drain *drain = owner;

        if (!is_wanted(drain)) {
                listener_drain_release(drain);
                return;
        }
        drain_look_resume(&drain->drain, time_now_ns());
        if (!is_complete)
                log_write(LOG_INFO, "the kernel does not tell whether requests run: not waiting for them");
        if (drain_look_end(&drain->drain) || !is_complete)
                idle_tell(drain);
        else
                loop_timer_set(drain->listeners->rooms.loop, &drain->timer,
                        time_add(time_now_ns(), LOOK_EVERY_NS + LOOK_COST_TIMES * spent_ns));
}

/* Returns false when it cannot be seen whether requests run. */
static bool order_fill(struct listener_drain *drain, struct inquiry_order *order) {
        struct listeners *listeners = drain->listeners;

        for (size_t i = 0; i < listeners->count; i++) {
                struct listener *listener = &listeners->list[i];
                const struct listener_member *member = listener_member_of(listener, &drain->seat);

                if (listener->why_shared || !member)
                        continue;
                if (!member->tag)
                        return false;
                order->ports[order->count].tag = member->tag;
                order->ports[order->count++].request =
                        (struct listener_diag_request){.family = (uint8_t)listener->address.generic.sa_family,
                                .port = socket_address_port(&listener->address),
                                .states = 1U << STATE_ESTABLISHED | 1U << STATE_CLOSE_WAIT,
                                .extensions = 1U << (INET_DIAG_INFO - 1)};
        }
        return true;
}

static void drain_look(struct listener_drain *drain) {
        const struct listeners *listeners = drain->listeners;
        struct inquiry_order order = {.wants_samples = true};

        if (!is_wanted(drain)) {
                listener_drain_release(drain);
                return;
        }
        drain_look_begin(&drain->drain, time_now_ns());
        drain->open_count = 0;
        if (!order_fill(drain, &order))
                look_on_end(drain, false, 0);
        else
                inquiry_begin(&drain->inquiry, listeners->rooms.loop, listeners->rooms.errands, &order);
}

static void drain_on_due(struct loop_timer *timer) {
        drain_look(timer->owner);
}

struct listener_drain *listener_drain_of(struct listeners *listeners, uint64_t instance) {
        for (size_t i = 0; i < listeners->drain_places; i++)
                if (listeners->drains[i].is_used && listeners->drains[i].instance == instance)
                        return &listeners->drains[i];
        return NULL;
}

static struct listener_drain *drain_unused(struct listeners *listeners) {
        for (size_t i = 0; i < listeners->drain_places; i++)
                if (!listeners->drains[i].is_used || !is_wanted(&listeners->drains[i]))
                        return &listeners->drains[i];
        if (listeners->drain_places < LISTENER_DRAINS_MAX)
                return &listeners->drains[listeners->drain_places++];
        return NULL;
}

struct listener_drain *listener_drain_new(struct listeners *listeners, const struct instance *instance) {
        struct listener_drain *drain = drain_unused(listeners);

        if (!drain)
                return NULL;
        if (drain->is_used)
                listener_drain_release(drain);
        drain->is_used = true;
        drain->is_told = drain->is_ending = drain->has_ended = drain->takes_all = false;
        drain->instance = instance->number;
        drain->seat = instance_seat(instance);
        drain->listeners = listeners;
        drain->timer = (struct loop_timer){.on_due = drain_on_due, .owner = drain};
        drain->inquiry =
                (struct inquiry){.on_record = connection_look, .on_end = look_on_end, .owner = drain};
        drain->cut = drain->open_count = 0;
        drain_begin(&drain->drain, &listeners->settings->drain, time_now_ns());
        return drain;
}

void listener_drain_release(struct listener_drain *drain) {
        loop_timer_clear(drain->listeners->rooms.loop, &drain->timer);
        inquiry_end(&drain->inquiry);
        drain->is_used = drain->is_ending = false;
}

void listeners_drain(struct listeners *listeners, const struct instance *instance) {
        struct listener_drain *drain = listener_drain_of(listeners, instance->number);

        if (drain) /* it was recalled, and drains again */
                listener_drain_release(drain);
        drain = listener_drain_new(listeners, instance);
        if (!drain) { /* not more than there are instances */
                facts_push(listeners->rooms.facts, time_now_ns(),
                        (struct fleet_event){.kind = FLEET_IDLE, .instance = instance->number});
                return;
        }
        drain_look(drain);
}

size_t listeners_requests(const struct listeners *listeners, uint64_t instance) {
        for (size_t i = 0; i < listeners->drain_places; i++)
                if (listeners->drains[i].is_used && listeners->drains[i].instance == instance)
                        return listeners->drains[i].drain.busy;
        return 0;
}
