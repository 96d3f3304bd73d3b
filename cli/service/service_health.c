/* Configuration to settings: readiness, notify socket, health. See service.h. */

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/service/service.h"
#include "lib/duration.h"

/* What the words of the configuration are to the supervisor: see service.c. */
static const enum readiness signs[] = {
        [CONFIG_READY_AUTO] = READINESS_AUTO,
        [CONFIG_READY_EXEC] = READINESS_EXEC,
        [CONFIG_READY_LISTEN] = READINESS_LISTEN,
        [CONFIG_READY_NOTIFY] = READINESS_NOTIFY,
        [CONFIG_READY_FD] = READINESS_FD,
        [CONFIG_READY_PROBE] = READINESS_PROBE,
        [CONFIG_READY_DELAY] = READINESS_DELAY,
};
static const enum probe_kind probes[] = {
        [CONFIG_PROBE_TCP] = PROBE_TCP,
        [CONFIG_PROBE_HTTP] = PROBE_HTTP,
        [CONFIG_PROBE_EXEC] = PROBE_EXEC,
};
static_assert(sizeof signs / sizeof *signs == CONFIG_READY_COUNT, "a row for every word");
static_assert(sizeof probes / sizeof *probes == CONFIG_PROBE_COUNT, "a row for every kind");
static_assert(CONFIG_STATUS_RANGES_MAX <= PROBE_STATUSES_MAX, "all have room");

/* Under a service manager the app must not speak to that one itself: its READY=1 would be taken for
 * tacet's. */
static enum notify_access notify_access_of(const struct config *config) {
        /* auto: a socket only where somebody would hear of it: readiness waits for it, the watchdog does,
         * or a service manager whose messages are passed on. */
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

static void request_write(
        struct service_health *out, const struct config_probe *probe, const struct config *config) {
        const char *host = config->health.host;

        /* An address that was written is what the app expects as its name; `localhost` is what most
         * accept. */
        if (!host)
                host = probe->has_address ? probe->authority : "localhost";
        snprintf(out->request, sizeof out->request,
                "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tacet/" TACET_VERSION
                "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                probe->path, host);
}

static int probe_fill(struct service_health *out, struct health_settings *settings,
        const struct config *config, struct error *error) {
        struct config_status_range ranges[CONFIG_STATUS_RANGES_MAX];
        struct config_probe *probe = &out->probe;
        int count;

        if (!config->health.probe)
                return 0;
        /* config_check() has parsed it once to tell what is wrong; here it is kept. */
        if (config_probe_parse(config->health.probe, probe, error) < 0)
                return -1;
        count = config_status_parse(config->health.status, ranges, error);
        if (count < 0)
                return -1;
        for (int i = 0; i < count; i++)
                settings->probe.statuses[i] = (struct probe_status){ranges[i].first, ranges[i].last};
        settings->probe.status_count = (size_t)count;
        settings->probe.kind = probes[probe->kind];
        settings->probe.listener = probe->name[0] ? probe->name : NULL;
        settings->probe.address = probe->has_address ? &probe->address : NULL;
        settings->probe.argv = probe->command.at;
        if (probe->kind == CONFIG_PROBE_HTTP)
                request_write(out, probe, config);
        settings->probe.request = out->request;
        return 0;
}

int service_health_fill(struct service_health *own, struct supervisor_settings *out,
        const struct config *config, struct error *error) {
        out->readiness = (struct readiness_settings){
                .ready = signs[config->rollout.ready],
                .delay_ns = config->rollout.ready_delay_ns,
                .fd_number = config->rollout.ready_fd,
        };
        out->notify = (struct notify_settings){
                .access = notify_access_of(config),
                .watchdog_ns = config->health.watchdog_ns,
        };
        out->health = (struct health_settings){
                .has_socket = config->health.socket,
                .interval_ns = config->health.interval_ns,
                .start_period_ns = config->health.start_period_ns,
                .successes = config->health.successes,
                .failures = config->health.failures,
                .probe = {.timeout_ns = config->health.timeout_ns},
        };
        return probe_fill(own, &out->health, config, error);
}
