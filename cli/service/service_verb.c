/* Preparing run and exec: see service_verb.h. Runs before anything is started; errors are printed and end the
 * program. */

#include "cli/service/service_verb.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/service/config_request.h"
#include "cli/common/secret_verb.h"
#include "cli/common/startup.h"
#include "conf/expand.h"
#include "lib/log.h"

#define OPTION_VERBOSE (CONFIG_OPTION_OWN + 1)
#define OPTION_WATCH   (CONFIG_OPTION_OWN + 2)
#define OPTION_EXPAND  (CONFIG_OPTION_OWN + 3)

static int own_option_take(void *context, const struct option_reader *reader, struct error *error) {
        struct service_verb *verb = context;

        (void)error;
        if (reader->spec->id == OPTION_VERBOSE)
                verb->verbosity++;
        if (reader->spec->id == OPTION_WATCH)
                verb->watches = true;
        if (reader->spec->id == OPTION_EXPAND)
                verb->expands = true;
        return 0;
}

static enum log_level level_of(const struct service_verb *verb) {
        /* Levels are in order, each says more than the one before. */
        int level = (int)verb->config.log.level + verb->verbosity;

        return level > LOG_DEBUG ? LOG_DEBUG : (enum log_level)level;
}

/* Descriptors that keys name are ours alone: the app must not inherit them. In the place of standard input it
 * gets an empty one. */
static int key_descriptors_keep(
        const struct load_request *request, bool *out_hides_input, struct error *error) {
        for (size_t i = 0; i < request->key_count; i++) {
                int fd = load_key_descriptor(&request->keys[i]);

                if (fd == STDIN_FILENO)
                        *out_hides_input = true;
                else if (fd > STDERR_FILENO)
                        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
                /* A key that is read there would be a file or terminal that the app writes to. */
                if (fd != STDOUT_FILENO && fd != STDERR_FILENO)
                        continue;
                error_set(error, 0, "key '%s': the command writes there", request->keys[i].spec);
                error_hint(error, "give it another number: -i fd:3 3<FILE");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        return 0;
}

/* `exec` leaves nobody behind who could hold a socket. */
static int sockets_refuse(const struct config *config, struct error *error) {
        if (config->socket_count == 0)
                return 0;
        error_set(error, 0, "%s: tacet exec opens no sockets", config->sockets[0].where);
        error_hint(error, "use tacet run, or have the service manager open them");
        return error_status(error, EXIT_STATUS_CONFIG);
}

static int settings_make(struct service_verb *verb, unsigned place, struct error *error) {
        bool hides_input = false;

        if (place == SCHEMA_ON_EXEC && sockets_refuse(&verb->config, error) < 0)
                return -1;
        verb->has_sources = verb->config.source_count > 0;
        if (verb->has_sources && (config_request_make(&verb->config, &verb->request, error) < 0 ||
                                         key_descriptors_keep(&verb->request, &hides_input, error) < 0))
                return -1;
        if (service_init(&verb->service, &verb->config, verb->has_sources ? &verb->request : NULL, error) < 0)
                return -1;
        /* exec becomes the app, so what a service manager gave is the app's as it stands. */
        if (place == SCHEMA_ON_RUN && service_take_over(&verb->service, error) < 0)
                return -1;
        verb->service.settings.launch.hides_input |= hides_input;
        verb->request.environment_bytes_max = service_environment_room(&verb->service);
        return 0;
}

int service_verb_prepare(
        struct service_verb *verb, char **argv, const char *command, const char *notes, unsigned place) {
        struct option_table table = {
                .command = command,
                .synopsis = "[OPTION...] [-c FILE] [-s URI]... [-i KEY]... [--] COMMAND [ARGUMENT...]",
                .purpose = place == SCHEMA_ON_RUN ? "Start COMMAND with secrets in its environment, "
                                                    "supervise it, and rotate the secrets on SIGHUP."
                                                  : "Put secrets into the environment and become COMMAND.",
                .notes = notes,
                .stops_at_operand = true,
        };
        char **command_words = NULL;
        struct error error = {0};
        int result;

        config_init(&verb->config);
        config_options_init(&verb->options);
        config_options_add(&verb->options, (struct option_spec){.id = OPTION_VERBOSE,
                                                   .letter = 'v',
                                                   .name = "verbose",
                                                   .is_repeatable = true,
                                                   .help = "say more on standard error; twice for details"});
        if (place == SCHEMA_ON_RUN) {
                config_options_add(
                        &verb->options, (struct option_spec){.id = OPTION_WATCH,
                                                .name = "watch",
                                                .is_repeatable = true,
                                                .help = "rotate when a file that -s names changes"});
                config_options_add_listen(&verb->options);
        }
        config_options_add(&verb->options,
                (struct option_spec){.id = OPTION_EXPAND,
                        .name = "expand",
                        .is_repeatable = true,
                        .help = "in COMMAND, --env and --directory too: %g is the generation,\n"
                                "%r the replica, %% a %"});
        config_options_add_rows(&verb->options, place);
        config_options_add(&verb->options, (struct option_spec)OPTION_SPEC_HELP);
        table.specs = verb->options.specs;
        table.count = verb->options.count;
        result = config_options_read(
                &verb->config, &table, argv, NULL, own_option_take, verb, &command_words, &error);
        /* Explained only now: a start does not pay for texts that nobody reads. */
        if (result == CONFIG_OPTIONS_HELP) {
                config_options_explain(&verb->options);
                return option_help_print(&table, STDOUT_FILENO);
        }
        /* `tacet run NAME=value command`, as env(1) takes it: the value may be a secret and is on the
         * command line. */
        if (result == 0 && *command_words && argument_is_assignment(*command_words))
                result = argument_refuse_assignment(*command_words, &error);
        if (result == 0 && verb->watches)
                result = config_watch_command_line(&verb->config, &error);
        if (result < 0 || (*command_words && config_set_command(&verb->config, command_words, &error) < 0) ||
                (verb->expands && config_expand_options(&verb->config, &error) < 0) ||
                config_check(&verb->config, true, &error) < 0)
                return startup_error_exit(&error);
        /* Not before: format and level are keys. Errors up to here go to standard error as they are. */
        log_setup((enum log_format)verb->config.log.format, level_of(verb), "tacet");
        if (settings_make(verb, place, &error) < 0)
                return startup_error_exit(&error);
        return SERVICE_VERB_READY;
}

void service_verb_deinit(struct service_verb *verb) {
        config_deinit(&verb->config);
}
