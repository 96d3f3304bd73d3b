/* tacet status: what a running supervisor does, for people or as JSON. An ordinary process that asks the
 * control socket. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask/control_options.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"
#include "cli/ask/verbs.h"
#include "lib/duration.h"

/* A supervisor answers within a turn of its loop; only one that is stopped takes longer. */
#define ANSWER_TIMEOUT_NS (10 * NS_PER_S)
#define TEXT_BYTES        256
#define LEFTOVERS_BYTES   64

struct status_request {
        struct control_where where;
        bool is_json;
};

static const struct option_spec specs[] = {
        {.name = "json", .help = "print one JSON object", OPTION_SETS(struct status_request, is_json)},
        OPTION_SPEC_CONTROL(struct status_request, where),
        OPTION_SPEC_CONTROL_CONFIG(struct status_request, where),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet status",
        .synopsis = "[--json] [--control PATH | -c FILE]",
        .purpose = "What a running service does: its phase, generations, instances and sockets.",
        .notes = "Exit status: 0 answered, 69 nobody answers, 77 not permitted, 64 usage, 78 configuration, "
                 "1 other.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
};

static long long number_of(const json_t *object, const char *key) {
        return (long long)json_integer_value(json_object_get(object, key));
}

/* A number, or a dash where there is none. */
static const char *number_text(const json_t *object, const char *key, char out[static 24]) {
        if (json_is_integer(json_object_get(object, key)))
                snprintf(out, 24, "%lld", number_of(object, key));
        else
                snprintf(out, 24, "-");
        return out;
}

/* What an instance that has ended left behind, or nothing. */
static const char *leftovers_text(const json_t *instance, char out[static LEFTOVERS_BYTES]) {
        out[0] = '\0';
        if (json_is_integer(json_object_get(instance, "leftovers")))
                snprintf(out, LEFTOVERS_BYTES, "ended; processes left: %lld",
                        number_of(instance, "leftovers"));
        return out;
}

static void summary_print(const json_t *reply) {
        char text[TEXT_BYTES], stable[24], target[24];

        printf("phase        %s%s\n", control_text(reply, "phase", text, sizeof text),
                json_is_true(json_object_get(reply, "loading")) ? ", loading secrets" : "");
        number_text(reply, "generation", stable);
        number_text(reply, "target", target);
        printf("generation   %s", stable);
        if (strcmp(stable, target) != 0)
                printf(", on the way to %s", target);
        if (json_is_integer(json_object_get(reply, "left"))) {
                int64_t left_ms = json_integer_value(json_object_get(reply, "left_ms"));
                char age[32];

                printf("\nnot live     generation %lld is newer, and was left %s ago: refused until the "
                       "sources change "
                       "(rotate --force)",
                        number_of(reply, "left"), duration_format(left_ms / 1000 * NS_PER_S, age));
        }
        if (json_is_integer(json_object_get(reply, "leftovers")))
                printf("\nleftovers    %lld of former instances are being ended (emergency)",
                        number_of(reply, "leftovers"));
        if (number_of(reply, "cut") > 0)
                printf("\ncut          %lld requests since the start", number_of(reply, "cut"));
        printf("\nreplicas     %lld, of them available %lld, ready %lld\n", number_of(reply, "replicas"),
                number_of(reply, "available"), number_of(reply, "ready"));
        if (*control_text(reply, "secret_memory", text, sizeof text))
                printf("secrets in   %s\n", text);
        if (json_is_false(json_object_get(reply, "adopting")))
                printf("adopted      no: sockets cannot be adopted here, instances are replaced\n");
        printf("supervisor   tacet %s, process %lld\n", control_text(reply, "version", text, sizeof text),
                number_of(reply, "pid"));
}

static void instances_print(const json_t *instances, const char *strong, const char *plain) {
        char state[TEXT_BYTES], status[TEXT_BYTES], age[32], pid[24];
        char leftovers[LEFTOVERS_BYTES];
        const json_t *instance;
        size_t i;

        if (json_array_size(instances))
                printf("\n%s%-4s  %-9s  %10s  %8s  %8s  STATUS%s\n", strong, "SLOT", "STATE", "GENERATION",
                        "PID", "AGE", plain);
        json_array_foreach(instances, i, instance) {
                /* Young instances are being watched, so their age has milliseconds; of old ones they are
                 * noise. */
                int64_t age_ms = json_integer_value(json_object_get(instance, "age_ms"));

                printf("%-4lld  %-9s  %10lld  %8s  %8s  %s%s\n", number_of(instance, "slot"),
                        control_text(instance, "state", state, sizeof state),
                        number_of(instance, "generation"), number_text(instance, "pid", pid),
                        duration_format(age_ms < 10000 ? age_ms * NS_PER_MS : age_ms / 1000 * NS_PER_S, age),
                        control_text(instance, "status", status, sizeof status),
                        leftovers_text(instance, leftovers));
        }
}

/* Each generation once, whichever of its instances get connections: the lines above tell how many. */
static void receivers_print(const json_t *members) {
        const json_t *member, *earlier;
        char generation[24];
        size_t i, k;

        json_array_foreach(members, i, member) {
                bool is_new = number_of(member, "weight") > 0;

                json_array_foreach(members, k,
                        earlier) if (k < i && number_of(earlier, "weight") > 0 &&
                                     number_of(earlier, "generation") == number_of(member, "generation"))
                        is_new = false;
                if (is_new)
                        printf("generation %s  ", number_text(member, "generation", generation));
        }
}

static void listeners_print(const json_t *listeners, const char *strong, const char *plain) {
        char name[TEXT_BYTES], address[TEXT_BYTES], reason[TEXT_BYTES];
        const json_t *listener;
        size_t i;

        if (json_array_size(listeners))
                printf("\n%s%-12s  %-24s  CONNECTIONS GO TO%s\n", strong, "SOCKET", "ADDRESS", plain);
        json_array_foreach(listeners, i, listener) {
                const json_t *members = json_object_get(listener, "members");

                printf("%-12s  %-24s  ", control_text(listener, "name", name, sizeof name),
                        control_text(listener, "address", address, sizeof address));
                /* Without a group of its own the kernel gives a connection to whoever accepts first. */
                if (*control_text(listener, "reason", reason, sizeof reason))
                        printf("whoever takes them (shared: %s)", reason);
                else
                        receivers_print(members);
                printf("\n");
        }
}

static int status_print(const json_t *reply, bool is_json, struct error *error) {
        bool has_color = terminal_has_color(STDOUT_FILENO);
        const char *strong = has_color ? "\033[1m" : "", *plain = has_color ? "\033[0m" : "";

        /* /dev/null has the number of a closed output, and printing there would seem to work. */
        errno = EBADF;
        if (verb_output_is_closed())
                return error_set(error, errno, "write to standard output");
        if (is_json) {
                (void)json_dumpf(reply, stdout, JSON_INDENT(2));
                (void)putchar('\n');
        } else {
                summary_print(reply);
                instances_print(json_object_get(reply, "instances"), strong, plain);
                listeners_print(json_object_get(reply, "listeners"), strong, plain);
        }
        return ferror(stdout) || fflush(stdout) == EOF ? error_set(error, errno, "write to standard output")
                                                       : 0;
}

static int status_run(char **argv, struct error *error) {
        /* Too large for the stack. */
        static struct control_client client;
        CLEANUP_JSON json_t *reply = NULL;
        struct status_request request = {0};
        int status = EXIT_STATUS_DONE, result = option_read_all(&table, argv, &request, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (control_where_open(&client, &table, &request.where, error) < 0)
                return -1;
        result = control_client_call(&client, "io.tacet.Status", NULL, false, error);
        if (result == 0)
                result = control_client_reply(&client, ANSWER_TIMEOUT_NS, &reply, error);
        if (result == 0)
                result = status_print(reply, request.is_json, error);
        control_client_close(&client);
        return result;
}

int verb_status(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, status_run);
}
