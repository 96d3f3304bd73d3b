/* Performing what the core decides, called by the supervisor's loop: the one place that knows actions.
 *
 * A fact is taken from the queue, fleet_step() decides, each action calls the function of a room, and reports
 * go to the observers. No action waits for anything. */

#include <stddef.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/control/server.h"
#include "supervisor/state.h"

/* ---- observers ---- */

/* A report of the core and the line that describes it. Observers decide nothing. */
typedef void report_observer(
        struct supervisor *supervisor, const struct fleet_action *action, const char *line);

static void manager_observe(
        struct supervisor *supervisor, const struct fleet_action *action, const char *line) {
        manager_report(&supervisor->manager, action, line, supervisor->generations.load_error);
}

static void control_observe(
        struct supervisor *supervisor, const struct fleet_action *action, const char *line) {
        (void)supervisor;
        control_report(action, line);
}

static report_observer *const observers[] = {report_write, manager_observe, control_observe};

static void report_tell(struct supervisor *supervisor, const struct fleet_action *action) {
        char line[REPORT_LINE_BYTES];

        rotation_note_begin(supervisor, action);
        report_format(supervisor, action, line);
        for (size_t i = 0; i < sizeof observers / sizeof *observers; i++)
                observers[i](supervisor, action, line);
        rotation_note_end(supervisor, action);
}

/* ---- loads ---- */

#define PAGE_BYTES       4096 /* the least that a page has */
#define STACK_BYTES_WARM ((size_t)12 * 1024)

/* Write to each page, so that this process has its own copy. */
static void pages_touch(void *from, size_t bytes) {
        volatile char *at = from;

        for (size_t i = 0; i < bytes; i += PAGE_BYTES)
                at[i] = at[i];         // cppcheck-suppress selfAssignment ; the write is what is wanted
        at[bytes - 1] = at[bytes - 1]; // cppcheck-suppress selfAssignment ; the write is what is wanted
}

static void __attribute__((noinline)) stack_touch(void) {
        char room[STACK_BYTES_WARM] = {0};

        pages_touch(room, sizeof room);
}

/* After the forks of the loader and of a shim that waits, pages are shared, and the first write to each waits
 * for its copy. So it is done now, while the loader works, and does not delay the new instance later. */
static void pages_warm(struct supervisor *supervisor) {
        pages_touch(supervisor, offsetof(struct supervisor, actions) + PAGE_BYTES);
        pages_touch(&supervisor->facts, PAGE_BYTES);
        pages_touch(&supervisor->instances, PAGE_BYTES);
        stack_touch();
}

/* When a load has begun that somebody waits for: start ahead the instance that it will most likely bring. */
static void spawn_foresee(struct supervisor *supervisor, const struct fleet_event *event) {
        const bool is_awaited =
                event->kind == FLEET_START || (event->kind == FLEET_RELOAD && !event->is_quiet);
        uint64_t instance;
        uint32_t slot;

        if (!is_awaited || supervisor->generations.channel.fd < 0)
                return;
        if (fleet_foresee(&supervisor->fleet, &slot, &instance))
                launcher_prepare(&supervisor->launcher, slot, instance, supervisor->generations.last + 1);
        pages_warm(supervisor);
}

/* ---- actions ---- */

static void drop_perform(struct supervisor *supervisor, const struct fleet_action *action) {
        adopt_drop(&supervisor->adopt, action->generation);
        listeners_drop(&supervisor->listeners, action->generation);
        generations_drop(&supervisor->generations, action->generation);
}

/* Clients at the socket of a generation whose instances died are inherited by the next one, but only if that
 * has no socket yet: so an instance that was started ahead with one is called off. */
static void steer_perform(struct supervisor *supervisor) {
        const struct instance *prepared = supervisor->launcher.ahead.instance;
        const struct fleet_actions *actions = &supervisor->actions;

        if (prepared && listeners_have_orphans(&supervisor->listeners)) {
                const uint64_t generation = prepared->generation;

                launcher_call_off(&supervisor->launcher);
                listeners_drop(&supervisor->listeners, generation);
        }
        report_steer(supervisor);
        listeners_steer(&supervisor->listeners, actions->shares, actions->share_count);
}

static void exit_perform(struct supervisor *supervisor, const struct fleet_action *action) {
        generations_cancel(&supervisor->generations);
        launcher_call_off(&supervisor->launcher);
        supervisor->is_over = true;
        supervisor->exit_status = action->status;
}

/* No new connection comes to it, nor does health look at it; its queue is watched while this holds. */
static void emptying_perform(
        struct supervisor *supervisor, struct instance *instance, const struct fleet_action *action) {
        instance->is_emptying = action->kind == FLEET_DO_EMPTY;
        if (instance->is_emptying)
                listeners_empty(&supervisor->listeners, instance);
}

/* Also where it was not emptied before. */
static void draining_perform(struct supervisor *supervisor, struct instance *instance) {
        instance->is_emptying = true;
        listeners_drain(&supervisor->listeners, instance);
}

/* Actions about an instance; ignored when it has ended meanwhile. */
static void instance_perform(struct supervisor *supervisor, const struct fleet_action *action) {
        struct instance *instance = instance_by_number(&supervisor->instances, action->instance);

        if (!instance && action->kind == FLEET_DO_KILL)
                tree_rest_kill(&supervisor->trees, action->instance);
        if (!instance)
                return;
        if (action->kind == FLEET_DO_STOP || action->kind == FLEET_DO_KILL)
                listeners_stopping(&supervisor->listeners, instance);
        if (action->kind == FLEET_DO_STOP)
                launcher_stop(&supervisor->launcher, instance, action);
        else if (action->kind == FLEET_DO_SIGNAL)
                launcher_reload(&supervisor->launcher, instance, action->generation);
        else if (action->kind == FLEET_DO_KILL)
                launcher_kill(&supervisor->launcher, instance);
        else if (action->kind == FLEET_DO_DRAIN)
                draining_perform(supervisor, instance);
        else
                emptying_perform(supervisor, instance, action);
}

static void action_perform(struct supervisor *supervisor, const struct fleet_action *action) {
        switch (action->kind) {
        case FLEET_DO_LOAD:
                generations_load(&supervisor->generations, action->load);
                return;
        case FLEET_DO_CANCEL_LOAD:
                generations_cancel(&supervisor->generations);
                launcher_call_off(&supervisor->launcher);
                return;
        case FLEET_DO_SPAWN:
                launcher_spawn(&supervisor->launcher, action);
                return;
        case FLEET_DO_SIGNAL:
        case FLEET_DO_EMPTY:
        case FLEET_DO_DRAIN:
        case FLEET_DO_RECALL:
        case FLEET_DO_STOP:
        case FLEET_DO_KILL:
                instance_perform(supervisor, action);
                return;
        case FLEET_DO_SWEEP:
                tree_sweep(&supervisor->trees, action->generation, action->delay_ns);
                return;
        case FLEET_DO_DROP:
                drop_perform(supervisor, action);
                return;
        case FLEET_DO_STEER:
                steer_perform(supervisor);
                return;
        case FLEET_DO_REPORT:
                report_tell(supervisor, action);
                return;
        case FLEET_DO_EXIT:
                exit_perform(supervisor, action);
                return;
        }
}

static void step_perform(struct supervisor *supervisor, const struct fleet_event *event) {
        const struct fleet_actions *actions = &supervisor->actions;

        if ((event->kind == FLEET_EXITED && !event->has_leftovers) || event->kind == FLEET_CLEARED)
                listeners_ended(&supervisor->listeners, event->instance);
        /* While a step's actions are performed new facts only queue: `actions` is not touched again. */
        fleet_step(&supervisor->fleet, event, &supervisor->actions);
        for (size_t i = 0; i < actions->count; i++)
                action_perform(supervisor, &actions->list[i]);
        /* The load is over: an instance that was started ahead is used by now, or not needed. */
        if (event->kind == FLEET_LOADED || event->kind == FLEET_LOAD_FAILED)
                launcher_call_off(&supervisor->launcher);
        spawn_foresee(supervisor, event);
        if (actions->lost)
                log_write(LOG_ERROR, "%u reports of one step found no room and are not told",
                        (unsigned)actions->lost);
        if (supervisor->launcher.has_started)
                supervisor->launcher.held_signals = 0;
}

void facts_handle(struct supervisor *supervisor) {
        struct fleet_event event;

        while (!supervisor->is_over && facts_take(&supervisor->facts, &event))
                step_perform(supervisor, &event);
}
