/* tacet rotate: ask a running supervisor to load the secrets and move its app to them; with --wait, say what
 * came of it.
 *
 * An ordinary process that talks to the control socket. Its exit status tells a script commit from revert.
 * Somebody at a terminal wants to see what comes of it, and is shown without asking; a script that never said
 * --wait goes on at once. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask/control_options.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/ask/verbs.h"
#include "lib/duration.h"

#define ANSWER_TIMEOUT_NS (10 * NS_PER_S) /* when not waiting for the end */

struct rotate_request {
        struct control_where where;
        bool waits, is_forced, is_emergency, is_verbose;
        bool shows_steps;
};

/* Who wants to see the steps wants to wait for them. */
static int verbose_take(void *member, const struct option_reader *reader, struct error *error) {
        struct rotate_request *request = member;

        (void)reader, (void)error;
        request->is_verbose = request->waits = true;
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
        OPTION_SPEC_CONTROL(struct rotate_request, where),
        OPTION_SPEC_CONTROL_CONFIG(struct rotate_request, where),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet rotate",
        .synopsis = "[--wait | --no-wait] [--force] [--emergency] [--control PATH | -c FILE]",
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

/* What a final reply says, and what it means for a script. */
static const struct {
        const char *result;
        int status;
        const char *text;
} outcomes[] = {
        {"committed", EXIT_STATUS_DONE, "done: generation %lld runs"},
        {"unchanged", EXIT_STATUS_DONE, "unchanged: generation %lld goes on"},
        {"reverted", 2, "reverted: generation %lld failed, the former secrets are in use again"},
        {"load_failed", 3, "the secrets could not be loaded; nothing was changed"},
        {"refused", 4, "refused: these secrets failed before (--force tries them again)"},
        {"superseded", 5, "superseded: newer secrets took the place of these"},
        {"halted", 6, "halted: generation %lld neither took over nor went away"},
        {"stopped", 7, "the service ends"},
};

static double elapsed_seconds(const json_t *reply) {
        return (double)json_integer_value(json_object_get(reply, "elapsed_ms")) / 1000;
}

static void step_print(const json_t *reply) {
        char text[512];

        control_text(reply, "step", text, sizeof text);
        printf("%9.3fs  %s\n", elapsed_seconds(reply), text);
        (void)fflush(stdout);
}

/* Returns the exit status. */
static int outcome_print(const json_t *reply, struct error *error) {
        long long generation = json_integer_value(json_object_get(reply, "generation"));
        char result[32], text[256];

        /* Since the supervisor may be of another version, the result is a word that is looked up, and one
         * that is not known is an error, never a success. */
        control_text(reply, "result", result, sizeof result);
        for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
                const char *number = strstr(outcomes[i].text, "%lld");

                if (strcmp(outcomes[i].result, result) != 0)
                        continue;
                /* A rotation that never got a generation (its load failed) is told without the part about
                 * it. */
                if (number && generation > 0)
                        snprintf(text, sizeof text, "%.*s%lld%s", (int)(number - outcomes[i].text),
                                outcomes[i].text, generation, number + 4);
                else
                        snprintf(text, sizeof text, "%.*s%s", (int)strcspn(outcomes[i].text, ":"),
                                outcomes[i].text, number ? "" : strchrnul(outcomes[i].text, ':'));
                if (printf("%s (%.3fs)\n", text, elapsed_seconds(reply)) < 0 || fflush(stdout) == EOF)
                        return error_set(error, errno, "write to standard output");
                return outcomes[i].status;
        }
        return error_set(error, 0, "the supervisor replied '%s', which this tacet does not know", result);
}

static int replies_read(
        struct control_client *client, const struct rotate_request *request, struct error *error) {
        int result;

        do {
                CLEANUP_JSON json_t *reply = NULL;

                result = control_client_reply(
                        client, request->waits ? NS_FOREVER : ANSWER_TIMEOUT_NS, &reply, error);
                if (result == CONTROL_CLIENT_MORE && request->shows_steps)
                        step_print(reply);
                if (result == 0)
                        return request->waits ? outcome_print(reply, error) : EXIT_STATUS_DONE;
        } while (result > 0);
        return -1;
}

static int rotate_run(char **argv, struct error *error) {
        /* Too large for the stack. */
        static struct control_client client;
        bool is_terminal = isatty(STDOUT_FILENO);
        /* A person wants to see what comes of it; a script that never said --wait must not begin to hang. */
        struct rotate_request request = {.waits = is_terminal};
        int status = EXIT_STATUS_DONE, result = option_read_all(&table, argv, &request, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        request.shows_steps = is_terminal || request.is_verbose;
        if (control_where_open(&client, &table, &request.where, error) < 0)
                return -1;
        status = control_client_call(&client, "io.tacet.Rotate",
                json_pack("{s:b, s:b, s:b}", "force", request.is_forced, "emergency", request.is_emergency,
                        "wait", request.waits),
                request.waits, error);
        if (status == 0)
                status = replies_read(&client, &request, error);
        control_client_close(&client);
        return status;
}

int verb_rotate(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, rotate_run);
}
