/* Configuration to settings: see service.h. Plain copying, but for users and groups. */

#include "cli/service.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/startup.h"
#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/log.h"

static char *const no_patterns[] = {NULL};

static void environment_fill(struct environment_spec *out, const struct config *config) {
        out->inherited = environ;
        out->settings = config->service.environment.at;
        if (config->service.clear_env)
                out->pass_patterns = config->service.pass_env.at ? config->service.pass_env.at : no_patterns;
        switch (config->service.on_conflict) {
        case CONFIG_CONFLICT_REPLACE:
                out->on_conflict = ENVIRONMENT_REPLACE;
                break;
        case CONFIG_CONFLICT_KEEP:
                out->on_conflict = ENVIRONMENT_KEEP;
                break;
        case CONFIG_CONFLICT_REFUSE:
                out->on_conflict = ENVIRONMENT_REFUSE;
                break;
        }
}

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

static enum launch_session session_of(enum config_session session) {
        switch (session) {
        case CONFIG_SESSION_GROUP:
                return LAUNCH_OWN_GROUP;
        case CONFIG_SESSION_SESSION:
                return LAUNCH_OWN_SESSION;
        case CONFIG_SESSION_NONE:
                return LAUNCH_SAME_GROUP;
        }
        return LAUNCH_OWN_GROUP;
}

static enum fleet_restart restart_of(enum config_restart restart) {
        switch (restart) {
        case CONFIG_RESTART_NO:
                return FLEET_RESTART_NO;
        case CONFIG_RESTART_ON_FAILURE:
                return FLEET_RESTART_ON_FAILURE;
        case CONFIG_RESTART_ALWAYS:
                return FLEET_RESTART_ALWAYS;
        }
        return FLEET_RESTART_NO;
}

/* sd_listen_fds(3): the descriptors are for the process that LISTEN_PID names. All must be open and be handed on: our own, and those
 * of keys, are close-on-exec, and a number that is too large must not give them away. */
static unsigned listen_count(void) {
        const char *pid = environment_find(environ, "LISTEN_PID", 10),
                   *count = environment_find(environ, "LISTEN_FDS", 10);
        uint64_t number;

        if (!pid || !count || !text_to_u64(pid + 11, &number) || number != (uint64_t)getpid())
                return 0;
        if (!text_to_u64(count + 11, &number) || number > LAUNCH_LISTEN_MAX)
                return 0;
        for (int fd = 3; fd < 3 + (int)number; fd++)
                if (fcntl(fd, F_GETFD) != 0) {
                        log_write(LOG_WARNING,
                                "LISTEN_FDS=%s is not passed on: descriptor %d is not open, or is a key",
                                count + 11, fd);
                        return 0;
                }
        return (unsigned)number;
}

static void fleet_fill(struct fleet_settings *out, const struct config *config) {
        const struct config_service *service = &config->service;
        const struct config_rollout *rollout = &config->rollout;

        *out = (struct fleet_settings){
                .replicas = (uint32_t)service->replicas,
                .surge_max = config_surge_max(config),
                .unavailable_max = config_unavailable_max(config),
                .failures_max = (uint32_t)rollout->failures,
                .is_revert_off = !rollout->revert,
                .load_timeout_ns = time_add(config->load.timeout_ns, NS_PER_S),
                .ready_timeout_ns = rollout->ready_timeout_ns,
                .healthy_min_ns = rollout->min_healthy_ns,
                .hold_ns = rollout->hold_ns,
                .queue_timeout_ns = rollout->queue_timeout_ns,
                .stop_timeout_ns = service->stop_timeout_ns,
                .emergency_timeout_ns = rollout->emergency_timeout_ns,
                .progress_timeout_ns = rollout->progress_timeout_ns,
                .previous_keep_ns = rollout->keep_previous_ns,
                .restart = restart_of(service->restart),
                .restart_delay_ns = service->restart_delay_ns,
                .restart_delay_max_ns = service->restart_delay_max_ns,
                .restart_reset_ns = service->restart_reset_ns,
                .restart_limit = (uint32_t)service->restart_limit,
        };
        (void)!getrandom(&out->jitter_seed, sizeof out->jitter_seed, GRND_NONBLOCK);
}

void service_config_plain(struct config *config) {
        config->service.stop_timeout_ns = NS_FOREVER;
        config->rollout.min_healthy_ns = 0;
        config->rollout.ready_timeout_ns = 0;
        config->service.notify_access = CONFIG_NOTIFY_NONE;
}

int service_init(
        struct service *out, const struct config *config, struct load_request *load, struct error *error) {
        const struct config_service *service = &config->service;
        struct supervisor_settings *settings = &out->settings;
        /* A terminal has one foreground: of several instances at a time none gets it, and a background process that reads
         * from it would be stopped. */
        const bool is_crowd = service->session != CONFIG_SESSION_NONE &&
                              (uint32_t)service->replicas + config_surge_max(config) > 1;

        *out = (struct service){0};
        if (identity_resolve(service->user, service->group, service->supplementary_groups.at, &out->identity,
                    error) < 0)
                return -1;
        settings->launch = (struct launch_spec){
                .argv = service->command.at,
                .identity = &out->identity,
                .directory = service->directory,
                .has_umask = service->umask != CONFIG_UNSET,
                .umask = service->umask == CONFIG_UNSET ? 0 : (mode_t)service->umask,
                .session = session_of(service->session),
                .terminal = -1,
                .adopt_fd = -1,
                .wants_terminal = service->terminal == CONFIG_TERMINAL_AUTO && !is_crowd,
                .hides_input = is_crowd && isatty(STDIN_FILENO),
                .parent_death_signal = service->parent_death_signal,
                .listen_count = listen_count(),
                .inheritance = *startup_inheritance(),
        };
        environment_fill(&settings->launch.environment, config);
        limits_fill(&settings->launch, config);
        fleet_fill(&settings->fleet, config);
        service_health_fill(settings, config);
        settings->load = load;
        settings->drain_quiet_ns = config->rollout.drain_quiet_ns;
        settings->watch_delay_ns = config->rollout.watch_delay_ns;
        settings->stop_signal = service->stop_signal;
        settings->signals_group = service->kill_mode == CONFIG_KILL_GROUP;
        settings->is_subreaper = true;
        settings->waits_for_all = service->exit_when == CONFIG_EXIT_ALL;
        settings->remaining_timeout_ns = service->remaining_timeout_ns;
        settings->keeps_directory = load || service->restart != CONFIG_RESTART_NO;
        /* Never with a change of user: a process of that user must not come near memory that PID 1 shares. */
        settings->launch.suspends_parent = !settings->keeps_directory && !out->identity.is_set;
        supervisor_rewrites_init(settings->rewrites);
        return 0;
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
        if (stack.rlim_cur != RLIM_INFINITY && stack.rlim_cur / 4 < room)
                room = stack.rlim_cur / 4;
        if (room < ENVIRONMENT_ROOM_MIN)
                room = ENVIRONMENT_ROOM_MIN;
        used = ENVIRONMENT_SLACK + environment_bytes(launch->argv) +
               environment_bytes_passing(&launch->environment);
        return room > used ? room - used : 0;
}
