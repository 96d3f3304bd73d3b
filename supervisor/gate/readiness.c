/* When an instance is ready: see readiness.h.
 *
 * Runs in the supervisor. The room that sees a sign (the exec pipe, an answered listen(2), the notify socket,
 * a probe) calls signs_note(); when none is missing, FLEET_READY is pushed. No sign is taken back: an
 * instance that is ready and then fails is unhealthy, or ends. */

#include "supervisor/gate/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"

#define SLOW_NS_MAX   (5 * NS_PER_S)
#define MISSING_BYTES 128

/* What the log says of a sign that did not come. */
static const char *const sign_texts[] = {
        [READINESS_AUTO] = "",
        [READINESS_EXEC] = "not executed",
        [READINESS_LISTEN] = "does not listen",
        [READINESS_NOTIFY] = "no READY=1",
        [READINESS_FD] = "no newline on its ready descriptor",
        [READINESS_PROBE] = "no good health check",
        [READINESS_DELAY] = "not up long enough",
};

/* Where probes are configured, a successful one is always wanted, beside other signs. */
static unsigned signs_wanted(
        const struct readiness_settings *settings, enum probe_kind kind, bool sees_listen) {
        unsigned probe = kind == PROBE_NONE ? 0 : sign_bit(READINESS_PROBE);

        if (settings->ready != READINESS_AUTO)
                return sign_bit(settings->ready) | probe;
        if (settings->has_adopted || (!probe && sees_listen))
                return sign_bit(READINESS_LISTEN) | probe;
        return probe ? probe : sign_bit(READINESS_EXEC);
}

static struct readiness_watch *watch_of(struct readiness_gate *gate, const struct instance *instance) {
        return &gate->watches[instance_place(instance)];
}

/* All signs have come: from now on watchdog and health checks of a ready instance run. */
static void signs_on_complete(void *owner, struct instance *instance) {
        struct readiness_gate *gate = owner;

        loop_timer_clear(gate->rooms.loop, &watch_of(gate, instance)->slow);
        notify_ready(gate->rooms.notify, instance);
        health_ready(gate->rooms.health, instance);
        facts_push(gate->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_READY, .instance = instance->number});
}

void readiness_open(struct readiness_gate *gate, const struct readiness_rooms *rooms,
        const struct readiness_settings *settings, bool sees_listen, int64_t ready_timeout_ns) {
        gate->settings = settings;
        gate->slow_ns = ready_timeout_ns > 0 && ready_timeout_ns / 10 < SLOW_NS_MAX ? ready_timeout_ns / 10
                                                                                    : SLOW_NS_MAX;
        gate->rooms = *rooms;
        gate->wanted = signs_wanted(settings, rooms->health->settings->probe.kind, sees_listen);
        snprintf(gate->fd_variable, sizeof gate->fd_variable, "TACET_READY_FD=%d", settings->fd_number);
        rooms->instances->on_complete = signs_on_complete;
        rooms->instances->owner = gate;
}

static void pipe_close(struct readiness_watch *watch) {
        if (!watch->is_piped)
                return;
        loop_remove(watch->gate->rooms.loop, &watch->pipe);
        fd_cleanup(&watch->pipe.fd);
        watch->is_piped = false;
}

/* What comes before the newline is ignored; without a newline there is no sign. */
static void pipe_on_readable(struct loop_source *source) {
        struct readiness_watch *watch = source->owner;
        struct instance *instance = watch->instance;
        char text[256];
        ssize_t got = read(source->fd, text, sizeof text);

        if (got < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (got > 0 && !memchr(text, '\n', (size_t)got))
                return;
        if (got <= 0)
                log_write(LOG_INFO, "process %d closed its ready descriptor without a newline",
                        (int)instance->pid);
        pipe_close(watch);
        if (got > 0)
                signs_note(instance, READINESS_FD);
}

static int pipe_equip(struct readiness_watch *watch, struct gear *gear, struct error *error) {
        struct readiness_gate *gate = watch->gate;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return error_set(error, errno, "make the ready descriptor of the app (pipe2)");
        gear_temporary(gear, ends[1]);
        watch->pipe = (struct loop_source){.fd = ends[0], .on_readable = pipe_on_readable, .owner = watch};
        watch->is_piped = true;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
                return error_set(error, errno, "make the ready descriptor non-blocking (fcntl)");
        if (loop_add(gate->rooms.loop, &watch->pipe, error) < 0)
                return -1;
        gear_descriptor(gear, (struct launch_descriptor){
                                      .fd = ends[1], .name = "ready", .number = gate->settings->fd_number});
        gear_variable(gear, gate->fd_variable);
        return 0;
}

int readiness_equip(
        struct readiness_gate *gate, struct instance *instance, struct gear *gear, struct error *error) {
        struct readiness_watch *watch = watch_of(gate, instance);

        *watch = (struct readiness_watch){.gate = gate, .instance = instance};
        instance->signs.wanted = gate->wanted;
        if (health_equip(gate->rooms.health, instance, gear, error) < 0)
                return -1;
        return gate->wanted & sign_bit(READINESS_FD) ? pipe_equip(watch, gear, error) : 0;
}

static void delay_on_due(struct loop_timer *timer) {
        struct readiness_watch *watch = timer->owner;

        signs_note(watch->instance, READINESS_DELAY);
}

/* Names of the signs that have not come; empty when all have. */
static void missing_format(const struct instance *instance, char *out, size_t room) {
        const unsigned left = instance->signs.wanted & ~instance->signs.seen;
        size_t used = 0;

        *out = '\0';
        for (unsigned sign = READINESS_EXEC; sign <= READINESS_DELAY && used < room; sign++)
                if (left & sign_bit(sign))
                        used += (size_t)snprintf(
                                out + used, room - used, "%s%s", used ? ", " : "", sign_texts[sign]);
}

/* Early, while its user can still act. A failed health check is told by health.c, with its reason. */
static void slow_on_due(struct loop_timer *timer) {
        const struct readiness_watch *watch = timer->owner;
        const struct instance *instance = watch->instance;
        const unsigned left = instance->signs.wanted & ~instance->signs.seen;
        char missing[MISSING_BYTES], elapsed[32];

        if (left == 0 || left == sign_bit(READINESS_PROBE))
                return;
        missing_format(instance, missing, sizeof missing);
        log_write(LOG_NOTICE, "process %d is still not ready after %s: %s", (int)instance->pid,
                duration_format(watch->gate->slow_ns, elapsed), missing);
        if ((left & sign_bit(READINESS_LISTEN)) && watch->gate->rooms.adopt)
                adopt_say_missing(watch->gate->rooms.adopt, instance->number);
}

void readiness_spawned(struct readiness_gate *gate, struct instance *instance) {
        const struct readiness_settings *settings = gate->settings;
        struct readiness_watch *watch = watch_of(gate, instance);

        if (gate->wanted & sign_bit(READINESS_DELAY)) {
                watch->delay = (struct loop_timer){.on_due = delay_on_due, .owner = watch};
                loop_timer_set(gate->rooms.loop, &watch->delay, time_add(time_now_ns(), settings->delay_ns));
        }
        health_begin(gate->rooms.health, instance,
                (gate->wanted & sign_bit(READINESS_LISTEN)) && !settings->has_adopted);
        if (gate->wanted != sign_bit(READINESS_EXEC)) {
                watch->slow = (struct loop_timer){.on_due = slow_on_due, .owner = watch};
                loop_timer_set(gate->rooms.loop, &watch->slow, time_add(time_now_ns(), gate->slow_ns));
        }
        signs_note(instance, READINESS_EXEC);
        signs_begin(instance);
}

void readiness_explain(const struct readiness_gate *gate, const struct instance *instance) {
        const char *reason = health_reason(gate->rooms.health, instance);
        char missing[MISSING_BYTES];

        missing_format(instance, missing, sizeof missing);
        if (*missing)
                log_write(LOG_WARNING, "process %d: %s%s%s", (int)instance->pid, missing,
                        *reason ? "; last health check: " : "", reason);
}

void readiness_ended(struct readiness_gate *gate, struct instance *instance) {
        struct readiness_watch *watch = watch_of(gate, instance);

        loop_timer_clear(gate->rooms.loop, &watch->delay);
        loop_timer_clear(gate->rooms.loop, &watch->slow);
        notify_ended(gate->rooms.notify, instance);
        health_ended(gate->rooms.health, instance);
        pipe_close(watch);
}
