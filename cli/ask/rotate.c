/* tacet rotate: ask a running supervisor to load the secrets and move its app to them; with --wait, say what
 * came of it.
 *
 * An ordinary process that talks to the control socket. Its exit status tells a script commit from revert.
 * Somebody at a terminal wants to see what comes of it, and is shown without asking; a script that never said
 * --wait goes on at once. */

#include <unistd.h>

#include "cli/ask/control_options.h"
#include "cli/ask/outcome.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/ask/verbs.h"

struct rotate_request {
        struct control_where where;
        bool waits, is_forced, is_emergency, is_verbose;
        bool shows_steps, is_json;
};

/* Who wants to see the steps wants to wait for them. */
static int verbose_take(void *member, const struct option_reader *reader, struct error *error) {
        struct rotate_request *request = member;

        (void)reader, (void)error;
        request->is_verbose = request->waits = true;
        return 0;
}

/* The answer is the end's. */
static int json_take(void *member, const struct option_reader *reader, struct error *error) {
        struct rotate_request *request = member;

        (void)reader, (void)error;
        request->is_json = request->waits = true;
        return 0;
}

/* Of --wait and --no-wait the last one counts, so that a person can take back what a script has set. */
static const struct option_spec specs[] = {
        {.letter = 'w',
                .name = "wait",
                .help = "wait for the end and tell it by the exit status; at a terminal the default",
                OPTION_SETS(struct rotate_request, waits)},
        {.name = "no-wait",
                .help = "only ask, also at a terminal",
                OPTION_CLEARS(struct rotate_request, waits)},
        {.name = "force",
                .help = "also when nothing has changed, or the same secrets failed before",
                OPTION_SETS(struct rotate_request, is_forced)},
        {.name = "emergency",
                .help = "all replicas at once and no way back: the old secrets must not be used any more",
                OPTION_SETS(struct rotate_request, is_emergency)},
        {.letter = 'v',
                .name = "verbose",
                .help = "wait and print the steps, also when not at a terminal",
                .take = verbose_take},
        {.name = "json", .help = "wait, and print the answer as one JSON object", .take = json_take},
        OPTION_SPEC_CONTROL(struct rotate_request, where),
        OPTION_SPEC_CONTROL_CONFIG(struct rotate_request, where),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet rotate",
        .synopsis = "[--wait | --no-wait] [--json] [--force] [--emergency] [--control PATH | -c FILE]",
        .purpose = "Have a running service load its secrets again and move to them, as SIGHUP does.",
        .notes = "Exit status: 0 done, or not waited for: asked; when waiting: 2 reverted, 3 the secrets "
                 "could not be\n"
                 "loaded, 4 refused because they failed before, 5 superseded by newer ones, 6 halted half "
                 "way,\n"
                 "7 the service ends; 69 nobody answers, 77 not permitted, 64 usage, 78 configuration, 1 "
                 "other.\n"
                 "Ctrl-C ends the waiting, not the rotation.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
};

static const struct outcome outcomes[] = {
        {"committed", EXIT_STATUS_DONE, "done: generation %lld runs", NULL},
        {"unchanged", EXIT_STATUS_DONE, "unchanged: generation %lld goes on", NULL},
        {"reverted", 2, "reverted: generation %lld failed, the former secrets are in use again", NULL},
        {"load_failed", 3, "the secrets could not be loaded; nothing was changed", NULL},
        {"refused", 4,
                "refused: these secrets failed before, or were left by a rollback (--force tries them again)",
                NULL},
        {"superseded", 5, "superseded: newer secrets took the place of these", NULL},
        {"halted", 6, "halted: generation %lld neither took over nor went away", NULL},
        {"stopped", 7, "the service ends", NULL},
};

static int rotate_run(char **argv, struct error *error) {
        /* Too large for the stack. */
        static struct control_client client;
        bool is_terminal = isatty(STDOUT_FILENO);
        /* A person wants to see what comes of it; a script that never said --wait must not begin to hang. */
        struct rotate_request request = {.waits = is_terminal};
        int status = EXIT_STATUS_DONE, result = option_read_all(&table, argv, &request, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        request.shows_steps = (is_terminal || request.is_verbose) && !request.is_json;
        if (control_where_open(&client, &table, &request.where, error) < 0)
                return -1;
        status = control_client_call(&client, "io.tacet.Rotate",
                json_pack("{s:b, s:b, s:b}", "force", request.is_forced, "emergency", request.is_emergency,
                        "wait", request.waits),
                request.waits, error);
        if (status == 0)
                status = outcome_await(&client,
                        &(struct outcome_wait){request.waits, request.shows_steps, request.is_json}, outcomes,
                        sizeof outcomes / sizeof *outcomes, error);
        control_client_close(&client);
        return status;
}

int verb_rotate(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, rotate_run);
}
