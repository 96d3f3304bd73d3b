/* tacet rollback: ask a running supervisor to go back to the generation before; with --wait, say what came of
 * it.
 *
 * An ordinary process that talks to the control socket. That there is nothing to go back to is told by the
 * exit status, also to a script that does not wait: who rolls back is in a hurry, and must not take silence
 * for success. */

#include <unistd.h>

#include "cli/ask/control_options.h"
#include "cli/ask/outcome.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/ask/verbs.h"

#define STATUS_NO_PREVIOUS 8

struct rollback_request {
        struct control_where where;
        bool waits, is_verbose;
};

/* Who wants to see the steps wants to wait for them. */
static int verbose_take(void *member, const struct option_reader *reader, struct error *error) {
        struct rollback_request *request = member;

        (void)reader, (void)error;
        request->is_verbose = request->waits = true;
        return 0;
}

/* Of --wait and --no-wait the last one counts, so that a person can take back what a script has set. */
static const struct option_spec specs[] = {
        {.letter = 'w',
                .name = "wait",
                .help = "wait for the end and tell it by the exit status; at a terminal the default",
                OPTION_SETS(struct rollback_request, waits)},
        {.name = "no-wait",
                .help = "only ask, also at a terminal",
                OPTION_CLEARS(struct rollback_request, waits)},
        {.letter = 'v',
                .name = "verbose",
                .help = "wait and print the steps, also when not at a terminal",
                .take = verbose_take},
        OPTION_SPEC_CONTROL(struct rollback_request, where),
        OPTION_SPEC_CONTROL_CONFIG(struct rollback_request, where),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet rollback",
        .synopsis = "[--wait | --no-wait] [--control PATH | -c FILE]",
        .purpose = "Have a running service go back to the secrets that it had before, while keep_previous "
                   "lasts.",
        .notes = "What is left is refused until the sources change, or until 'tacet rotate --force'. The "
                 "sources\n"
                 "keep it: put the old secrets back there too, for a restart of tacet takes what they hold.\n"
                 "Exit status: 0 done, or not waited for: asked; 8 there is no generation to go back to; "
                 "when\n"
                 "waiting: 2 the former secrets failed, 5 superseded by newer ones, 6 halted half way,\n"
                 "7 the service ends; 69 nobody answers, 77 not permitted, 64 usage, 78 configuration, 1 "
                 "other.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
};

static const struct outcome outcomes[] = {
        {"committed", EXIT_STATUS_DONE, "done: back on generation %lld",
                "The sources still hold what was left: a restart of tacet takes it. Put the former secrets "
                "back "
                "there."},
        {"reverted", 2, "reverted: the former secrets failed, those of before the rollback are in use again",
                NULL},
        {"superseded", 5, "superseded: newer secrets took the place of these", NULL},
        {"halted", 6, "halted: generation %lld neither took over nor went away", NULL},
        {"stopped", 7, "the service ends", NULL},
        {"no_previous", STATUS_NO_PREVIOUS, "there is no generation to go back to; nothing was changed",
                "The one before is kept as long as [rollout] keep_previous says, and there is none before "
                "the "
                "first rotation."},
        {"not_kept", STATUS_NO_PREVIOUS, "there is no generation to go back to; nothing was changed",
                "None is kept: set [rollout] keep_previous (or --keep-previous) to a duration, e.g. 1h."},
};

static int rollback_run(char **argv, struct error *error) {
        /* Too large for the stack. */
        static struct control_client client;
        bool is_terminal = isatty(STDOUT_FILENO);
        struct rollback_request request = {.waits = is_terminal};
        int status = EXIT_STATUS_DONE, result = option_read_all(&table, argv, &request, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (control_where_open(&client, &table, &request.where, error) < 0)
                return -1;
        status = control_client_call(&client, "io.tacet.Rollback", json_pack("{s:b}", "wait", request.waits),
                request.waits, error);
        if (status == 0)
                status = outcome_await(&client,
                        &(struct outcome_wait){request.waits, is_terminal || request.is_verbose, false},
                        outcomes, sizeof outcomes / sizeof *outcomes, error);
        control_client_close(&client);
        return status;
}

int verb_rollback(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, rollback_run);
}
