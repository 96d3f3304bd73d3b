/* Signals: every one is blocked and read from a signalfd(2), so none can interrupt anything or be lost to a
 * handler that is not there yet. What each means is one table of small rules; the rest is forwarded. Manual:
 * tacet(1), SIGNALS. */

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/state.h"

#define SIGNALS_PER_READ 16

/* All instances that run: one replica has one, but during a change two may. What comes while the first
 * secrets are still being loaded is held for the first app. */
static void forward_to_all(struct supervisor *supervisor, int number, const struct signalfd_siginfo *info) {
        const union sigval value = {
                .sival_ptr = (void *)(uintptr_t)info->ssi_ptr}; // NOLINT: the kernel carries it so
        bool has_value = info->ssi_code == SI_QUEUE;
        struct instance *instance = NULL;
        size_t next = 0;

        if (!supervisor->launcher.has_started)
                supervisor->launcher.held_signals |= signal_bit(number);
        while ((instance = instance_from(&supervisor->instances, next))) {
                next = instance_place(instance) + 1;
                launcher_signal(&supervisor->launcher, instance, number, has_value ? &value : NULL);
        }
}

/* A signal that asks for the end. The app gets it at once in every state: the core answers with STOP for each
 * instance. */
static void ask_to_stop(struct supervisor *supervisor, int received, int forwarded, bool is_delivered) {
        supervisor->launcher.settings.stop_signal =
                received == SIGTERM && forwarded == SIGTERM ? supervisor->settings->stop_signal : forwarded;
        supervisor->is_told_to_stop = true;
        /* SIGTERM and the signal that the app ends by, which a container's runtime sends, are requests of
         * somebody who waits; the others are of somebody who is impatient. */
        facts_push(&supervisor->facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_STOP,
                        .signal = received,
                        .is_at_once = received != SIGTERM && received != supervisor->settings->stop_signal,
                        .is_delivered = is_delivered});
}

/* The terminal sends Ctrl-C and its like to the whole foreground group: an app in our own group has it
 * already. */
static bool came_from_terminal(const struct supervisor *supervisor, const struct signalfd_siginfo *info) {
        return info->ssi_code == SI_KERNEL && supervisor->settings->launch.session == LAUNCH_SAME_GROUP;
}

/* Does it ask for the end? The kernel's own WINCH only says that a terminal has another size. */
static bool is_stop(const struct supervisor *supervisor, const struct signalfd_siginfo *info) {
        int received = (int)info->ssi_signo;

        return received == SIGTERM || received == SIGINT || received == SIGQUIT ||
               (received == supervisor->settings->stop_signal && info->ssi_code != SI_KERNEL);
}

/* Would something be started although the app ended? Else Ctrl-C is the app's own affair: an interpreter may
 * live on. */
static bool goes_on_by_itself(const struct supervisor *supervisor) {
        const struct fleet_settings *settings = &supervisor->settings->fleet;
        struct fleet_view view;

        fleet_look(&supervisor->fleet, &view);
        return settings->restart != FLEET_RESTART_NO || settings->replicas > 1 || view.is_loading ||
               (view.phase != FLEET_PHASE_STARTING && view.phase != FLEET_PHASE_IDLE);
}

/* The shell said `fg` (or `bg`): hand on the foreground if we were given it, and let the whole job go on. */
static void job_continued(struct supervisor *supervisor, const struct signalfd_siginfo *info) {
        struct instance *instance = NULL;
        size_t next = 0;

        if (supervisor->settings->launch.session != LAUNCH_OWN_GROUP) {
                forward_to_all(supervisor, SIGCONT, info);
                return;
        }
        while ((instance = instance_from(&supervisor->instances, next))) {
                next = instance_place(instance) + 1;
                terminal_give(&supervisor->terminal, instance->pid);
                (void)kill(-instance->pid, SIGCONT);
        }
}

static void suspend_like_app(void) {
        (void)kill(getpid(), SIGSTOP);
}

static void rotation_ask(struct supervisor *supervisor) {
        if (supervisor->is_over)
                log_write(LOG_WARNING, "no rotation: the app's main process has ended");
        else
                facts_push(&supervisor->facts, time_now_ns(), (struct fleet_event){.kind = FLEET_RELOAD});
}

static void signal_handle(struct supervisor *supervisor, const struct signalfd_siginfo *info) {
        int received = (int)info->ssi_signo, number = supervisor->settings->rewrites[received];
        char name[SIGNAL_NAME_BYTES];

        if (received == SIGCHLD)
                return; /* every turn of the loop looks for children */
        if (info->ssi_pid == (uint32_t)getpid())
                /* our own: SIGPIPE of a log nobody reads, the TSTP that terminal_suspend_self() sent */
                return;
        log_write(LOG_DEBUG, "signal %s from process %u", signal_name(received, name), info->ssi_pid);
        if (received == (supervisor->settings->load ? supervisor->settings->rotate_signal : SIGHUP))
                manager_reload_asked(&supervisor->manager);
        if (received == supervisor->settings->rotate_signal) {
                rotation_ask(supervisor);
                return;
        }
        if (number == 0)
                return;
        if (came_from_terminal(supervisor, info)) {
                if ((received == SIGINT || received == SIGQUIT) && goes_on_by_itself(supervisor))
                        ask_to_stop(supervisor, received, number, true);
                return;
        }
        if (received == SIGCONT && number == SIGCONT && supervisor->terminal.fd >= 0) {
                job_continued(supervisor, info);
                return;
        }
        if (is_stop(supervisor, info))
                ask_to_stop(supervisor, received, number, false);
        else
                forward_to_all(supervisor, number, info);
        if (supervisor->settings->suspends_itself &&
                (received == SIGTSTP || received == SIGTTIN || received == SIGTTOU))
                suspend_like_app();
}

void signals_on_readable(struct loop_source *source) {
        struct signalfd_siginfo infos[SIGNALS_PER_READ];
        struct supervisor *supervisor = source->owner;
        ssize_t got = read(source->fd, infos, sizeof infos);

        for (ssize_t i = 0; i < got / (ssize_t)sizeof *infos; i++)
                signal_handle(supervisor, &infos[i]);
}

void supervisor_rewrites_init(uint8_t rewrites[static SIGNAL_MAX + 1]) {
        for (int number = 0; number <= SIGNAL_MAX; number++)
                rewrites[number] = (uint8_t)number;
}
