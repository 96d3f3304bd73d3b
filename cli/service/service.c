/* Configuration to settings: see service.h. Plain copying, but for users and groups. */

#include "cli/service/service.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/random.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/common/startup.h"
#include "conf/expand.h"
#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/log.h"

/* What the words of the configuration are to those who act on them: conf lies below the supervisor and the
 * shim and cannot name their constants. A word that is added behind the others and has no row does not
 * compile; that each has a meaning of its own is tested. */
static const enum environment_conflict conflicts[] = {
        [CONFIG_CONFLICT_REPLACE] = ENVIRONMENT_REPLACE,
        [CONFIG_CONFLICT_KEEP] = ENVIRONMENT_KEEP,
        [CONFIG_CONFLICT_REFUSE] = ENVIRONMENT_REFUSE,
};
static const enum launch_session sessions[] = {
        [CONFIG_SESSION_GROUP] = LAUNCH_OWN_GROUP,
        [CONFIG_SESSION_SESSION] = LAUNCH_OWN_SESSION,
        [CONFIG_SESSION_NONE] = LAUNCH_SAME_GROUP,
};
static const enum fleet_restart restarts[] = {
        [CONFIG_RESTART_NO] = FLEET_RESTART_NO,
        [CONFIG_RESTART_ON_FAILURE] = FLEET_RESTART_ON_FAILURE,
        [CONFIG_RESTART_ALWAYS] = FLEET_RESTART_ALWAYS,
};
static_assert(sizeof conflicts / sizeof *conflicts == CONFIG_CONFLICT_COUNT, "a row for every word");
static_assert(sizeof sessions / sizeof *sessions == CONFIG_SESSION_COUNT, "a row for every word");
static_assert(sizeof restarts / sizeof *restarts == CONFIG_RESTART_COUNT, "a row for every word");

/* pass_env was not given with clear_env: nothing passes. NULL would mean that everything does. */
static char *const no_patterns[] = {NULL};

static void environment_fill(struct environment_spec *out, const struct config *config) {
        out->inherited = environ;
        out->settings = config->service.environment.at;
        if (config->service.clear_env)
                out->pass_patterns = config->service.pass_env.at ? config->service.pass_env.at : no_patterns;
        out->on_conflict = conflicts[config->service.on_conflict];
}

/* Words without a % are what they are, and a start need not copy them. */
static size_t expansion_count(const struct config_words *words) {
        size_t count = 0;

        for (size_t i = 0; i < words->expanded; i++)
                if (strchr(words->at[i], '%'))
                        count = i + 1;
        return count;
}

static void expansion_fill(struct launch_expansion *out, const struct config *config) {
        const struct config_service *service = &config->service;

        out->arguments = expansion_count(&service->command);
        out->settings = expansion_count(&service->environment);
        out->has_directory =
                service->directory && strchr(service->directory, '%') && config_directory_is_expanded(config);
}

/* conf knows no setrlimit(2), and where addresses have 32 bits the two infinities differ. */
static rlim_t limit_value(uint64_t value) {
        return value == UINT64_MAX ? RLIM_INFINITY : (rlim_t)value;
}

static void limits_fill(struct launch_spec *out, const struct config *config) {
        for (int resource = 0; resource < (int)RLIM_NLIMITS; resource++) {
                const struct config_limit *limit = &config->sandbox.limits[resource];

                if (!limit->is_set)
                        continue;
                out->limits[out->limit_count++] = (struct launch_limit){
                        .resource = resource,
                        .value = {.rlim_cur = limit_value(limit->soft), .rlim_max = limit_value(limit->hard)},
                };
        }
}

/* Bits of conf to bits of the shim, which lies above it: see the tables. */
static unsigned protocols_of(uint32_t protocols) {
        return (protocols & CONFIG_PROTOCOL_SYSTEMD ? LAUNCH_SYSTEMD : 0) |
               (protocols & CONFIG_PROTOCOL_SERVER_STARTER ? LAUNCH_SERVER_STARTER : 0) |
               (protocols & CONFIG_PROTOCOL_EINHORN ? LAUNCH_EINHORN : 0);
}

/* Called again after a manager's sockets were taken: only the counts have changed. */
static void sockets_point(struct service *service) {
        struct supervisor_settings *settings = &service->settings;

        settings->sockets.declared = service->sockets.listeners;
        settings->sockets.declared_count = service->sockets.listener_count;
        settings->passed = service->sockets.passed;
        settings->passed_count = service->sockets.passed_count;
        settings->sockets.kept = service->sockets.kept;
        settings->sockets.kept_count = service->sockets.kept_count;
        if (settings->sockets.declared_count || settings->passed_count)
                settings->launch.suspends_parent = false; /* the shim allocates when there are any */
}

/* The app's sockets have the numbers from 3 on; how many came from a service manager no configuration can
 * know. */
static int ready_fd_check(const struct supervisor_settings *settings, struct error *error) {
        int count = (int)(settings->sockets.declared_count + settings->passed_count) +
                    settings->health.has_socket;
        int number = settings->readiness.fd_number;

        if (settings->readiness.ready != READINESS_FD || number < 3 || number >= 3 + count)
                return 0;
        error_set(error, 0, "ready_fd = %d is the number of a socket: the app's have 3 to %d", number,
                2 + count);
        error_hint(error, "give it one from %d on", 3 + count);
        return error_status(error, EXIT_STATUS_CONFIG);
}

/* conf/check.c has said what is wrong with an address; here is left what it let pass. */
static int adopts_fill(struct service *out, const struct config *config, struct error *error) {
        const struct config_words *words = &config->service.adopt;

        for (size_t i = 0; i < words->count && i < ADOPT_RULES_MAX; i++)
                if (socket_address_parse(words->at[i], &out->adopts[i], error) < 0)
                        return -1;
        /* The seccomp filter of the shim watches unlink(2) too when a path may have to be freed for a
         * bind(2). */
        for (size_t i = 0; i < words->count; i++)
                if (socket_address_path(&out->adopts[i]))
                        out->settings.launch.adopt_reports = ADOPT_REPORTS_PATHS;
        out->settings.sockets.refuses_connects = config->service.adopt_connect == CONFIG_CONNECT_REFUSE;
        if (out->settings.sockets.refuses_connects)
                out->settings.launch.adopt_reports = ADOPT_REPORTS_ALL;
        out->settings.sockets.adopts = out->adopts;
        out->settings.sockets.adopt_count = words->count;
        out->settings.readiness.has_adopted = words->count > 0;
        return 0;
}

static void fleet_fill(struct fleet_settings *out, const struct config *config) {
        const struct config_service *service = &config->service;
        const struct config_rollout *rollout = &config->rollout;

        *out = (struct fleet_settings){
                .replicas = (uint32_t)service->replicas,
                .surge_max = config_surge_max(config),
                .unavailable_max = config_unavailable_max(config),
                .failures_max = (uint32_t)rollout->failures,
                .is_revert_off = rollout->revert == CONFIG_REVERT_NO,
                .load_timeout_ns = time_add(config->load.timeout_ns, NS_PER_S),
                .ready_timeout_ns = rollout->ready_timeout_ns,
                .healthy_min_ns = rollout->min_healthy_ns,
                .hold_ns = rollout->hold_ns,
                .queue_timeout_ns = rollout->queue_timeout_ns,
                .drain_timeout_ns = rollout->drain_timeout_ns,
                .canary_percent = rollout->canary.value,
                .canary_ns = rollout->canary_time_ns,
                .is_signalled = rollout->strategy == CONFIG_STRATEGY_SIGNAL,
                .drain_ns = service->drain_time_ns,
                .stop_timeout_ns = service->stop_timeout_ns,
                .emergency_timeout_ns = rollout->emergency_timeout_ns,
                .progress_timeout_ns = rollout->progress_timeout_ns,
                .previous_keep_ns = rollout->keep_previous_ns,
                .restart = restarts[service->restart],
                .restart_delay_ns = service->restart_delay_ns,
                .restart_delay_max_ns = service->restart_delay_max_ns,
                .restart_reset_ns = service->restart_reset_ns,
                .restart_limit = (uint32_t)service->restart_limit,
        };
        /* It only spreads retries of many machines; at boot the pool may be empty, and PID 1 must not
         * wait for it. */
        (void)!getrandom(&out->jitter_seed, sizeof out->jitter_seed, GRND_NONBLOCK);
}

/* A plain init has no opinion of its own: whoever stops it (a container runtime) has a time limit and a
 * SIGKILL, and one more timer would only wake the machine. */
void service_config_plain(struct config *config) {
        config->service.stop_timeout_ns = NS_FOREVER;
        config->rollout.min_healthy_ns = 0;
        config->rollout.ready_timeout_ns = 0;
        config->service.notify_access = CONFIG_NOTIFY_NONE;
}

/* A terminal has one foreground: of several instances at a time none gets it, and a background process that
 * reads from it would be stopped. */
static bool is_crowd(const struct config *config) {
        return config->service.session != CONFIG_SESSION_NONE &&
               (uint32_t)config->service.replicas + config_surge_max(config) > 1;
}

/* How an instance begins. */
static void launch_fill(
        struct launch_spec *out, const struct config *config, const struct identity *identity) {
        const struct config_service *service = &config->service;

        *out = (struct launch_spec){
                .argv = service->command.at,
                .identity = identity,
                .directory = service->directory,
                .has_umask = service->umask != CONFIG_UNSET,
                .umask = service->umask == CONFIG_UNSET ? 0 : (mode_t)service->umask,
                .session = sessions[service->session],
                .terminal = -1,
                .adopt_fd = -1,
                .wants_terminal = service->terminal == CONFIG_TERMINAL_AUTO && !is_crowd(config),
                .hides_input = is_crowd(config) && isatty(STDIN_FILENO),
                .parent_death_signal = service->parent_death_signal,
                .listen_count = service_sockets_given(),
                .protocols = protocols_of(service->socket_protocols),
                .inheritance = *startup_inheritance(),
        };
        environment_fill(&out->environment, config);
        out->environment.person = identity->variables;
        expansion_fill(&out->expansion, config);
        limits_fill(out, config);
}

/* What the supervisor itself does: signals, loads, the end. */
static void supervision_fill(
        struct supervisor_settings *out, const struct config *config, struct load_request *load) {
        const struct config_service *service = &config->service;
        const struct config_rollout *rollout = &config->rollout;

        out->load = load;
        out->sockets.queue_quiet_ns = rollout->queue_quiet_ns;
        out->sockets.drain = (struct drain_settings){
                .timeout_ns = rollout->drain_timeout_ns, .settle_ns = rollout->drain_settle_ns};
        out->control_path = config->control.path;
        out->watch_delay_ns = rollout->watch_delay_ns;
        out->stop_signal = service->stop_signal;
        out->drain_signal = service->drain_signal;
        out->reload_signal = rollout->reload_signal;
        out->rotate_signal = load ? rollout->rotate_signal : 0;
        out->signals_group = service->kill_mode == CONFIG_KILL_GROUP;
        out->kills_tree = service->kill_mode == CONFIG_KILL_TREE;
        out->ends_leftovers =
                service->leftovers == CONFIG_LEFTOVERS_END && service->exit_when != CONFIG_EXIT_ALL;
        out->is_subreaper = true;
        out->waits_for_all = service->exit_when == CONFIG_EXIT_ALL;
        out->remaining_timeout_ns = service->remaining_timeout_ns;
        /* Relative paths mean the same at every later load and start only when the directory stays. */
        out->keeps_directory = load || service->restart != CONFIG_RESTART_NO;
        supervisor_rewrites_init(out->rewrites);
}

int service_init(
        struct service *out, const struct config *config, struct load_request *load, struct error *error) {
        const struct config_service *service = &config->service;
        struct supervisor_settings *settings = &out->settings;

        /* First what can fail because of the machine: unknown users, too many sockets. */
        if (identity_resolve(service->user, service->group, service->supplementary_groups.at, &out->identity,
                    error) < 0 ||
                service_sockets_declare(&out->sockets, config, error) < 0)
                return -1;
        launch_fill(&settings->launch, config, &out->identity);
        fleet_fill(&settings->fleet, config);
        if (service_health_fill(&out->health, settings, config, error) < 0 ||
                adopts_fill(out, config, error) < 0)
                return -1;
        if (settings->fleet.is_signalled && load)
                log_write(LOG_WARNING, "strategy = signal: a rotation changes nothing in the environment of "
                                       "an app that runs; it has to "
                                       "read its secrets itself");
        supervision_fill(settings, config, load);
        /* Never with a change of user: a process of that user must not come near memory that PID 1 shares. */
        settings->launch.suspends_parent = !settings->keeps_directory && !out->identity.is_set &&
                                           !expansion_is_wanted(&settings->launch.expansion);
        sockets_point(out);
        return ready_fd_check(settings, error);
}

int service_take_over(struct service *service, struct error *error) {
        struct launch_spec *launch = &service->settings.launch;

        /* They name sockets and descriptors of ours; an app that believed them would answer for tacet. */
        launch->environment.removed = service_manager_variables;
        service_sockets_inherit(&service->sockets, launch->listen_count);
        launch->listen_count = 0;
        sockets_point(service);
        return ready_fd_check(&service->settings, error);
}

#define ENVIRONMENT_ROOM_MIN ((uint64_t)128 * 1024)      /* ARG_MAX: always granted (execve(2)) */
#define ENVIRONMENT_ROOM_MAX ((uint64_t)6 * 1024 * 1024) /* three quarters of the kernel's _STK_LIM */
#define ENVIRONMENT_SLACK    ((uint64_t)8192) /* the file's name, the auxiliary vector, alignment */

uint64_t service_environment_room(const struct service *service) {
        const struct launch_spec *launch = &service->settings.launch;
        uint64_t room = ENVIRONMENT_ROOM_MAX, used;
        struct rlimit stack;

        if (getrlimit(RLIMIT_STACK, &stack) < 0)
                stack.rlim_cur = RLIM_INFINITY;
        for (size_t i = 0; i < launch->limit_count; i++)
                if (launch->limits[i].resource == RLIMIT_STACK)
                        stack = launch->limits[i].value;
        /* The limit that the app will have counts, not ours: the kernel looks at it in the execve(2) that
         * comes after setrlimit(2). */
        if (stack.rlim_cur != RLIM_INFINITY && stack.rlim_cur / 4 < room)
                room = stack.rlim_cur / 4;
        if (room < ENVIRONMENT_ROOM_MIN)
                room = ENVIRONMENT_ROOM_MIN;
        used = ENVIRONMENT_SLACK + environment_bytes(launch->argv) +
               environment_bytes_passing(&launch->environment) +
               service_sockets_variable_bytes(&service->sockets);
        return room > used ? room - used : 0;
}
