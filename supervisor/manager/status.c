/* The line for STATUS=, which `systemctl status` shows: see manager.h. Runs in the supervisor. Numbers, and
 * words of the log; a value cannot get here. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/manager/manager.h"

struct line {
        char *text;
        size_t length;
};

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format, ...) {
        size_t room = MANAGER_STATUS_BYTES - line->length;
        va_list values;
        int wanted;

        va_start(values, format);
        wanted = vsnprintf(line->text + line->length, room, format, values);
        va_end(values);
        if (wanted > 0)
                line->length += (size_t)wanted < room ? (size_t)wanted : room - 1;
}

/* The number of slots in which that generation is available. */
static uint32_t slots_available(const struct manager *manager, uint64_t generation) {
        const struct fleet_instance *known;
        struct fleet_cursor cursor = {0};
        uint32_t count = 0;

        while ((known = fleet_instance_next(manager->rooms.fleet, &cursor)))
                count += known->generation == generation && known->state == INSTANCE_AVAILABLE &&
                         !known->is_unhealthy;
        return count;
}

/* "generation 3", or "the app" where there are no secrets and so no generations. */
static void line_add_what(struct line *line, const struct manager *manager, uint64_t generation) {
        if (manager->service.has_generations)
                line_add(line, "generation %llu", (unsigned long long)generation);
        else
                line_add(line, "the app");
}

static void line_add_progress(struct line *line, const struct manager *manager, uint64_t generation) {
        line_add(line, ": %u of %u replicas", slots_available(manager, generation),
                manager->rooms.fleet->settings.replicas);
}

static void line_add_phase(struct line *line, const struct manager *manager, const struct fleet_view *view) {
        uint32_t replicas = manager->rooms.fleet->settings.replicas;

        switch (view->phase) {
        case FLEET_PHASE_STARTING:
                line_add(line, view->has_target ? "starting " : "loading secrets");
                if (view->has_target)
                        line_add_what(line, manager, view->target);
                break;
        case FLEET_PHASE_IDLE:
                line_add_what(line, manager, view->target);
                line_add(line, view->available < replicas ? " is restarting" : " is up");
                break;
        case FLEET_PHASE_ROLLING:
                line_add(line, "rotation to ");
                line_add_what(line, manager, view->target);
                break;
        case FLEET_PHASE_REVERTING:
                line_add(line, "going back to ");
                line_add_what(line, manager, view->target);
                break;
        case FLEET_PHASE_HALTED:
                line_add(line, "halted");
                return;
        case FLEET_PHASE_STOPPING:
                line_add(line, "stopping: %u process%s of the app left", view->live,
                        view->live == 1 ? "" : "es");
                return;
        case FLEET_PHASE_OVER:
                line_add(line, "ended with status %d", manager->exit_status);
                return;
        }
        if (view->has_target && (replicas > 1 || view->phase != FLEET_PHASE_IDLE))
                line_add_progress(line, manager, view->target);
}

/* The last STATUS= of the newest instance that serves. */
static const char *app_status(const struct manager *manager) {
        const struct fleet_instance *known;
        struct fleet_cursor cursor = {0};
        const char *status = "";
        uint64_t newest = 0;

        while ((known = fleet_instance_next(manager->rooms.fleet, &cursor))) {
                const struct instance *instance;

                if (known->number < newest ||
                        (known->state != INSTANCE_READY && known->state != INSTANCE_AVAILABLE))
                        continue;
                instance = instance_by_number(manager->rooms.instances, known->number);
                if (!instance || !notify_status(manager->rooms.notify, instance)[0])
                        continue;
                status = notify_status(manager->rooms.notify, instance);
                newest = known->number;
        }
        return status;
}

/* A text that was cut must not end within a character: the manager drops what is not UTF-8. */
static void line_end(struct line *line) {
        size_t at = line->length;

        while (at > 0 && (line->text[at - 1] & 0xc0) == 0x80)
                at--;
        if (line->length == MANAGER_STATUS_BYTES - 1 && at > 0 && (line->text[at - 1] & 0x80))
                line->length = at - 1;
        line->text[line->length] = '\0';
}

void manager_status_format(struct manager *manager, char out[static MANAGER_STATUS_BYTES]) {
        struct line line = {out, 0};
        struct fleet_view view;

        fleet_look(manager->rooms.fleet, &view);
        line_add_phase(&line, manager, &view);
        if (view.is_loading && view.phase == FLEET_PHASE_IDLE)
                line_add(&line, "; loading secrets");
        if (manager->outcome[0])
                line_add(&line, "; %s", manager->outcome);
        if (manager->settings->forwards_status && app_status(manager)[0])
                line_add(&line, "; the app: %s", app_status(manager));
        line_end(&line);
        text_tame(out);
}
