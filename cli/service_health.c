/* Configuration to settings: readiness, notify socket, health. See service.h. */

#include <unistd.h>

#include "cli/service.h"
#include "lib/duration.h"

static enum readiness readiness_of(enum config_ready ready) {
        switch (ready) {
        case CONFIG_READY_AUTO:
                return READINESS_AUTO;
        case CONFIG_READY_EXEC:
                return READINESS_EXEC;
        case CONFIG_READY_LISTEN:
                return READINESS_LISTEN;
        case CONFIG_READY_NOTIFY:
                return READINESS_NOTIFY;
        case CONFIG_READY_FD:
                return READINESS_FD;
        case CONFIG_READY_PROBE:
                return READINESS_PROBE;
        case CONFIG_READY_DELAY:
                return READINESS_DELAY;
        }
        return READINESS_AUTO;
}

/* Under a service manager the app must not speak to that one itself: its READY=1 would be taken for tacet's. */
static enum notify_access notify_access_of(const struct config *config) {
        bool is_wanted = config->rollout.ready == CONFIG_READY_NOTIFY || config->health.watchdog_ns ||
                         environment_find(environ, "NOTIFY_SOCKET", 13);

        switch (config->service.notify_access) {
        case CONFIG_NOTIFY_AUTO:
                return is_wanted ? NOTIFY_ACCESS_MAIN : NOTIFY_ACCESS_NONE;
        case CONFIG_NOTIFY_MAIN:
                return NOTIFY_ACCESS_MAIN;
        case CONFIG_NOTIFY_ALL:
                return NOTIFY_ACCESS_ALL;
        case CONFIG_NOTIFY_NONE:
                return NOTIFY_ACCESS_NONE;
        }
        return NOTIFY_ACCESS_NONE;
}

void service_health_fill(struct supervisor_settings *out, const struct config *config) {
        out->readiness = (struct readiness_settings){
                .ready = readiness_of(config->rollout.ready),
                .delay_ns = config->rollout.ready_delay_ns,
                .fd_number = config->rollout.ready_fd,
        };
        out->notify = (struct notify_settings){
                .access = notify_access_of(config),
                .watchdog_ns = config->health.watchdog_ns,
        };
}
