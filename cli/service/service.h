#pragma once

/* From a configuration to what the supervisor and the shim take. */

#include "cli/service/service_sockets.h"
#include "conf/config.h"
#include "conf/health.h"
#include "secrets/load.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/supervisor.h"

/* What the settings of [health] point into. */
struct service_health {
        struct config_probe probe;
        char request[CONFIG_PROBE_PATH_BYTES_MAX + CONFIG_PROBE_NAME_BYTES_MAX + 256];
};

/* What the settings point into; must live as long as they. */
struct service {
        struct service_health health;
        struct identity identity;
        struct service_sockets sockets;
        struct socket_address adopts[ADOPT_RULES_MAX];
        struct supervisor_settings settings;
};

/* What a plain init has other than the defaults: no time limits of its own, so no wake-up either. */
void service_config_plain(struct config *config);

/* Fill *out from `config` (borrowed, as is `load`, which may be NULL: no sources).
 * Looks up users and groups. Errors carry their exit status. */
int service_init(
        struct service *out, const struct config *config, struct load_request *load, struct error *error);

/* The part of it that is in cli/service/service_health.c: readiness, notify socket, health. */
int service_health_fill(struct service_health *own, struct supervisor_settings *out,
        const struct config *config, struct error *error);

/* For `tacet run`: tacet stands between a service manager and the app, so what the manager gave is taken, and
 * what it says of itself is not passed on. Call once, after service_init(). Returns 0, or -1 with error when
 * that leaves no room for another number of the configuration. */
int service_take_over(struct service *service, struct error *error);

/* How many bytes of secrets execve(2) will still take: a quarter of the app's stack limit (at least 128 KiB,
 * at most 6 MiB) less the arguments, the inherited environment and some room for what the kernel adds. */
uint64_t service_environment_room(const struct service *service);
