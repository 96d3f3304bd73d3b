/* The supervisor's main: set up, then turn the loop until the core says EXIT, then end what is left.
 *
 * Runs as PID 1 or as a wrapper, with whatever rights tacet was given. It parses nothing that comes from
 * outside: sources and keys are the loader's, the environment is the shim's. Facts are queued as events,
 * fleet_step() decides, the actions are performed here; no action waits for anything. */

#include "supervisor/supervisor.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/control/server.h"
#include "supervisor/gate/check.h"
#include "supervisor/state.h"
#include "supervisor/generations/watch.h"

/* One supervisor per process: static, because its size is known and PID 1 should not depend on malloc. */
static struct supervisor the_supervisor;

void supervisor_push(struct supervisor *supervisor, struct fleet_event event) {
        /* An action makes at most two events and a step at most FLEET_ACTIONS_MAX actions; the queue is empty
         * before other facts are looked at. */
        assert(supervisor->event_count < EVENTS_MAX);
        event.now_ns = time_now_ns();
        if (supervisor->event_count == 0)
                supervisor->event_first = 0; /* so that a quiet queue stays in its first page */
        supervisor->events[(supervisor->event_first + supervisor->event_count++) % EVENTS_MAX] = event;
}

static void stop_again(struct supervisor *supervisor) {
        for (size_t i = 0; i < supervisor->app_places; i++)
                if (supervisor->apps[i].is_used)
                        app_stop(supervisor, &supervisor->apps[i]);
}

static void perform_on_instance(struct supervisor *supervisor, const struct fleet_action *action) {
        struct app *app = app_by_number(supervisor, action->instance);

        if (app && action->kind == FLEET_DO_STOP)
                app_stop_as(supervisor, app, action);
        else if (app && action->kind == FLEET_DO_SIGNAL)
                app_reload(supervisor, app, action->generation);
        else if (app)
                app_kill(supervisor, app);
}

static void perform(struct supervisor *supervisor, const struct fleet_action *action) {
        switch (action->kind) {
        case FLEET_DO_LOAD:
                rotation_load(supervisor, action->load);
                return;
        case FLEET_DO_CANCEL_LOAD:
                rotation_cancel(supervisor);
                return;
        case FLEET_DO_SPAWN:
                app_spawn(supervisor, action);
                return;
        case FLEET_DO_SIGNAL:
        case FLEET_DO_STOP:
        case FLEET_DO_KILL:
                perform_on_instance(supervisor, action);
                return;
        case FLEET_DO_DROP:
                adopt_drop(supervisor, action->generation);
                listeners_drop(supervisor, action->generation);
                rotation_drop(supervisor, action->generation);
                return;
        case FLEET_DO_STEER:
                report_steer(supervisor);
                listeners_steer(supervisor, supervisor->actions.shares, supervisor->actions.share_count);
                return;
        case FLEET_DO_REPORT:
                report_write(supervisor, action);
                if (action->report == FLEET_REPORT_STOP_AGAIN && !action->is_delivered)
                        stop_again(supervisor);
                return;
        case FLEET_DO_EXIT:
                rotation_cancel(supervisor);
                supervisor->is_over = true;
                supervisor->exit_status = action->status;
                return;
        }
}

static void step(struct supervisor *supervisor, const struct fleet_event *event) {
        /* While a step's actions are performed new events only queue: `actions` is not touched again. */
        fleet_step(&supervisor->fleet, event, &supervisor->actions);
        for (size_t i = 0; i < supervisor->actions.count; i++)
                perform(supervisor, &supervisor->actions.list[i]);
        if (supervisor->has_started)
                supervisor->held_signals = 0;
}

static void events_handle(struct supervisor *supervisor) {
        while (supervisor->event_count && !supervisor->is_over) {
                struct fleet_event event = supervisor->events[supervisor->event_first];

                supervisor->event_first = (supervisor->event_first + 1) % EVENTS_MAX;
                supervisor->event_count--;
                step(supervisor, &event);
        }
}

#define DESCRIPTORS_LOOKED_AT 4096 /* without /proc */

static void close_if_inherited(int fd) {
        int flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && !(flags & FD_CLOEXEC))
                (void)close(fd);
}

/* Close every descriptor from 3 on that the caller left open: it went to the app, and a copy here would keep
 * its pipe or port open for ever. What came over an exec has no close-on-exec flag, and everything of our own
 * has it from birth, or got it when it was taken over (keys, sockets). */
static void inherited_descriptors_close(void) {
        DIR *directory = opendir("/proc/self/fd");
        const struct dirent *entry;
        uint64_t fd;

        if (!directory) {
                for (int number = 3; number < DESCRIPTORS_LOOKED_AT; number++)
                        close_if_inherited(number);
                return;
        }
        while ((entry = readdir(directory)))
                if (text_to_u64(entry->d_name, &fd) && fd >= 3 && fd <= INT32_MAX)
                        close_if_inherited((int)fd);
        closedir(directory);
}

extern const char __executable_start[], etext[]; /* ld(1) */

/* Options, configuration, look-ups: most of the program has done its work now. Its pages are the file's, so
 * letting go of them costs nothing but a soft fault where one is needed again. */
static void startup_pages_release(void) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)__executable_start,
                  end = (uintptr_t)etext;

        if (page && end > start)
                (void)madvise((void *)(start & ~(page - 1)), end - start,
                        MADV_DONTNEED); // NOLINT: an address of ld's
}

/* A plain init will start nothing any more, so it does not hold the caller's directory either: it may be a
 * mount point that wants to be unmounted. */
static void after_first_start(const struct supervisor *supervisor) {
        inherited_descriptors_close();
        startup_pages_release();
        if (!supervisor->settings->keeps_directory)
                (void)!chdir("/");
}

/* What a service manager gave is for every start of the app, not only for the first: kept like our own; the
 * shim opens it to the app. */
static void listen_descriptors_keep(const struct supervisor_settings *settings) {
        for (unsigned n = 0; settings->keeps_directory && n < settings->launch.listen_count; n++)
                (void)fcntl(3 + (int)n, F_SETFD, FD_CLOEXEC);
}

static void fleet_begin(struct supervisor *supervisor) {
        struct fleet_settings fleet = supervisor->settings->fleet;

        adopt_begin(supervisor, &fleet);
        listeners_kept_begin(supervisor);
        fleet.is_steered = listeners_are_steered(supervisor);
        if (fleet.canary_percent && !fleet.is_steered)
                log_write(LOG_WARNING,
                        "canary has no effect: there is no tcp socket of which tacet could give a share");
        fleet_init(&supervisor->fleet, &fleet);
}

void supervisor_settle(struct supervisor *supervisor) {
        events_handle(supervisor);
}

static int set_up(
        struct supervisor *supervisor, const struct supervisor_settings *settings, struct error *error) {
        /* Field by field: it is zero already, and writing all of it would make pages resident that are never
         * used. */
        supervisor->settings = settings;
        supervisor->loop.epoll_fd = -1;
        supervisor->signals =
                (struct loop_source){.fd = -1, .on_readable = signals_on_readable, .owner = supervisor};
        supervisor->terminal.fd = -1;
        supervisor->load_channel.fd = -1;
        supervisor->load.channel = -1;
        supervisor->notify.source.fd = -1;
        supervisor->stop_signal = settings->stop_signal;
        listen_descriptors_keep(settings);
        /* Ignored, children would vanish unseen; the app gets the caller's choice back. */
        (void)signal(SIGCHLD, SIG_DFL);
        if (settings->is_subreaper && getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                log_write(LOG_WARNING, "cannot adopt orphans (PR_SET_CHILD_SUBREAPER): %s", strerror(errno));
        if (loop_init(&supervisor->loop, error) < 0)
                return -1;
        supervisor->signals.fd = signals_open(SIGNAL_MASK_ALL);
        if (supervisor->signals.fd < 0)
                return error_set(error, errno, "read signals from a descriptor (signalfd)");
        if (loop_add(&supervisor->loop, &supervisor->signals, error) < 0)
                return -1;
        if (notify_listen(supervisor, error) < 0)
                return -1;
        terminal_open(&supervisor->terminal);
        trees_open(supervisor);
        if (control_open(supervisor, error) < 0)
                return -1;
        if (listeners_open(supervisor, error) < 0) {
                control_close(supervisor);
                return -1;
        }
        fleet_begin(supervisor);
        gate_advise(settings);
        manager_open(supervisor);
        watch_open(supervisor);
        return 0;
}

static void turn(struct supervisor *supervisor) {
        int64_t deadline_ns = fleet_deadline(&supervisor->fleet);

        loop_wait(&supervisor->loop, supervisor->is_reaping_due ? 0 : deadline_ns);
        events_handle(supervisor);
        children_reap(supervisor);
        events_handle(supervisor);
        if (!supervisor->is_over && time_now_ns() >= fleet_deadline(&supervisor->fleet)) {
                supervisor_push(supervisor, (struct fleet_event){.kind = FLEET_TICK});
                events_handle(supervisor);
        }
        listeners_settle(supervisor);
}

int supervisor_run(const struct supervisor_settings *settings) {
        struct supervisor *supervisor = &the_supervisor;
        bool was_started = false;
        struct error error;

        if (set_up(supervisor, settings, &error) < 0) {
                log_error(LOG_ERROR, &error);
                return EXIT_STATUS_SUPERVISOR;
        }
        supervisor_push(
                supervisor, (struct fleet_event){.kind = FLEET_START, .has_generation = !settings->load});
        events_handle(supervisor);
        manager_update(supervisor);
        while (!supervisor->is_over) {
                if (supervisor->has_started && !was_started) {
                        after_first_start(supervisor);
                        was_started = true;
                }
                turn(supervisor);
                manager_update(supervisor);
        }
        control_close(supervisor);
        listeners_close(supervisor);
        remaining_end(supervisor);
        trees_close(supervisor);
        manager_close(supervisor);
        return supervisor->exit_status;
}
