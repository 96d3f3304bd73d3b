/* The processes of the fleet: spawning through the shim, and their end. See state.h; ending.c signals them.
 *
 * A pid is only ever signalled between its fork and its reaping, both of which happen in this single thread:
 * the number cannot have become another process's. */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"

struct app *app_by_pid(struct supervisor *supervisor, pid_t pid) {
        for (size_t i = 0; i < supervisor->app_places; i++)
                if (supervisor->apps[i].is_used && supervisor->apps[i].pid == pid)
                        return &supervisor->apps[i];
        return NULL;
}

struct app *app_by_number(struct supervisor *supervisor, uint64_t number) {
        for (size_t i = 0; i < supervisor->app_places; i++)
                if (supervisor->apps[i].is_used && supervisor->apps[i].number == number)
                        return &supervisor->apps[i];
        return NULL;
}

static struct app *app_unused(struct supervisor *supervisor) {
        for (size_t i = 0; i < supervisor->app_places; i++)
                if (!supervisor->apps[i].is_used)
                        return &supervisor->apps[i];
        if (supervisor->app_places == FLEET_INSTANCES_MAX)
                return NULL;
        return &supervisor->apps[supervisor->app_places++];
}

static void push_spawn_failed(struct supervisor *supervisor, uint64_t number, int status, bool is_permanent) {
        supervisor_push(supervisor, (struct fleet_event){
                                            .kind = FLEET_SPAWN_FAILED,
                                            .instance = number,
                                            .status = status,
                                            .is_permanent = is_permanent,
                                    });
}

static void push_spawned(struct supervisor *supervisor, struct app *app) {
        if (app->is_reported)
                return;
        app->is_reported = true;
        supervisor_push(supervisor, (struct fleet_event){.kind = FLEET_SPAWNED, .instance = app->number});
        readiness_spawned(supervisor, app);
}

static void status_close(struct supervisor *supervisor, struct app *app) {
        loop_remove(&supervisor->loop, &app->status);
        fd_cleanup(&app->status.fd);
}

/* Read what the shim says until there is no more for now. */
static void status_drain(struct supervisor *supervisor, struct app *app) {
        struct launch_message message;
        char text[LAUNCH_NOTE_BYTES];

        while (app->status.fd >= 0) {
                switch (launch_read(app->status.fd, &message)) {
                case 1:
                        return;
                case 0:
                        if (message.kind == LAUNCH_NOTE_CONFLICT) {
                                launch_note_describe(&message, &supervisor->settings->launch, text);
                                log_write(LOG_WARNING, "%s", text);
                        } else {
                                app->failure = message;
                                app->has_failure = true;
                        }
                        break;
                default:
                        status_close(supervisor, app);
                }
        }
}

static void status_on_readable(struct loop_source *source) {
        struct supervisor *supervisor = source->owner;

        for (size_t i = 0; i < supervisor->app_places; i++) {
                struct app *app = &supervisor->apps[i];

                if (!app->is_used || &app->status != source)
                        continue;
                status_drain(supervisor, app);
                if (app->status.fd < 0 && !app->has_failure)
                        push_spawned(supervisor, app);
        }
}

static void held_signals_send(struct supervisor *supervisor, struct app *app) {
        for (int number = 1; number <= SIGNAL_MAX; number++)
                if (supervisor->held_signals & signal_bit(number))
                        app_signal(supervisor, app, number, NULL);
}

/* What the app finds in its environment and at its descriptors, beside its secrets. */
static int gear_collect(
        struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        if (app_equip(supervisor, app, gear, error) < 0)
                return -1;
        notify_equip(supervisor, gear);
        return readiness_equip(supervisor, app, gear, error);
}

static int launch(
        struct supervisor *supervisor, struct app *app, const struct app_gear *gear, struct error *error) {
        struct launch_spec spec = supervisor->settings->launch;
        struct launch_process process = {.status_fd = -1};
        int result;

        spec.descriptors = gear->descriptors;
        spec.descriptor_count = gear->descriptor_count;
        spec.variables = gear->variable_count ? gear->variables : NULL;
        spec.suspends_parent &= !gear->descriptor_count && !gear->variable_count;
        spec.secrets = rotation_bundle(supervisor, app->generation);
        spec.terminal =
                spec.wants_terminal && terminal_is_ours(&supervisor->terminal) ? supervisor->terminal.fd : -1;
        spec.cgroup_fd = tree_prepare(supervisor, app->number);
        result = adopt_prepare(supervisor, app->number, app->generation, &spec.adopt_fd, error);
        if (result == 0)
                result = launch_start(&spec, &process, error);
        fd_cleanup(&spec.adopt_fd);
        app->has_cgroup = spec.cgroup_fd > 0;
        if (spec.cgroup_fd)
                fd_close(spec.cgroup_fd);
        if (result < 0) {
                tree_dismiss(supervisor, app->number);
                return -1;
        }
        app->pid = process.pid;
        app->status.fd = process.status_fd;
        return 0;
}

static int equip_and_launch(struct supervisor *supervisor, struct app *app, struct error *error) {
        struct app_gear gear = {0};
        int result;

        result = gear_collect(supervisor, app, &gear, error);
        if (result == 0)
                result = launch(supervisor, app, &gear, error);
        for (size_t i = 0; i < gear.temporary_count; i++)
                fd_close(gear.temporary[i]);
        return result;
}

void app_spawn(struct supervisor *supervisor, const struct fleet_action *action) {
        const struct launch_spec *spec = &supervisor->settings->launch;
        struct app *app = app_unused(supervisor);
        struct error error;

        if (!app) {
                log_write(LOG_ERROR, "more than %d processes of the app at once", FLEET_INSTANCES_MAX);
                push_spawn_failed(supervisor, action->instance, EXIT_STATUS_SUPERVISOR, false);
                return;
        }
        *app = (struct app){
                .supervisor = supervisor,
                .number = action->instance,
                .slot = action->slot,
                .generation = action->generation,
                .status = {.fd = -1, .on_readable = status_on_readable, .owner = supervisor},
        };
        if (equip_and_launch(supervisor, app, &error) < 0) {
                log_error(LOG_ERROR, &error);
                readiness_ended(supervisor, app);
                push_spawn_failed(supervisor, action->instance, EXIT_STATUS_SUPERVISOR, false);
                return;
        }
        app->is_used = true;
        supervisor->has_no_children = false;
        if (spec->session != LAUNCH_SAME_GROUP)
                supervisor->last_groups[action->slot] = app->pid;
        if (supervisor->adopt.is_off) /* nothing will be seen to listen: that it runs must do */
                readiness_note(supervisor, app, READINESS_LISTEN);
        held_signals_send(supervisor, app);
        supervisor->has_started = true;
        if (supervisor->settings->fleet.replicas > 1)
                log_write(LOG_INFO, "replica %u: Spawned child process '%s' with pid %d", action->slot,
                        spec->argv[0], (int)app->pid);
        else
                log_write(LOG_INFO, "Spawned child process '%s' with pid %d", spec->argv[0], (int)app->pid);
        if (loop_add(&supervisor->loop, &app->status, &error) < 0) {
                /* Without the pipe a failure still shows, as exit status 125 of the shim. */
                log_error(LOG_WARNING, &error);
                fd_cleanup(&app->status.fd);
                push_spawned(supervisor, app);
        }
}

static void describe_failure(struct supervisor *supervisor, struct app *app, struct error *error) {
        launch_failure_describe(&app->failure, &supervisor->settings->launch, error);
        log_error(LOG_ERROR, error);
}

/* EAGAIN and ENOMEM of execve(2) may pass; a missing file or a refused setting will not by itself. */
static bool failure_is_permanent(const struct launch_message *failure) {
        return failure->code != EAGAIN && failure->code != ENOMEM && failure->code != ETXTBSY &&
               failure->code != ENFILE && failure->code != EIO;
}

void app_ended(struct supervisor *supervisor, struct app *app, int wait_status) {
        bool is_signal = WIFSIGNALED(wait_status);
        struct error error;

        status_drain(supervisor, app);
        if (app->status.fd >= 0)
                status_close(supervisor, app);
        terminal_take_back(&supervisor->terminal, app->pid);
        loop_timer_clear(&supervisor->loop, &app->drain);
        if (app->has_failure) {
                describe_failure(supervisor, app, &error);
                push_spawn_failed(supervisor, app->number, error.status, failure_is_permanent(&app->failure));
        } else {
                push_spawned(supervisor, app);
                supervisor_push(supervisor,
                        (struct fleet_event){
                                .kind = FLEET_EXITED,
                                .instance = app->number,
                                .is_signal = is_signal,
                                .status = is_signal ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                        });
        }
        readiness_ended(supervisor, app);
        app->is_used = false;
        tree_ended(supervisor, app);
}
