/* Readiness and health: what no key can check alone. Part of config_check().
 *
 * Only what the configuration itself says is looked at. Whether there is a socket to probe, and whether it
 * can tell one generation from another, is known when the sockets are: supervisor/gate/check.c. */

#include <string.h>

#include "conf/blame.h"
#include "conf/config.h"
#include "conf/health.h"
#include "conf/schema.h"

/* A gate that could never open, and keys that belong to another one. */
static int check_ready(const struct config *config, struct error *error) {
        const struct config_rollout *rollout = &config->rollout;

        if (rollout->ready == CONFIG_READY_NOTIFY && config->service.notify_access == CONFIG_NOTIFY_NONE) {
                error_set(error, 0,
                        "ready = notify needs a notify socket, and notify_access = none gives none");
                error_hint(error, "use notify_access = main, or all when a child of the app sends READY=1");
                return config_blame(config, "service", "notify_access", error);
        }
        if (config->health.watchdog_ns && config->service.notify_access == CONFIG_NOTIFY_NONE) {
                error_set(error, 0, "watchdog needs a notify socket, and notify_access = none gives none");
                error_hint(
                        error, "use notify_access = main, or all when a child of the app sends WATCHDOG=1");
                return config_blame(config, "service", "notify_access", error);
        }
        if (rollout->ready == CONFIG_READY_FD && rollout->ready_fd == CONFIG_UNSET) {
                error_set(error, 0, "ready = fd needs the number of the descriptor");
                error_hint(error, "set ready_fd, for example 9; the app finds it in TACET_READY_FD as well");
                return config_blame(config, "rollout", "ready", error);
        }
        if (rollout->ready != CONFIG_READY_FD && rollout->ready_fd != CONFIG_UNSET) {
                error_set(error, 0, "ready_fd without ready = fd has no meaning");
                return config_blame(config, "rollout", "ready_fd", error);
        }
        if (rollout->ready == CONFIG_READY_PROBE && !config->health.probe) {
                error_set(error, 0, "ready = probe needs a probe");
                error_hint(error, "set probe in [health], or --health, e.g. http:/healthz");
                return config_blame(config, "rollout", "ready", error);
        }
        return 0;
}

/* Keys that say something about a probe which is none, or is of another kind. */
static int check_company(const struct config *config, const struct config_probe *probe, struct error *error) {
        const struct config_health *health = &config->health;
        bool is_http = probe && probe->kind == CONFIG_PROBE_HTTP;

        if (health->status && !is_http) {
                error_set(error, 0, "status without an http probe has no meaning");
                return config_blame(config, "health", "status", error);
        }
        if (health->host && !is_http) {
                error_set(error, 0, "host without an http probe has no meaning");
                return config_blame(config, "health", "host", error);
        }
        /* A health socket is one that the app serves and only the probe connects to. */
        if (health->socket && (!probe || probe->kind == CONFIG_PROBE_EXEC)) {
                error_set(error, 0,
                        "socket = yes without a tcp or http probe has no meaning: nobody would connect");
                return config_blame(config, "health", "socket", error);
        }
        /* Two answers to the question where to connect: which one was meant cannot be known. */
        if (health->socket && (probe->has_address || probe->name[0])) {
                error_set(error, 0,
                        "with socket = yes the probe goes to that socket, and '%s' is another one",
                        probe->authority);
                error_hint(error, "write probe = %s", is_http ? "http:/PATH" : "tcp:");
                return config_blame(config, "health", "probe", error);
        }
        return 0;
}

/* It is copied into the request: a line end in it would begin a header of its own. */
static int check_host(const char *host, struct error *error) {
        size_t length = host ? strlen(host) : 0;

        if (length > CONFIG_PROBE_NAME_BYTES_MAX)
                return error_set(error, 0, "host is longer than %d bytes", CONFIG_PROBE_NAME_BYTES_MAX);
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)host[i] <= ' ' || (unsigned char)host[i] >= 0x7f)
                        return error_set(error, 0, "character %zu of host cannot stand in a header", i + 1);
        return 0;
}

int config_check_health(const struct config *config, struct error *error) {
        struct config_probe CLEANUP_CONFIG_PROBE probe = {0};
        struct config_status_range statuses[CONFIG_STATUS_RANGES_MAX];

        if (check_ready(config, error) < 0)
                return -1;
        if (config->health.probe && config_probe_parse(config->health.probe, &probe, error) < 0)
                return config_blame(config, "health", "probe", error);
        if (check_company(config, config->health.probe ? &probe : NULL, error) < 0)
                return -1;
        if (config_status_parse(config->health.status, statuses, error) < 0)
                return config_blame(config, "health", "status", error);
        if (check_host(config->health.host, error) < 0)
                return config_blame(config, "health", "host", error);
        return 0;
}
