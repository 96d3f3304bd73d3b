/* What became of it: see outcome.h. In an ordinary process that has asked the control socket. */

#include "cli/ask/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/duration.h"

#define ENDED_BYTES       80
#define ANSWER_TIMEOUT_NS (10 * NS_PER_S) /* when not waiting for the end */

static double elapsed_seconds(const json_t *reply) {
        return (double)json_integer_value(json_object_get(reply, "elapsed_ms")) / 1000;
}

static void step_print(const json_t *reply) {
        char text[512];

        control_text(reply, "step", text, sizeof text);
        printf("%9.3fs  %s\n", elapsed_seconds(reply), text);
        (void)fflush(stdout);
}

/* How many requests were cut, for the end of the line. */
static const char *cut_text(const json_t *reply, char out[static ENDED_BYTES]) {
        long long cut = json_integer_value(json_object_get(reply, "cut"));

        out[0] = '\0';
        if (cut > 0)
                snprintf(out, ENDED_BYTES, "; %lld request%s cut", cut, cut == 1 ? " was" : "s were");
        return out;
}

/* What an emergency has ended, for the end of the line. */
static const char *ended_text(const json_t *reply, char out[static ENDED_BYTES]) {
        long long ended = json_integer_value(json_object_get(reply, "ended"));

        out[0] = '\0';
        if (ended > 0)
                snprintf(out, ENDED_BYTES, "; %lld process%s that held the old values %s ended", ended,
                        ended == 1 ? "" : "es", ended == 1 ? "was" : "were");
        return out;
}

static int json_print(const json_t *reply) {
        int result = json_dumpf(reply, stdout, JSON_COMPACT | JSON_SORT_KEYS);

        return result < 0 || putchar('\n') == EOF || fflush(stdout) == EOF ? -1 : 0;
}

/* Returns the exit status. */
static int outcome_print(const json_t *reply, const struct outcome_wait *wait, const struct outcome *outcomes,
        size_t count, struct error *error) {
        long long generation = json_integer_value(json_object_get(reply, "generation"));
        char result[32], text[256], ended[ENDED_BYTES], cut[ENDED_BYTES];

        /* Since the supervisor may be of another version, the result is a word that is looked up, and one
         * that is not known is an error, never a success. */
        control_text(reply, "result", result, sizeof result);
        for (size_t i = 0; i < count; i++) {
                const char *number = strstr(outcomes[i].text, "%lld");

                if (strcmp(outcomes[i].result, result) != 0)
                        continue;
                if (wait->is_json)
                        return json_print(reply) == 0 ? outcomes[i].status
                                                      : error_set(error, errno, "write to standard output");
                /* A rotation that never got a generation (its load failed) is told without the part about
                 * it. */
                if (number && generation > 0)
                        snprintf(text, sizeof text, "%.*s%lld%s", (int)(number - outcomes[i].text),
                                outcomes[i].text, generation, number + 4);
                else
                        snprintf(text, sizeof text, "%.*s%s", (int)strcspn(outcomes[i].text, ":"),
                                outcomes[i].text, number ? "" : strchrnul(outcomes[i].text, ':'));
                if (printf("%s%s%s (%.3fs)\n", text, ended_text(reply, ended), cut_text(reply, cut),
                            elapsed_seconds(reply)) < 0 ||
                        (outcomes[i].next && printf("%s\n", outcomes[i].next) < 0) || fflush(stdout) == EOF)
                        return error_set(error, errno, "write to standard output");
                return outcomes[i].status;
        }
        return error_set(error, 0, "the supervisor replied '%s', which this tacet does not know", result);
}

int outcome_await(struct control_client *client, const struct outcome_wait *wait,
        const struct outcome *outcomes, size_t count, struct error *error) {
        int result;

        do {
                CLEANUP_JSON json_t *reply = NULL;

                result = control_client_reply(
                        client, wait->waits ? NS_FOREVER : ANSWER_TIMEOUT_NS, &reply, error);
                if (result == CONTROL_CLIENT_MORE && wait->shows_steps)
                        step_print(reply);
                /* Who does not wait is answered at once where it is over already. */
                if (result == 0)
                        return wait->waits || json_object_get(reply, "result")
                                       ? outcome_print(reply, wait, outcomes, count, error)
                                       : EXIT_STATUS_DONE;
        } while (result > 0);
        return -1;
}
