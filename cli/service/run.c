/* `tacet run`: a supervised service with secrets, from the command line, a file, or both.
 *
 * Runs as PID 1 or below something else. Here options and file become settings; then supervisor_run()
 * stays. */

#include <string.h>
#include <unistd.h>

#include "cli/service/config_options.h"
#include "cli/service/config_request.h"
#include "cli/service/service.h"
#include "cli/service/service_verb.h"
#include "cli/common/startup.h"
#include "cli/common/terminal.h"
#include "cli/service/verbs.h"
#include "conf/known.h"
#include "lib/log.h"
#include "supervisor/supervisor.h"

static const char run_notes[] =
        "Signals: HUP loads the secrets anew and moves the command to them; TERM, INT and QUIT stop it; all "
        "others are\n"
        "forwarded. Exit status: the command's own; 128+N when signal N ended it; 64 usage, 65 bad secrets,\n"
        "66 a source or key is missing, 78 configuration, 125 tacet itself failed, 126 not executable,\n"
        "127 not found.\n"
        "\n"
        "Examples:\n"
        "  tacet run -s age:secrets.env.age -i key.txt -- ./server\n"
        "  tacet run -c /etc/tacet/api.ini";

static void known_warn(void *context, const char *text) {
        (void)context;
        log_write(LOG_WARNING, "%s", text);
}

int verb_run(int argc, char **argv) {
        static struct service_verb verb;
        struct error error;
        int status;

        (void)argc;
        status = service_verb_prepare(&verb, argv, "tacet run", run_notes, SCHEMA_ON_RUN);
        if (status == SERVICE_VERB_READY) {
                /* Only here: under exec and the other inits' names the app itself answers to the service
                 * manager. */
                manager_settings_read(&verb.service.settings.manager);
                verb.service.settings.manager.forwards_status =
                        verb.config.service.notify_forward == CONFIG_NOTIFY_FORWARD_STATUS;
                /* Whoever waits for processes that live on, or starts tacet as a plain init, wants it so. */
                verb.service.settings.minds_background = verb.config.service.exit_when == CONFIG_EXIT_MAIN;
                verb.service.settings.foreground = known_foreground(&verb.config);
                known_advise_data(&verb.config, known_warn, NULL);
                if (supervisor_check(&verb.service.settings, true, &error) < 0)
                        status = cli_error_exit(&error);
                else /* at its end the kernel takes back everything: nobody waits for a tidy heap */
                        return supervisor_run(&verb.service.settings);
        }
        service_verb_deinit(&verb);
        return status;
}
