/* When an instance is ready: see readiness.h.
 *
 * Runs in the supervisor. It only collects: who sees a sign (the exec pipe, the answered listen(2), the
 * notify socket, a probe) tells readiness_note(), and when nothing is missing the core hears FLEET_READY. No
 * sign can be taken back: an instance that is ready and then fails is unhealthy, or ends. */

#include "supervisor/gate/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"

static const char *const sign_names[] = {
        [READINESS_AUTO] = "auto",
        [READINESS_EXEC] = "exec",
        [READINESS_LISTEN] = "listen",
        [READINESS_NOTIFY] = "notify",
        [READINESS_FD] = "fd",
        [READINESS_PROBE] = "probe",
        [READINESS_DELAY] = "delay",
};

/* What is said when it did not come. */
static const char *const sign_texts[] = {
        [READINESS_AUTO] = "",
        [READINESS_EXEC] = "not executed",
        [READINESS_LISTEN] = "does not listen",
        [READINESS_NOTIFY] = "no READY=1",
        [READINESS_FD] = "no newline on its ready descriptor",
        [READINESS_PROBE] = "no good health check",
        [READINESS_DELAY] = "not up long enough",
};

static unsigned sign_bit(enum readiness sign) {
        return 1U << sign;
}

/* Its listen(2) or accept(2) can be seen. */
static bool can_see_listen(const struct supervisor_settings *settings) {
        return settings->readiness.has_adopted || listeners_can_probe(settings, NULL);
}

/* Whoever wants probes wants no instance whose probe has not succeeded, whatever other sign it gives. */
static unsigned signs_wanted(const struct supervisor_settings *settings) {
        enum readiness ready = settings->readiness.ready;
        unsigned probe = settings->health.probe.kind == PROBE_NONE ? 0 : sign_bit(READINESS_PROBE);

        if (ready != READINESS_AUTO)
                return sign_bit(ready) | probe;
        if (settings->readiness.has_adopted || (!probe && can_see_listen(settings)))
                return sign_bit(READINESS_LISTEN) | probe;
        return probe ? probe : sign_bit(READINESS_EXEC);
}

static void say_when_complete(struct supervisor *supervisor, struct app *app) {
        struct readiness_watch *watch = &app->readiness;

        if (!watch->is_running || watch->is_said || (watch->wanted & ~watch->seen))
                return;
        watch->is_said = true;
        notify_ready(supervisor, app);
        health_ready(supervisor, app);
        supervisor_push(supervisor, (struct fleet_event){.kind = FLEET_READY, .instance = app->number});
}

void readiness_note(struct supervisor *supervisor, struct app *app, enum readiness sign) {
        struct readiness_watch *watch = &app->readiness;

        if (watch->seen & sign_bit(sign))
                return;
        watch->seen |= sign_bit(sign);
        log_write(LOG_DEBUG, "process %d: sign of readiness: %s", (int)app->pid, sign_names[sign]);
        say_when_complete(supervisor, app);
}

static void pipe_close(struct supervisor *supervisor, struct app *app) {
        struct readiness_watch *watch = &app->readiness;

        if (!watch->is_piped)
                return;
        loop_remove(&supervisor->loop, &watch->pipe);
        fd_cleanup(&watch->pipe.fd);
        watch->is_piped = false;
}

/* Whatever comes before the newline is not looked at; without one nothing was said. */
static void pipe_on_readable(struct loop_source *source) {
        struct app *app = source->owner;
        char text[256];
        ssize_t got = read(source->fd, text, sizeof text);

        if (got < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (got > 0 && !memchr(text, '\n', (size_t)got))
                return;
        if (got <= 0)
                log_write(
                        LOG_INFO, "process %d closed its ready descriptor without a newline", (int)app->pid);
        pipe_close(app->supervisor, app);
        if (got > 0)
                readiness_note(app->supervisor, app, READINESS_FD);
}

static int pipe_equip(
        struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        struct readiness_watch *watch = &app->readiness;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return error_set(error, errno, "make the ready descriptor of the app (pipe2)");
        app_gear_temporary(gear, ends[1]);
        watch->pipe = (struct loop_source){.fd = ends[0], .on_readable = pipe_on_readable, .owner = app};
        watch->is_piped = true;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
                return error_set(error, errno, "make the ready descriptor non-blocking (fcntl)");
        if (loop_add(&supervisor->loop, &watch->pipe, error) < 0)
                return -1;
        app_gear_descriptor(gear,
                (struct launch_descriptor){
                        .fd = ends[1], .name = "ready", .number = supervisor->settings->readiness.fd_number});
        app_gear_variable(gear, supervisor->ready_fd_variable);
        return 0;
}

int readiness_equip(
        struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        const struct readiness_settings *settings = &supervisor->settings->readiness;

        app->readiness.wanted = signs_wanted(supervisor->settings);
        if (health_equip(supervisor, app, gear, error) < 0)
                return -1;
        if (!(app->readiness.wanted & sign_bit(READINESS_FD)))
                return 0;
        snprintf(supervisor->ready_fd_variable, sizeof supervisor->ready_fd_variable, "TACET_READY_FD=%d",
                settings->fd_number);
        return pipe_equip(supervisor, app, gear, error);
}

static void delay_on_due(struct loop_timer *timer) {
        struct app *app = timer->owner;

        readiness_note(app->supervisor, app, READINESS_DELAY);
}

void readiness_spawned(struct supervisor *supervisor, struct app *app) {
        const struct readiness_settings *settings = &supervisor->settings->readiness;
        struct readiness_watch *watch = &app->readiness;

        watch->is_running = true;
        if (watch->wanted & sign_bit(READINESS_DELAY)) {
                watch->delay = (struct loop_timer){.on_due = delay_on_due, .owner = app};
                loop_timer_set(&supervisor->loop, &watch->delay, time_add(time_now_ns(), settings->delay_ns));
        }
        health_begin(supervisor, app, (watch->wanted & sign_bit(READINESS_LISTEN)) && !settings->has_adopted);
        readiness_note(supervisor, app, READINESS_EXEC);
        say_when_complete(supervisor, app);
}

void readiness_explain(const struct app *app) {
        const struct readiness_watch *watch = &app->readiness;
        const char *reason = app->health.reason;
        char missing[96] = "";
        size_t used = 0;

        for (unsigned sign = READINESS_EXEC; sign <= READINESS_DELAY; sign++)
                if ((watch->wanted & ~watch->seen) & sign_bit(sign))
                        used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s",
                                used ? ", " : "", sign_texts[sign]);
        if (used)
                log_write(LOG_WARNING, "process %d: %s%s%s", (int)app->pid, missing,
                        *reason ? "; last health check: " : "", reason);
}

void readiness_ended(struct supervisor *supervisor, struct app *app) {
        loop_timer_clear(&supervisor->loop, &app->readiness.delay);
        notify_ended(supervisor, app);
        health_ended(supervisor, app);
        pipe_close(supervisor, app);
}
