#pragma once

/* From a configuration to what the supervisor and the shim take. Neither of them knows a configuration, and
 * conf does not know them: here the two meet. */

#include "cli/service/service_sockets.h"
#include "conf/config.h"
#include "conf/health.h"
#include "secrets/load.h"
#include "supervisor/adopt/adopt.h"
#include "supervisor/supervisor.h"

/* What the settings of [health] point into. */
struct service_health {
        struct config_probe probe;
        /* the whole HTTP request, made once: a check of a running app must not fail for want of memory */
        char request[CONFIG_PROBE_PATH_BYTES_MAX + CONFIG_PROBE_NAME_BYTES_MAX + 256];
};

/* The settings and what they point into, which must live as long as they, and never move. Large: static. What
 * every service uses stands first, so that of the rest no page is touched without need. */
struct service {
        struct supervisor_settings settings;
        struct identity identity;
        struct service_sockets sockets;
        struct service_health health;
        struct socket_address adopts[ADOPT_RULES_MAX];
};

/* What a plain init has other than the defaults: no time limits of its own, so no wake-up either. */
void service_config_plain(struct config *config);

/* Make the settings. Looks up users and groups (getpwnam(3) and its like are not used: see shim/identity.h);
 * starts and opens nothing.
 * out      all zero
 * config   checked by config_check(); borrowed for as long as *out lives
 * load     the request for the loader, likewise; NULL: there are no sources
 * Returns 0 or -1 with error, which carries its exit status. */
int service_init(
        struct service *out, const struct config *config, struct load_request *load, struct error *error);

/* The part of service_init() that is about readiness, the notify socket and health.
 * own   gets what `out` points into
 * out   its members readiness, notify and health are overwritten
 * Returns 0 or -1 with error. */
int service_health_fill(struct service_health *own, struct supervisor_settings *out,
        const struct config *config, struct error *error);

/* For `tacet run`: tacet stands between a service manager and the app, so what the manager gave is taken, and
 * what it says of itself is not passed on. Call once, after service_init(). Returns 0, or -1 with error when
 * that leaves no room for another number of the configuration. */
int service_take_over(struct service *service, struct error *error);

/* How many bytes of secrets execve(2) will still take: a quarter of the app's stack limit (at least 128 KiB,
 * at most 6 MiB) less the arguments, the inherited environment and some room for what the kernel adds. The
 * loader refuses more, so that a rotation fails before an instance is stopped for it. After service_init(),
 * and after service_take_over() where that is called. */
uint64_t service_environment_room(const struct service *service);
