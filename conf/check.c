/* What no key can check alone: see config_check() in config.h. Runs once, after file and options are in. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "conf/blame.h"
#include "conf/check_sockets.h"
#include "conf/config.h"
#include "conf/health.h"
#include "conf/schema.h"
#include "conf/scheme.h"
#include "lib/socket_address.h"

#define CONTROL_PATH_BYTES_MAX 107 /* of sockaddr_un, less the NUL: unix(7) */

/* Of a kind that has no files; one that is not known is refused as such, later. */
static bool is_no_file(const char *uri) {
        const char *rest;

        return source_scheme_of(uri, &rest) && !source_uri_is_file(uri);
}

static int check_sources(const struct config *config, struct error *error) {
        for (size_t i = 0; i < config->source_count; i++) {
                const struct config_source *source = &config->sources[i];

                if (!source->from) {
                        error_set(error, 0, "%s: [source %s] has no 'from'", source->where, source->name);
                        error_hint(error,
                                "say where the secrets are, e.g. from = age:/etc/tacet/secrets.env.age");
                        return error_status(error, EXIT_STATUS_CONFIG);
                }
                if (source->dialect && source->format && strcmp(source->format, "dotenv") != 0) {
                        error_set(error, 0, "%s: [source %s] has both 'format = %s' and 'dialect'",
                                source->where, source->name, source->format);
                        error_hint(error, "a dialect is one of dotenv: remove one of the two");
                        return error_status(error, EXIT_STATUS_CONFIG);
                }
                if (source->watch && is_no_file(source->from)) {
                        error_set(error, 0,
                                "%s: [source %s] has 'watch = yes', but '%s' names no file: nothing shows a "
                                "change",
                                source->where, source->name, source->from);
                        error_hint(error, "remove it; SIGHUP or tacet rotate loads this source again");
                        return error_status(error, EXIT_STATUS_CONFIG);
                }
        }
        /* Whoever gives a key believes that secrets come: an app without any would start, and say nothing. */
        if (config->identity_count && config->source_count == 0) {
                error_set(error, 0, "%s: an identity, and no source that it could open",
                        config->identities[0].where);
                error_hint(
                        error, "add [source NAME] with from = age:FILE, or -s age:FILE on the command line");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        for (size_t i = 0; i < config->identity_count; i++)
                if (!config->identities[i].from) {
                        error_set(error, 0, "%s: [identity %s] has no 'from'", config->identities[i].where,
                                config->identities[i].name);
                        error_hint(error, "say where the key is, e.g. from = /etc/tacet/key.txt");
                        return error_status(error, EXIT_STATUS_CONFIG);
                }
        return 0;
}

static int check_adopted(const char *text, struct socket_address *out, struct error *error) {
        if (socket_address_parse(text, out, error) < 0)
                return -1;
        if (out->type != SOCK_STREAM) {
                error_set(error, 0, "%s: only tcp and unix stream sockets can be adopted", text);
                return error_hint(
                        error, "udp has no listen and no queue: leave it out, the app keeps its own socket");
        }
        return 0;
}

/* The addresses are parsed once more when the settings are made: conf keeps what was written. */
static int check_adopt(const struct config *config, struct error *error) {
        const struct config_words *words = &config->service.adopt;
        struct socket_address addresses[CONFIG_ADOPTS_MAX];

        if (words->count > CONFIG_ADOPTS_MAX) {
                error_set(error, 0, "more than %d addresses", CONFIG_ADOPTS_MAX);
                return config_blame(config, "service", "adopt", error);
        }
        for (size_t i = 0; i < words->count; i++) {
                if (check_adopted(words->at[i], &addresses[i], error) < 0)
                        return config_blame(config, "service", "adopt", error);
                for (size_t other = 0; other < i; other++)
                        if (socket_address_equal(&addresses[i], &addresses[other])) {
                                error_set(error, 0, "%s is given twice", words->at[i]);
                                return config_blame(config, "service", "adopt", error);
                        }
        }
        return 0;
}

/* The signal that ends the app is one that ends tacet as well, so it cannot mean anything else to either. */
static int check_stop_signal(const struct config *config, struct error *error) {
        const bool is_signalled = config->rollout.strategy == CONFIG_STRATEGY_SIGNAL;
        const int32_t number = config->service.stop_signal;

        if (config->source_count && number == config->rollout.rotate_signal)
                error_set(error, 0, "stop_signal and rotate_signal are the same: it asks for a rotation");
        else if (is_signalled && number == config->rollout.reload_signal)
                error_set(error, 0,
                        "stop_signal and reload_signal are the same: the app would end at a rotation");
        else
                return 0;
        error_hint(error, "give the one that the app ends by, such as TERM or QUIT");
        return config_blame(config, "service", "stop_signal", error);
}

/* What ends tacet, and what is not to be had or the kernel's own (signal(7)). */
static int check_rotate_signal(const struct config *config, struct error *error) {
        static const int taken[] = {SIGTERM, SIGINT, SIGQUIT, SIGKILL, SIGSTOP, SIGCHLD, SIGCONT, SIGPIPE};

        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
                if (config->rollout.rotate_signal == taken[i]) {
                        error_set(error, 0, "that signal has a meaning of its own");
                        error_hint(error, "HUP, USR1, USR2 or one of the real-time signals");
                        return config_blame(config, "rollout", "rotate_signal", error);
                }
        return 0;
}

static int check_service(const struct config *config, struct error *error) {
        const struct config_service *service = &config->service;

        /* Keys that do nothing are refused, since whoever wrote this one believes that other variables
         * are kept out. */
        if (service->pass_env.count && !service->clear_env) {
                error_set(error, 0,
                        "pass_env without clear_env = yes has no meaning: every variable is passed");
                return config_blame(config, "service", "pass_env", error);
        }
        if (service->restart_delay_ns > service->restart_delay_max_ns) {
                error_set(error, 0, "restart_delay is longer than restart_delay_max");
                return config_blame(config, "service", "restart_delay", error);
        }
        /* tacet's own group would get the signals: its callers, and tacet itself. */
        if (service->kill_mode == CONFIG_KILL_GROUP && service->session == CONFIG_SESSION_NONE) {
                error_set(error, 0, "kill_mode = group needs a group of the app's own");
                error_hint(error, "use session = group or session = session");
                return config_blame(config, "service", "kill_mode", error);
        }
        if (service->kill_mode == CONFIG_KILL_TREE && service->exit_when == CONFIG_EXIT_ALL) {
                error_set(error, 0, "kill_mode = tree ends what exit_when = all would wait for");
                error_hint(error, "use exit_when = main, or kill_mode = group");
                return config_blame(config, "service", "kill_mode", error);
        }
        return check_rotate_signal(config, error) < 0 ? -1 : check_stop_signal(config, error);
}

/* What a share of the connections needs: somebody else who gets the rest. */
static int check_canary(const struct config *config, struct error *error) {
        const struct config_rollout *rollout = &config->rollout;

        if (rollout->canary.value == 0)
                return 0;
        if (rollout->strategy == CONFIG_STRATEGY_SIGNAL)
                error_set(error, 0, "a canary needs new instances; strategy = signal starts none");
        else if (rollout->canary.value >= 100)
                error_set(error, 0, "canary = 100%% leaves nothing to the instances that are known to work");
        else if (config->service.replicas == 1 && config_surge_max(config) == 0)
                error_set(error, 0, "a canary needs an instance beside it that is known to work");
        else
                return 0;
        error_hint(error, "use strategy = handoff with a share such as 10%%, or leave canary out");
        return config_blame(config, "rollout", "canary", error);
}

static int check_rollout(const struct config *config, struct error *error) {
        const struct config_rollout *rollout = &config->rollout;

        /* First the special, then the general: its message says more. */
        if (check_canary(config, error) < 0)
                return -1;
        if (rollout->strategy == CONFIG_STRATEGY_SIGNAL &&
                (config_surge_max(config) > 0 || config_unavailable_max(config) == 0)) {
                error_set(error, 0,
                        "strategy = signal starts nothing beside an instance and takes it away while it "
                        "reads its secrets");
                error_hint(error, "leave max_surge out, and max_unavailable at 1 or more");
                return config_blame(config, "rollout", "strategy", error);
        }
        if (config_surge_max(config) > 0 || config_unavailable_max(config) > 0)
                return 0;
        error_set(error, 0,
                "with %d replica%s max_surge and max_unavailable both come to 0: no instance could be "
                "replaced",
                config->service.replicas, config->service.replicas == 1 ? "" : "s");
        error_hint(error, "max_surge = 1 starts the new one beside the old, max_unavailable = 1 stops the "
                          "old one first "
                          "(a share of max_unavailable is rounded down)");
        return config_blame(
                config, "rollout", rollout->max_unavailable.is_set ? "max_unavailable" : "max_surge", error);
}

static int check_control(const struct config *config, struct error *error) {
        const char *path = config->control.path;

        if (!path)
                return 0;
        /* The service and whoever asks it have different working directories as a rule. */
        if (path[0] != '/') {
                error_set(error, 0, "the path of the control socket is not absolute: '%s'", path);
                error_hint(error, "rotate and status find it from any directory: /run/tacet/NAME.sock");
                return config_blame(config, "control", "path", error);
        }
        if (strlen(path) > CONTROL_PATH_BYTES_MAX) {
                error_set(error, 0, "the path of the control socket is longer than %d bytes",
                        CONTROL_PATH_BYTES_MAX);
                return config_blame(config, "control", "path", error);
        }
        return 0;
}

int config_check(const struct config *config, bool needs_command, struct error *error) {
        if (check_sources(config, error) < 0 || check_service(config, error) < 0 ||
                check_rollout(config, error) < 0 || config_check_health(config, error) < 0 ||
                config_check_sockets(config, error) < 0 || check_control(config, error) < 0 ||
                check_adopt(config, error) < 0)
                return -1;
        /* Last, so that a file without a command, for `tacet check`, is looked at in full. */
        if (needs_command && config->service.command.count == 0) {
                error_set(error, 0, "there is no command to run");
                if (config->path)
                        error_wrap(error, "%s", config->path);
                error_hint(error, "give one after --, or command = in [service]");
                return error_status(error, config->path ? EXIT_STATUS_CONFIG : EXIT_STATUS_USAGE);
        }
        return 0;
}
