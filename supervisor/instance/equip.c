/* What one start of the app is given, beside its secrets and what notify.c and readiness.c add: its sockets,
 * and the variables that say which instance it is. Called by app.c before each start, in the supervisor;
 * opens nothing itself. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor/state.h"

static_assert(LISTENERS_MAX + LAUNCH_LISTEN_MAX < LAUNCH_DESCRIPTORS_MAX, "sockets, and some more");

void app_gear_variable(struct app_gear *gear, char *string) {
        assert(gear->variable_count < APP_VARIABLES_MAX);
        gear->variables[gear->variable_count++] = string;
}

void app_gear_descriptor(struct app_gear *gear, struct launch_descriptor descriptor) {
        assert(gear->descriptor_count < LAUNCH_DESCRIPTORS_MAX);
        gear->descriptors[gear->descriptor_count++] = descriptor;
}

void app_gear_temporary(struct app_gear *gear, int take_fd) {
        assert(gear->temporary_count < APP_TEMPORARY_MAX);
        gear->temporary[gear->temporary_count++] = take_fd;
}

static void say(struct app_gear *gear, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct app_gear *gear, const char *format, ...) {
        va_list list;

        assert(gear->text_count < APP_TEXTS_MAX);
        va_start(list, format);
        vsnprintf(gear->texts[gear->text_count], APP_TEXT_BYTES, format, list);
        va_end(list);
        app_gear_variable(gear, gear->texts[gear->text_count++]);
}

/* Listeners in their order, and what came with them and is none at the place where it came. */
static int sockets_equip(
        struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        const struct supervisor_settings *settings = supervisor->settings;
        struct launch_descriptor listening[LISTENERS_MAX];
        size_t count, next = 0;

        if (listeners_descriptors(supervisor, app->generation, listening, &count, error) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                for (; next < settings->passed_count && settings->passed[next].position <= i; next++)
                        app_gear_descriptor(gear, settings->passed[next].descriptor);
                app_gear_descriptor(gear, listening[i]);
        }
        for (; next < settings->passed_count; next++)
                app_gear_descriptor(gear, settings->passed[next].descriptor);
        return 0;
}

/* Numbers that tell one instance from the others. Only where there may be others: a plain init adds
 * nothing. */
static void numbers_equip(struct supervisor *supervisor, const struct app *app, struct app_gear *gear) {
        const struct supervisor_settings *settings = supervisor->settings;

        if (settings->load)
                say(gear, "TACET_GENERATION=%llu", (unsigned long long)app->generation);
        if (settings->load || settings->fleet.replicas > 1)
                say(gear, "TACET_REPLICA=%u", app->slot);
        if (!gear->descriptor_count)
                return;
        if (settings->launch.protocols & LAUNCH_SERVER_STARTER)
                say(gear, "SERVER_STARTER_GENERATION=%llu", (unsigned long long)++supervisor->start_count);
        if (settings->launch.protocols & LAUNCH_EINHORN) {
                say(gear, "EINHORN_MASTER_PID=%d", (int)getpid());
                say(gear, "EINHORN_CHILD_INDEX=%u", app->slot);
        }
}

int app_equip(struct supervisor *supervisor, struct app *app, struct app_gear *gear, struct error *error) {
        if (sockets_equip(supervisor, app, gear, error) < 0)
                return -1;
        numbers_equip(supervisor, app, gear);
        return 0;
}
