/* Looks at the connections that an instance has taken, until none of its requests runs: see listeners.h.
 * Called for one whose accept queue is empty, in the supervisor; the rules are core/drain.c.
 *
 * Only connections over tcp that came through a socket of the instance's own are seen. Of a unix socket the
 * kernel tells unread bytes and no more; of a shared one nobody knows whose a connection is. Where
 * sock_diag(7) says nothing (another network namespace, a kernel without it) the instance is taken for idle,
 * as if nobody had looked. */

#include <linux/inet_diag.h>
#include <linux/tcp.h>
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

struct look {
        struct drain *drain;
        uint8_t tag;
        bool is_blind; /* a connection came without its tag or its counters */
};

static void connection_look(
        void *context, const struct inet_diag_msg *message, const uint8_t *attributes, size_t length) {
        const size_t wanted_bytes = offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof(uint64_t);
        struct look *look = context;
        const int tag = listener_tag_read(attributes, length);
        struct tcp_info info = {0};
        size_t info_bytes = 0;
        const uint8_t *at = listener_attribute_find(attributes, length, INET_DIAG_INFO, &info_bytes);

        if (tag < 0 || !at || info_bytes < wanted_bytes) {
                look->is_blind = true;
                return;
        }
        if (tag != look->tag)
                return;
        memcpy(&info, at, info_bytes < sizeof info ? info_bytes : sizeof info);
        drain_look_add(look->drain,
                &(struct drain_sample){
                        .cookie = (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0],
                        .received_bytes = info.tcpi_bytes_received,
                        .sent_bytes = info.tcpi_bytes_sent,
                        .received_ago_ms = info.tcpi_last_data_recv,
                        .sent_ago_ms = info.tcpi_last_data_sent,
                        .acknowledged_ago_ms = info.tcpi_last_ack_recv,
                        .unread_bytes = message->idiag_rqueue,
                        .unsent_bytes = info.tcpi_notsent_bytes,
                        .is_half_closed = message->idiag_state == STATE_CLOSE_WAIT});
}

/* Returns false when it cannot be seen whether requests run. */
static bool listener_look(struct listener *listener, struct listener_drain *drain) {
        const struct listener_member *member = listener_member_of(listener, &drain->seat);
        const struct listener_diag_request wanted = {.family = (uint8_t)listener->address.generic.sa_family,
                .port = socket_address_port(&listener->address),
                .states = 1U << STATE_ESTABLISHED | 1U << STATE_CLOSE_WAIT,
                .extensions = 1U << (INET_DIAG_INFO - 1)};
        struct look look = {.drain = &drain->drain};

        if (!member)
                return true;
        look.tag = member->tag;
        return member->tag && listener_diag_attributes_each(&wanted, connection_look, &look) &&
               !look.is_blind;
}

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

        return instance && instance->is_emptying;
}

static void drain_look(struct listener_drain *drain) {
        struct listeners *listeners = drain->listeners;
        const int64_t began_ns = time_now_ns();
        bool sees = true;

        if (!is_wanted(drain)) {
                drain->is_used = false;
                return;
        }
        drain_look_begin(&drain->drain, began_ns);
        for (size_t i = 0; sees && i < listeners->count; i++)
                sees = listeners->list[i].why_shared || listener_look(&listeners->list[i], drain);
        if (!sees)
                log_write(LOG_INFO, "the kernel does not tell whether requests run: not waiting for them");
        if (drain_look_end(&drain->drain) || !sees)
                idle_tell(drain);
        else
                loop_timer_set(listeners->rooms.loop, &drain->timer,
                        began_ns + LOOK_EVERY_NS + LOOK_COST_TIMES * (time_now_ns() - began_ns));
}

static void drain_on_due(struct loop_timer *timer) {
        drain_look(timer->owner);
}

static struct listener_drain *drain_unused(struct listeners *listeners) {
        for (size_t i = 0; i < LISTENER_DRAINS_MAX; i++)
                if (!listeners->drains[i].is_used || !is_wanted(&listeners->drains[i]))
                        return &listeners->drains[i];
        return NULL;
}

void listeners_drain(struct listeners *listeners, const struct instance *instance) {
        struct listener_drain *drain = drain_unused(listeners);

        if (!drain) { /* not more than there are replicas */
                facts_push(listeners->rooms.facts, time_now_ns(),
                        (struct fleet_event){.kind = FLEET_IDLE, .instance = instance->number});
                return;
        }
        loop_timer_clear(listeners->rooms.loop, &drain->timer);
        drain->is_used = true;
        drain->is_told = false;
        drain->instance = instance->number;
        drain->seat = instance_seat(instance);
        drain->listeners = listeners;
        drain->timer.on_due = drain_on_due;
        drain->timer.owner = drain;
        drain_begin(&drain->drain, &listeners->settings->drain, time_now_ns());
        drain_look(drain);
}

size_t listeners_requests(const struct listeners *listeners, uint64_t instance) {
        for (size_t i = 0; i < LISTENER_DRAINS_MAX; i++)
                if (listeners->drains[i].is_used && listeners->drains[i].instance == instance)
                        return listeners->drains[i].drain.busy;
        return 0;
}
