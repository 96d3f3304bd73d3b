/* `tacet exec`: load the secrets, put them into the environment, become the command. For use below a service
 * manager or a shell: nothing of tacet stays. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/service/load_once.h"
#include "cli/service/service_verb.h"
#include "cli/common/terminal.h"
#include "cli/service/verbs.h"
#include "lib/log.h"
#include "shim/rehearsal.h"

static const char exec_notes[] =
        "Exit status: the command's own; 64 usage, 65 bad secrets, 66 a source or key is\n"
        "missing, 78 configuration, 125 tacet itself failed, 126 not executable, 127 not found.\n"
        "\n"
        "Example:\n"
        "  tacet exec -s age:secrets.env.age -i key.txt -- ./server";

static void note_log(const struct launch_message *message, void *context) {
        char text[LAUNCH_NOTE_BYTES];

        launch_note_describe(message, context, text);
        log_write(LOG_WARNING, "%s", text);
}

static int secrets_load(
        struct service_verb *verb, struct bundle *out, pid_t *out_loader, struct error *error) {
        struct load_result result = {0};

        /* Ignored, there would be nothing to reap; the app gets the caller's choice. */
        (void)signal(SIGCHLD, SIG_DFL);
        if (load_once_unreaped(&verb->request, &result, out_loader, error) < 0)
                return -1;
        load_environment_wipe(&verb->request);
        if (result.note[0])
                log_write(LOG_INFO, "%s", result.note);
        if (result.warning[0])
                log_write(LOG_WARNING, "%s", result.warning);
        bundle_move(out, &result.bundle);
        load_result_deinit(&result);
        return 0;
}

static int command_become(struct service_verb *verb, struct error *error) {
        struct launch_spec *launch = &verb->service.settings.launch;
        struct launch_message failure;
        struct bundle secrets;

        bundle_init(&secrets);
        if (rehearsal_fails(launch, &failure)) {
                launch_failure_describe(&failure, launch, error);
                return -1;
        }
        if (verb->has_sources && secrets_load(verb, &secrets, &launch->loader, error) < 0)
                return -1;
        launch->secrets = &secrets;
        launch->session = LAUNCH_SAME_GROUP;
        launch_become(launch, NULL, NULL, 0, note_log, launch, &failure);
        launch_failure_describe(&failure, launch, error);
        bundle_deinit(&secrets);
        return -1;
}

int verb_exec(int argc, char **argv) {
        static struct service_verb verb;
        struct error error;
        int status;

        (void)argc;
        status = service_verb_prepare(&verb, argv, "tacet exec", exec_notes, SCHEMA_ON_EXEC);
        if (status == SERVICE_VERB_READY) {
                (void)command_become(&verb, &error);
                log_error(LOG_ERROR, &error);
                status = error.status ? error.status : EXIT_STATUS_SUPERVISOR;
        }
        service_verb_deinit(&verb);
        return status;
}
