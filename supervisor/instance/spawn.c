/* Starting instances, and what follows their end: see launcher.h. Runs in the supervisor; after the fork the
 * shim runs (shim/launch.h). */

#include "supervisor/instance/launcher.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/signals.h"
#include "supervisor/process/descendants.h"

void launcher_open(struct launcher *launcher, const struct launcher_rooms *rooms,
        const struct launcher_settings *settings) {
        launcher->rooms = *rooms;
        launcher->settings = *settings;
}

static void spawn_failed_push(
        const struct launcher *launcher, uint64_t number, int status, bool is_permanent) {
        facts_push(launcher->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_SPAWN_FAILED,
                        .instance = number,
                        .status = status,
                        .is_permanent = is_permanent});
}

static void spawned_push(const struct launcher *launcher, struct instance *instance) {
        if (instance->is_reported)
                return;
        instance->is_reported = true;
        facts_push(launcher->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_SPAWNED, .instance = instance->number});
        readiness_spawned(launcher->rooms.gate, instance);
}

static void status_close(const struct launcher *launcher, struct instance *instance) {
        loop_remove(launcher->rooms.loop, &instance->status);
        fd_cleanup(&instance->status.fd);
}

static void message_handle(
        const struct launcher *launcher, struct instance *instance, const struct launch_message *message) {
        char text[LAUNCH_NOTE_BYTES];

        if (message->kind == LAUNCH_NOTE_CONFLICT) {
                launch_note_describe(message, launcher->settings.launch, text);
                log_write(LOG_WARNING, "%s", text);
        } else {
                instance->failure = *message;
                instance->has_failure = true;
        }
}

/* Read the shim's messages until there is none for now. */
static void status_drain(const struct launcher *launcher, struct instance *instance) {
        struct launch_message message;

        while (instance->status.fd >= 0) {
                int result = launch_read(instance->status.fd, &message);

                if (result == 1)
                        return;
                if (result == 0)
                        message_handle(launcher, instance, &message);
                else
                        status_close(launcher, instance);
        }
}

static void status_on_readable(struct loop_source *source) {
        struct launcher *launcher = source->owner;
        struct instance *instance = (struct instance *)((char *)source - offsetof(struct instance, status));

        status_drain(launcher, instance);
        if (instance->status.fd < 0 && !instance->has_failure &&
                !progress_is_cut(launcher->progress[instance_place(instance)]))
                spawned_push(launcher, instance);
}

static void held_signals_send(const struct launcher *launcher, const struct instance *instance) {
        for (int number = 1; number <= SIGNAL_MAX; number++)
                if (launcher->held_signals & signal_bit(number))
                        launcher_signal(launcher, instance, number, NULL);
}

void launcher_start_early(struct launcher *launcher) {
        const struct terminal *terminal = launcher->rooms.terminal;
        struct launch_spec spec = *launcher->settings.launch;
        struct error error;

        assert(spec.suspends_parent);
        spec.terminal = spec.wants_terminal && terminal_is_ours(terminal) ? terminal->fd : -1;
        spec.adopt_fd = -1;
        spec.progress = &launcher->own_progress[FLEET_INSTANCES_MAX];
        launcher->early_ticks = descendants_now_ticks();
        if (launch_start(&spec, &launcher->early, &error) < 0)
                launcher->early.pid = 0;
}

static void instance_take_early(
        struct launcher *launcher, struct instance *instance, const struct gear *gear) {
        assert(gear->descriptor_count == 0 && gear->variable_count == 0);
        instance->pid = launcher->early.pid;
        instance->started_ticks = launcher->early_ticks;
        instance->status.fd = launcher->early.status_fd;
        launcher->progress[instance_place(instance)] = &launcher->own_progress[FLEET_INSTANCES_MAX];
        launcher->early.pid = 0;
}

static int process_start(
        struct launcher *launcher, struct instance *instance, const struct gear *gear, struct error *error) {
        struct launch_spec spec;
        struct launch_process process = {.status_fd = -1};
        const struct launcher_rooms *rooms = &launcher->rooms;
        int result = launcher_spec(launcher, instance, gear, &spec, error);

        spec.secrets = generations_bundle(rooms->generations, instance->generation);
        if (spec.wants_terminal && terminal_is_ours(rooms->terminal))
                spec.terminal = rooms->terminal->fd;
        if (result == 0)
                result = launch_start(&spec, &process, error);
        instance->has_cgroup = spec.cgroup_fd > 0;
        launcher_spec_release(&spec);
        if (result < 0) {
                tree_dismiss(launcher->rooms.trees, instance->number);
                return -1;
        }
        instance->pid = process.pid;
        instance->status.fd = process.status_fd;
        return 0;
}

static int instance_start(struct launcher *launcher, struct instance *instance, struct error *error) {
        struct gear gear = {0};
        int result = launcher_gear(launcher, instance, &gear, error);

        if (result == 0 && launcher->early.pid)
                instance_take_early(launcher, instance, &gear);
        else if (result == 0)
                result = process_start(launcher, instance, &gear, error);
        gear_release(&gear);
        return result;
}

static void start_log(const struct launcher *launcher, const struct instance *instance) {
        const char *name = launcher->settings.launch->argv[0];

        if (launcher->settings.has_replicas)
                log_write(LOG_INFO, "replica %u: Spawned child process '%s' with pid %d", instance->slot,
                        name, (int)instance->pid);
        else
                log_write(LOG_INFO, "Spawned child process '%s' with pid %d", name, (int)instance->pid);
}

/* A lack of memory or a busy file may pass (execve(2)); a missing file or a refused setting does not. */
static bool failure_is_permanent(const struct launch_message *failure) {
        return failure->code != EAGAIN && failure->code != ENOMEM && failure->code != ETXTBSY &&
               failure->code != ENFILE && failure->code != EIO;
}

/* The shim failed to become the app: log why, and tell the core. */
static void failure_push(const struct launcher *launcher, const struct instance *instance) {
        struct error error;

        launch_failure_describe(&instance->failure, launcher->settings.launch, &error);
        log_error(LOG_ERROR, &error);
        spawn_failed_push(launcher, instance->number, error.status, failure_is_permanent(&instance->failure));
}

/* Nobody has told it to end, and it says that all is well. */
static bool is_detached(const struct launcher *launcher, const struct instance *instance, int wait_status) {
        return launcher->settings.minds_background && WIFEXITED(wait_status) &&
               WEXITSTATUS(wait_status) == 0 && !instance->is_ending &&
               tree_is_detached(launcher->rooms.trees, instance, launcher->settings.is_daemon);
}

static void exit_push(const struct launcher *launcher, struct instance *instance, int wait_status,
        bool has_leftovers, bool has_detached) {
        bool is_signal = WIFSIGNALED(wait_status);

        spawned_push(launcher, instance);
        facts_push(launcher->rooms.facts, time_now_ns(),
                (struct fleet_event){.kind = FLEET_EXITED,
                        .instance = instance->number,
                        .is_signal = is_signal,
                        .has_leftovers = has_leftovers,
                        .is_detached = has_detached,
                        .status = is_signal ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status)});
}

/* Reaped: tell the core, forget the instance. */
static void instance_on_ended(struct child *child, int wait_status) {
        struct launcher *launcher = child->owner;
        struct instance *instance = instance_of_child(child);
        const struct launcher_rooms *rooms = &launcher->rooms;
        bool has_leftovers, has_detached;

        status_drain(launcher, instance);
        if (instance->status.fd >= 0)
                status_close(launcher, instance);
        instance->has_failure |= progress_filtered(
                launcher->progress[instance_place(instance)], wait_status, &instance->failure);
        terminal_take_back(rooms->terminal, instance->pid);
        loop_timer_clear(rooms->loop, &instance->drain);
        instance->is_used = false;
        has_detached = is_detached(launcher, instance, wait_status);
        has_leftovers = tree_ended(rooms->trees, instance);
        listeners_mend_files(rooms->listeners);
        if (instance->has_failure)
                failure_push(launcher, instance);
        else
                exit_push(launcher, instance, wait_status, has_leftovers, has_detached);
        readiness_ended(rooms->gate, instance);
}

/* The process has been started: make the instance one of the fleet's. */
static void instance_enroll(struct launcher *launcher, struct instance *instance) {
        const struct launcher_rooms *rooms = &launcher->rooms;
        struct error error;

        instance->is_used = true;
        instance->child.on_ended = instance_on_ended;
        instance->child.on_stopped = launcher_on_stopped;
        instance->status.on_readable = status_on_readable;
        children_add(rooms->children, &instance->child, instance->pid);
        if (launcher->settings.launch->session != LAUNCH_SAME_GROUP)
                launcher->last_groups[instance->slot] = instance->pid;
        /* Where adopting does not work, no listen(2) is seen: that the app runs has to be enough. */
        if (rooms->rules->adopt_count && !rooms->rules->is_adopting)
                signs_note(instance, READINESS_LISTEN);
        held_signals_send(launcher, instance);
        launcher->has_started = true;
        start_log(launcher, instance);
        if (loop_add(rooms->loop, &instance->status, &error) < 0) {
                /* Without the pipe a failure still shows, as exit status 125 of the shim. */
                log_error(LOG_WARNING, &error);
                fd_cleanup(&instance->status.fd);
                spawned_push(launcher, instance);
        }
}

void launcher_spawn(struct launcher *launcher, const struct fleet_action *action) {
        struct instance *instance = launcher_take_ahead(launcher, action);
        struct error error;

        if (instance) {
                instance_enroll(launcher, instance);
                return;
        }
        instance = instance_unused(launcher->rooms.instances);
        if (!instance) {
                log_write(LOG_ERROR, "more than %d processes of the app at once", FLEET_INSTANCES_MAX);
                spawn_failed_push(launcher, action->instance, EXIT_STATUS_SUPERVISOR, false);
                return;
        }
        launcher_instance_init(launcher, instance, action->slot, action->instance, action->generation);
        if (instance_start(launcher, instance, &error) == 0) {
                instance_enroll(launcher, instance);
                return;
        }
        log_error(LOG_ERROR, &error);
        readiness_ended(launcher->rooms.gate, instance);
        spawn_failed_push(launcher, action->instance, EXIT_STATUS_SUPERVISOR, false);
}
