/* When a check is made and what its answer means: see health.h. Runs in the supervisor.
 *
 * Until an instance is ready a failed check only means "not yet": the core's ready_timeout decides, or
 * start_period when one is set; that somebody waits is said once, early. Checks then come often, the longer
 * it takes the less so. Once it is ready they come at `interval`, and `failures` of them in a row make it
 * unhealthy, for good. An instance that somebody stopped (SIGSTOP), that drains or that was told to end is
 * not asked. Without [health] nothing here ever wakes up. */

#include "supervisor/health/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"

#define LATER_NS           (20 * NS_PER_MS)
#define EARLY_PAUSE_NS     (50 * NS_PER_MS)
#define EARLY_PAUSE_NS_MAX NS_PER_S
#define SLOW_NS_MAX        (5 * NS_PER_S)
#define HEALTH_BACKLOG     16

/* Takes no settings of [health]: it waits as long as the core does. */
static const struct probe_settings listen_settings = {.kind = PROBE_TCP, .timeout_ns = NS_FOREVER};

static void next_on_due(struct loop_timer *timer);

int health_equip(struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        struct health_watch *health = &app->health;
        socklen_t length = sizeof health->address;
        CLEANUP_FD int fd = -1;

        health->probe.connection = health->probe.fd = -1;
        if (!supervisor->settings->health.has_socket)
                return 0;
        /* An address of its family alone: the kernel chooses an abstract name (unix(7), autobind). */
        health->address = (struct sockaddr_un){.sun_family = AF_UNIX};
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&health->address, sizeof(sa_family_t)) < 0 ||
                listen(fd, HEALTH_BACKLOG) < 0 ||
                getsockname(fd, (struct sockaddr *)&health->address, &length) < 0)
                return error_set(error, errno, "make the health socket of the app");
        health->address_length = length;
        app_gear_descriptor(gear, (struct launch_descriptor){.fd = fd, .name = "health"});
        app_gear_temporary(gear, fd_take(&fd));
        return 0;
}

static void next_set(struct app *app, int64_t delay_ns) {
        loop_timer_set(&app->supervisor->loop, &app->health.next, time_add(time_now_ns(), delay_ns));
}

static bool is_draining(const struct app *app) {
        const struct fleet *fleet = &app->supervisor->fleet;

        for (uint32_t place = 0; place < 2; place++) {
                const struct fleet_instance *instance = fleet_instance_at(fleet, app->slot, place);

                if (instance && instance->number == app->number)
                        return instance->state == INSTANCE_DRAINING;
        }
        return false;
}

/* A tenth of its age: quick for what starts quickly, calm for what takes minutes. */
static int64_t pause_of(const struct app *app) {
        const struct health_settings *settings = &app->supervisor->settings->health;
        int64_t age_ns = time_now_ns() - app->health.started_ns, pause_ns = age_ns / 10;

        if (app->readiness.is_said || (settings->start_period_ns && age_ns >= settings->start_period_ns))
                return settings->interval_ns;
        if (pause_ns < EARLY_PAUSE_NS)
                pause_ns = EARLY_PAUSE_NS;
        if (pause_ns > EARLY_PAUSE_NS_MAX)
                pause_ns = EARLY_PAUSE_NS_MAX;
        return pause_ns < settings->interval_ns ? pause_ns : settings->interval_ns;
}

static bool failure_counts(const struct app *app) {
        const struct health_settings *settings = &app->supervisor->settings->health;

        return app->readiness.is_said ||
               (settings->start_period_ns &&
                       time_now_ns() - app->health.started_ns >= settings->start_period_ns);
}

/* Most are ready within moments: one that is not is worth a word while there is time left to do something. */
static bool is_slow_news(struct app *app) {
        int64_t timeout_ns = app->supervisor->settings->fleet.ready_timeout_ns;
        int64_t slow_ns = timeout_ns > 0 && timeout_ns / 10 < SLOW_NS_MAX ? timeout_ns / 10 : SLOW_NS_MAX;

        if (app->health.is_slow || time_now_ns() - app->health.started_ns < slow_ns)
                return false;
        return app->health.is_slow = true;
}

static void slow_say(const struct app *app, const char *reason) {
        int64_t timeout_ns = app->supervisor->settings->fleet.ready_timeout_ns;
        char age[32], timeout[32];

        log_write(LOG_NOTICE,
                "process %d is still not ready after %s: health check: %s (ready_timeout is %s)",
                (int)app->pid,
                duration_format((time_now_ns() - app->health.started_ns) / NS_PER_MS * NS_PER_MS, age),
                reason, timeout_ns > 0 ? duration_format(timeout_ns, timeout) : "infinity");
}

static void failed(struct app *app, const char *reason) {
        const struct health_settings *settings = &app->supervisor->settings->health;
        struct health_watch *health = &app->health;
        bool is_news = strcmp(health->reason, reason) != 0;

        health->successes = 0;
        snprintf(health->reason, sizeof health->reason, "%s", reason);
        if (!failure_counts(app)) {
                if (is_slow_news(app))
                        slow_say(app, reason);
                else
                        log_write(is_news ? LOG_INFO : LOG_DEBUG,
                                "process %d is not ready yet: health check: %s", (int)app->pid, reason);
                return;
        }
        health->failures++;
        log_write(LOG_WARNING, "process %d: health check failed (%d of %d): %s", (int)app->pid,
                health->failures, settings->failures, reason);
        if (health->failures < settings->failures)
                return;
        health->is_on = false;
        supervisor_push(
                app->supervisor, (struct fleet_event){.kind = FLEET_UNHEALTHY, .instance = app->number});
}

static void succeeded(struct app *app) {
        struct health_watch *health = &app->health;

        if (health->failures)
                log_write(LOG_NOTICE, "process %d: health check succeeded again", (int)app->pid);
        health->failures = 0;
        health->reason[0] = '\0';
        if (health->successes < app->supervisor->settings->health.successes)
                health->successes++;
        if (health->successes == app->supervisor->settings->health.successes)
                readiness_note(app->supervisor, app, READINESS_PROBE);
}

static void probe_on_done(struct app *app, bool is_well, const char *reason) {
        struct health_watch *health = &app->health;

        if (app->is_ending)
                return;
        if (health->asks_listen && is_well) {
                health->asks_listen = false;
                readiness_note(app->supervisor, app, READINESS_LISTEN);
                health->is_on = app->supervisor->settings->health.probe.kind != PROBE_NONE;
                if (health->is_on)
                        next_set(app, 0);
                return;
        }
        /* Whoever was stopped could not answer. */
        if (is_well)
                succeeded(app);
        else if (!app->is_stopped)
                failed(app, reason);
        if (health->is_on)
                next_set(app, pause_of(app));
}

static void next_on_due(struct loop_timer *timer) {
        struct app *app = timer->owner;
        const struct health_settings *settings = &app->supervisor->settings->health;
        struct health_watch *health = &app->health;
        struct error error;
        int result;

        if (app->is_ending || !health->is_on)
                return;
        if (app->is_stopped || is_draining(app)) {
                next_set(app, settings->interval_ns);
                return;
        }
        result = probe_start(app, &health->probe, health->asks_listen ? &listen_settings : &settings->probe,
                probe_on_done, &error);
        if (result == PROBE_LATER)
                next_set(app, LATER_NS);
        else if (result < 0)
                probe_on_done(app, false, error.text);
}

void health_begin(struct supervisor *supervisor, struct app *app, bool wants_listen) {
        struct health_watch *health = &app->health;

        health->asks_listen = wants_listen;
        health->is_on = wants_listen || supervisor->settings->health.probe.kind != PROBE_NONE;
        health->started_ns = time_now_ns();
        health->next = (struct loop_timer){.on_due = next_on_due, .owner = app};
        if (health->is_on)
                next_set(app, 0);
}

void health_ready(struct supervisor *supervisor, struct app *app) {
        struct health_watch *health = &app->health;

        /* Another sign may have been the last one: no need to go on at the pace of a start. */
        if (health->is_on && health->next.is_set)
                next_set(app, supervisor->settings->health.interval_ns);
}

void health_ended(struct supervisor *supervisor, struct app *app) {
        app->health.is_on = false;
        loop_timer_clear(&supervisor->loop, &app->health.next);
        probe_end(app, &app->health.probe);
}

bool health_reaped(struct supervisor *supervisor, pid_t pid, int wait_status) {
        for (size_t i = 0; i < supervisor->app_places; i++) {
                struct app *app = &supervisor->apps[i];

                if (!app->is_used || !app->health.probe.is_running || app->health.probe.pid != pid)
                        continue;
                probe_reaped(app, &app->health.probe, wait_status);
                return true;
        }
        return false;
}
