/* When a check is made and what its answer means: see health.h. Runs in the supervisor.
 *
 * Until an instance is ready, a failed check only means "not yet": the core's ready_timeout decides, or
 * start_period when one is set; a slow start is logged once, early. Checks come often at first, then less so.
 * Once the instance is ready they come at `interval`, and `failures` of them in a row make it unhealthy, for
 * good. An instance that is stopped (SIGSTOP), emptying or told to end is not checked. Without [health] no
 * timer runs. */

#include "supervisor/health/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"

#define LATER_NS           (20 * NS_PER_MS)
#define EARLY_PAUSE_NS     (50 * NS_PER_MS)
#define EARLY_PAUSE_NS_MAX NS_PER_S
#define SLOW_NS_MAX        (5 * NS_PER_S)
#define HEALTH_BACKLOG     16

/* For READINESS_LISTEN without [health]: without a limit of its own, the core's ready_timeout counts. */
static const struct probe_settings listen_settings = {.kind = PROBE_TCP, .timeout_ns = NS_FOREVER};

static void check_on_due(struct loop_timer *timer);

void health_open(struct health *health, const struct health_rooms *rooms,
        const struct health_settings *settings, int64_t ready_timeout_ns) {
        health->settings = settings;
        health->rooms = *rooms;
        health->ready_timeout_ns = ready_timeout_ns;
}

static struct health_watch *watch_of(struct health *health, const struct instance *instance) {
        return &health->watches[instance_place(instance)];
}

/* Give the instance a socket of its own. Bound with an address that has only a family, so that the kernel
 * chooses an abstract name (unix(7), autobind). */
static int own_socket_equip(struct health_watch *watch, struct gear *gear, struct error *error) {
        socklen_t length = sizeof watch->address;
        CLEANUP_FD int fd = -1;

        watch->address = (struct sockaddr_un){.sun_family = AF_UNIX};
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&watch->address, sizeof(sa_family_t)) < 0 ||
                listen(fd, HEALTH_BACKLOG) < 0 ||
                getsockname(fd, (struct sockaddr *)&watch->address, &length) < 0)
                return error_set(error, errno, "make the health socket of the app");
        watch->address_length = length;
        gear_descriptor(gear, (struct launch_descriptor){.fd = fd, .name = "health"});
        gear_temporary(gear, fd_take(&fd));
        return 0;
}

int health_equip(struct health *health, struct instance *instance, struct gear *gear, struct error *error) {
        return health->settings->has_socket ? own_socket_equip(watch_of(health, instance), gear, error) : 0;
}

static void check_set(struct health_watch *watch, int64_t delay_ns) {
        loop_timer_set(watch->health->rooms.loop, &watch->next, time_add(time_now_ns(), delay_ns));
}

/* The time until the next check, in ns. During the start a tenth of the instance's age: often for an app that
 * starts quickly, rarely for one that takes minutes. */
static int64_t check_pause_ns(const struct health_watch *watch) {
        const struct health_settings *settings = watch->health->settings;
        int64_t age_ns = time_now_ns() - watch->started_ns, pause_ns = age_ns / 10;

        if (watch->instance->signs.is_complete ||
                (settings->start_period_ns && age_ns >= settings->start_period_ns))
                return settings->interval_ns;
        if (pause_ns < EARLY_PAUSE_NS)
                pause_ns = EARLY_PAUSE_NS;
        if (pause_ns > EARLY_PAUSE_NS_MAX)
                pause_ns = EARLY_PAUSE_NS_MAX;
        return pause_ns < settings->interval_ns ? pause_ns : settings->interval_ns;
}

static bool failure_counts(const struct health_watch *watch) {
        const struct health_settings *settings = watch->health->settings;

        return watch->instance->signs.is_complete ||
               (settings->start_period_ns && time_now_ns() - watch->started_ns >= settings->start_period_ns);
}

/* Is it time to log, once, that the instance is slow to become ready? Early, while its user can still act. */
static bool slow_is_due(struct health_watch *watch) {
        int64_t timeout_ns = watch->health->ready_timeout_ns;
        int64_t slow_ns = timeout_ns > 0 && timeout_ns / 10 < SLOW_NS_MAX ? timeout_ns / 10 : SLOW_NS_MAX;

        if (watch->is_slow || time_now_ns() - watch->started_ns < slow_ns)
                return false;
        return watch->is_slow = true;
}

static void slow_write(const struct health_watch *watch, const char *reason) {
        int64_t timeout_ns = watch->health->ready_timeout_ns;
        char age[32], timeout[32];

        log_write(LOG_NOTICE,
                "process %d is still not ready after %s: health check: %s (ready_timeout is %s)",
                (int)watch->instance->pid,
                duration_format((time_now_ns() - watch->started_ns) / NS_PER_MS * NS_PER_MS, age), reason,
                timeout_ns > 0 ? duration_format(timeout_ns, timeout) : "infinity");
}

static void check_failed(struct health_watch *watch, const char *reason) {
        const struct health_settings *settings = watch->health->settings;
        bool is_news = strcmp(watch->reason, reason) != 0;

        watch->successes = 0;
        snprintf(watch->reason, sizeof watch->reason, "%s", reason);
        if (!failure_counts(watch)) {
                if (slow_is_due(watch))
                        slow_write(watch, reason);
                else
                        log_write(is_news ? LOG_INFO : LOG_DEBUG,
                                "process %d is not ready yet: health check: %s", (int)watch->instance->pid,
                                reason);
                return;
        }
        watch->failures++;
        log_write(LOG_WARNING, "process %d: health check failed (%d of %d): %s", (int)watch->instance->pid,
                watch->failures, settings->failures, reason);
        if (watch->failures < settings->failures)
                return;
        watch->is_on = false;
        facts_push(watch->health->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_UNHEALTHY, .instance = watch->instance->number});
}

static void check_succeeded(struct health_watch *watch) {
        if (watch->failures)
                log_write(LOG_NOTICE, "process %d: health check succeeded again", (int)watch->instance->pid);
        watch->failures = 0;
        watch->reason[0] = '\0';
        if (watch->successes < watch->health->settings->successes)
                watch->successes++;
        if (watch->successes == watch->health->settings->successes)
                signs_note(watch->instance, READINESS_PROBE);
}

static void probe_on_done(struct health_watch *watch, bool is_well, const char *reason) {
        if (watch->instance->is_ending)
                return;
        if (watch->asks_listen && is_well) {
                watch->asks_listen = false;
                signs_note(watch->instance, READINESS_LISTEN);
                watch->is_on = watch->health->settings->probe.kind != PROBE_NONE;
                if (watch->is_on)
                        check_set(watch, 0);
                return;
        }
        /* A stopped app could not answer: no failure. */
        if (is_well)
                check_succeeded(watch);
        else if (!watch->instance->is_stopped)
                check_failed(watch, reason);
        if (watch->is_on)
                check_set(watch, check_pause_ns(watch));
}

static void check_on_due(struct loop_timer *timer) {
        struct health_watch *watch = timer->owner;
        const struct health_settings *settings = watch->health->settings;
        struct error error;
        int result;

        if (watch->instance->is_ending || !watch->is_on)
                return;
        if (watch->instance->is_stopped || watch->instance->is_emptying) {
                check_set(watch, settings->interval_ns);
                return;
        }
        result = probe_start(
                watch, watch->asks_listen ? &listen_settings : &settings->probe, probe_on_done, &error);
        if (result == PROBE_LATER)
                check_set(watch, LATER_NS);
        else if (result < 0)
                probe_on_done(watch, false, error.text);
}

void health_begin(struct health *health, struct instance *instance, bool wants_listen) {
        struct health_watch *watch = watch_of(health, instance);

        if (!wants_listen && health->settings->probe.kind == PROBE_NONE)
                return;
        watch->health = health;
        watch->instance = instance;
        watch->asks_listen = wants_listen;
        watch->is_on = true;
        watch->started_ns = time_now_ns();
        watch->next = (struct loop_timer){.on_due = check_on_due, .owner = watch};
        check_set(watch, 0);
}

void health_ready(struct health *health, struct instance *instance) {
        struct health_watch *watch = watch_of(health, instance);

        /* The next check is still due at the pace of a start. */
        if (watch->is_on && watch->next.is_set)
                check_set(watch, health->settings->interval_ns);
}

const char *health_reason(const struct health *health, const struct instance *instance) {
        return health->watches[instance_place(instance)].reason;
}

void health_ended(struct health *health, struct instance *instance) {
        struct health_watch *watch = watch_of(health, instance);

        if (watch->health) {
                loop_timer_clear(health->rooms.loop, &watch->next);
                probe_end(watch);
        }
        if (watch->health || watch->address_length)
                *watch = (struct health_watch){0};
}
