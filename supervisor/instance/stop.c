/* Signals to instances: to end, or to read their secrets again. See launcher.h. Runs in the supervisor. */

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "lib/signals.h"
#include "supervisor/instance/launcher.h"

static pid_t signal_target(const struct launcher *launcher, const struct instance *instance, bool to_group) {
        bool has_group = launcher->settings.launch->session != LAUNCH_SAME_GROUP;

        return to_group && has_group ? -instance->pid : instance->pid;
}

/* Signal the group; the process alone when the group does not exist yet, or not any more. */
static void target_signal(const struct instance *instance, pid_t target, int number) {
        if (kill(target, number) < 0 && errno == ESRCH && target != instance->pid)
                (void)kill(instance->pid, number);
}

void launcher_signal(const struct launcher *launcher, const struct instance *instance, int number,
        const union sigval *value) {
        pid_t target = signal_target(launcher, instance, launcher->settings.signals_group);

        /* sigqueue(3) keeps the value of a real-time signal; it knows no groups. */
        if (value && target > 0 && sigqueue(target, number, *value) == 0)
                return;
        target_signal(instance, target, number);
}

/* A stop signal stays pending in a stopped process, so that gets SIGCONT. One that stops later gets it from
 * launcher_on_stopped(). */
static void instance_continue(const struct launcher *launcher, const struct instance *instance) {
        if (instance->is_stopped)
                launcher_signal(launcher, instance, SIGCONT, NULL);
}

static void stop_signal_send(struct launcher *launcher, struct instance *instance) {
        loop_timer_clear(launcher->rooms.loop, &instance->drain);
        launcher_signal(launcher, instance, launcher->settings.stop_signal, NULL);
        instance_continue(launcher, instance);
}

static void drain_on_due(struct loop_timer *timer) {
        stop_signal_send(timer->owner, (struct instance *)((char *)timer - offsetof(struct instance, drain)));
}

/* The core counts the time to KILL from the end of this. */
static void stop_drain_begin(struct launcher *launcher, struct instance *instance, int64_t drain_ns) {
        if (launcher->settings.drain_signal)
                launcher_signal(launcher, instance, launcher->settings.drain_signal, NULL);
        instance_continue(launcher, instance);
        instance->drain = (struct loop_timer){.on_due = drain_on_due, .owner = launcher};
        loop_timer_set(launcher->rooms.loop, &instance->drain, time_add(time_now_ns(), drain_ns));
}

void launcher_stop(struct launcher *launcher, struct instance *instance, const struct fleet_action *action) {
        instance->is_ending = true;
        instance->is_emptying = false;
        if (action->is_delivered) {
                loop_timer_clear(launcher->rooms.loop, &instance->drain);
                instance_continue(launcher, instance);
        } else if (action->delay_ns > 0) {
                stop_drain_begin(launcher, instance, action->delay_ns);
        } else {
                stop_signal_send(launcher, instance);
        }
}

void launcher_reload(const struct launcher *launcher, struct instance *instance, uint64_t generation) {
        char name[SIGNAL_NAME_BYTES];

        instance->generation = generation;
        launcher_signal(launcher, instance, launcher->settings.reload_signal, NULL);
        log_write(LOG_INFO, "told process %d to read its secrets again (SIG%s)", (int)instance->pid,
                signal_name(launcher->settings.reload_signal, name));
}

/* The whole group, so that no process that the app started remains. */
void launcher_kill(const struct launcher *launcher, struct instance *instance) {
        instance->is_emptying = false;
        target_signal(instance, signal_target(launcher, instance, true), SIGKILL);
        (void)kill(instance->pid, SIGKILL);
        tree_kill(launcher->rooms.trees, instance);
}

/* An instance that is to end is continued at once: its stop signal is pending until then. When an app is
 * stopped from its terminal (Ctrl-Z, or reading in the background), tacet stops as well, so that the shell
 * above takes the terminal and shows a stopped job; when the shell continues tacet, the app is continued. */
void launcher_on_stopped(struct child *child, int wait_status) {
        struct launcher *launcher = child->owner;
        struct instance *instance = instance_of_child(child);
        struct terminal *terminal = launcher->rooms.terminal;
        int number = WIFSTOPPED(wait_status) ? WSTOPSIG(wait_status) : 0;

        instance->is_stopped = number != 0;
        if (number == 0)
                return;
        if (instance->is_ending) {
                launcher_signal(launcher, instance, SIGCONT, NULL);
                return;
        }
        if ((number != SIGTSTP && number != SIGTTIN && number != SIGTTOU) || terminal->fd < 0 ||
                launcher->settings.launch->session != LAUNCH_OWN_GROUP)
                return;
        terminal_take_back(terminal, instance->pid);
        terminal_suspend_self();
        terminal_give(terminal, instance->pid);
        (void)kill(-instance->pid, SIGCONT);
}
