/* Signals to the processes of the fleet: how one is told to end, or to read its secrets again. See state.h.
 *
 * The ladder is the core's: drain, stop, kill. Here each rung is only taken. A pid is signalled between its
 * fork and its reaping alone, both of which happen in this single thread: the number cannot have become
 * another process's. */

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/state.h"

static pid_t app_target(const struct supervisor *supervisor, const struct app *app, bool to_group) {
        bool has_group = supervisor->settings->launch.session != LAUNCH_SAME_GROUP;

        return to_group && has_group ? -app->pid : app->pid;
}

/* The group may not exist yet, or not any more: then the process itself. */
static void target_signal(const struct app *app, pid_t target, int number) {
        if (kill(target, number) < 0 && errno == ESRCH && target != app->pid)
                (void)kill(app->pid, number);
}

void app_signal(struct supervisor *supervisor, struct app *app, int number, const union sigval *value) {
        pid_t target = app_target(supervisor, app, supervisor->settings->signals_group);

        /* sigqueue(3) keeps the value of a real-time signal; it knows no groups. */
        if (value && target > 0 && sigqueue(target, number, *value) == 0)
                return;
        target_signal(app, target, number);
}

/* TERM stays pending in a stopped process, so it must go on. One that stops later is seen by waitpid:
 * reap.c. */
static void app_continue(struct supervisor *supervisor, struct app *app) {
        if (app->is_stopped)
                app_signal(supervisor, app, SIGCONT, NULL);
}

void app_stop(struct supervisor *supervisor, struct app *app) {
        app->is_ending = true;
        loop_timer_clear(&supervisor->loop, &app->drain);
        app_signal(supervisor, app, supervisor->stop_signal, NULL);
        app_continue(supervisor, app);
}

static void drain_on_due(struct loop_timer *timer) {
        struct app *app = timer->owner;

        app_stop(app->supervisor, app);
}

/* The core counts the time to KILL from the end of this. */
static void app_drain(struct supervisor *supervisor, struct app *app, int64_t drain_ns) {
        app->is_ending = true;
        if (supervisor->settings->drain_signal)
                app_signal(supervisor, app, supervisor->settings->drain_signal, NULL);
        app_continue(supervisor, app);
        app->drain.on_due = drain_on_due;
        app->drain.owner = app;
        loop_timer_set(&supervisor->loop, &app->drain, time_add(time_now_ns(), drain_ns));
}

void app_stop_as(struct supervisor *supervisor, struct app *app, const struct fleet_action *action) {
        if (action->is_delivered) {
                app->is_ending = true;
                loop_timer_clear(&supervisor->loop, &app->drain);
                app_continue(supervisor, app);
        } else if (action->delay_ns > 0) {
                app_drain(supervisor, app, action->delay_ns);
        } else {
                app_stop(supervisor, app);
        }
}

void app_reload(struct supervisor *supervisor, struct app *app, uint64_t generation) {
        char name[SIGNAL_NAME_BYTES];

        app->generation = generation;
        app_signal(supervisor, app, supervisor->settings->reload_signal, NULL);
        log_write(LOG_INFO, "told process %d to read its secrets again (SIG%s)", (int)app->pid,
                signal_name(supervisor->settings->reload_signal, name));
}

/* At the deadline the whole group goes, whatever kill_mode says: nothing that the app started may hold its
 * place. */
void app_kill(struct supervisor *supervisor, struct app *app) {
        target_signal(app, app_target(supervisor, app, true), SIGKILL);
        (void)kill(app->pid, SIGKILL);
        tree_kill(supervisor, app);
}
