/* When an instance is ready: see readiness.h.
 *
 * Runs in the supervisor. It only collects: who sees a sign (the exec pipe, the answered listen(2), the notify socket, a probe)
 * tells readiness_note(), and when nothing is missing the core hears FLEET_READY. No sign can be taken back: an instance
 * that is ready and then fails is unhealthy, or ends. */

#include "supervisor/readiness.h"

#include "lib/duration.h"
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

static unsigned sign_bit(enum readiness sign) {
        return 1U << sign;
}

static unsigned signs_wanted(const struct readiness_settings *settings) {
        if (settings->ready != READINESS_AUTO)
                return sign_bit(settings->ready);
        return sign_bit(settings->has_adopted ? READINESS_LISTEN : READINESS_EXEC);
}

static void say_when_complete(struct supervisor *supervisor, struct app *app) {
        struct readiness_watch *watch = &app->readiness;

        if (!watch->is_running || watch->is_said || (watch->wanted & ~watch->seen))
                return;
        watch->is_said = true;
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

static void delay_on_due(struct loop_timer *timer) {
        struct app *app = timer->owner;

        readiness_note(app->supervisor, app, READINESS_DELAY);
}

void readiness_spawned(struct supervisor *supervisor, struct app *app) {
        const struct readiness_settings *settings = &supervisor->settings->readiness;
        struct readiness_watch *watch = &app->readiness;

        watch->wanted = signs_wanted(settings);
        watch->is_running = true;
        if (watch->wanted & sign_bit(READINESS_DELAY)) {
                watch->delay = (struct loop_timer){.on_due = delay_on_due, .owner = app};
                loop_timer_set(&supervisor->loop, &watch->delay, time_add(time_now_ns(), settings->delay_ns));
        }
        readiness_note(supervisor, app, READINESS_EXEC);
        say_when_complete(supervisor, app);
}

void readiness_ended(struct supervisor *supervisor, struct app *app) {
        loop_timer_clear(&supervisor->loop, &app->readiness.delay);
}
