/* tacet check: would this configuration load?
 *
 * For people before a reload and for continuous integration: reads the file and the options as `run` does,
 * has the loader open, decrypt and merge every source as `run` would, and prints names, sizes, sources and
 * fingerprints, never a value. Nothing is started and nothing is written. All errors of the file are printed,
 * not the first alone.
 *
 * The loader is a child process here too: this process never holds a plaintext byte. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/service/config_options.h"
#include "cli/service/config_request.h"
#include "cli/service/load_once.h"
#include "cli/common/options.h"
#include "cli/service/service.h"
#include "cli/common/terminal.h"
#include "cli/service/verbs.h"
#include "conf/blame.h"
#include "conf/config.h"
#include "conf/known.h"
#include "secrets/load.h"
#include "supervisor/supervisor.h"

enum { CHECK_OPTION_JSON = CONFIG_OPTION_OWN };

struct check {
        struct config config;
        struct service service; /* what run would start: its user must exist, its arguments take room */
        struct load_request request;
        struct load_result result;
        /* Collected while they are printed, for --json. */
        json_t *errors, *warnings;
        bool wants_json;
};

/* A JSON string of a text that may hold a file name in any encoding: what is not UTF-8 becomes '?'. */
static json_t *text_json(const char *text) {
        char copy[ERROR_TEXT_BYTES];
        json_t *string = json_string(text);

        if (string)
                return string;
        snprintf(copy, sizeof copy, "%s", text);
        for (char *at = copy; *at; at++)
                if ((unsigned char)*at >= 0x80)
                        *at = '?';
        return json_string(copy);
}

/* ---- errors ---- */

static void check_report(void *context, const struct error *error) {
        struct check *check = context;

        cli_error_print(error);
        json_array_append_new(check->errors, json_pack("{s:o, s:o*}", "message", text_json(error->text),
                                                     "hint", *error->hint ? text_json(error->hint) : NULL));
}

/* A warning is printed at once, and again in the JSON object. */
static void check_warn(struct check *check, const char *text) {
        cli_warn("%s", text);
        json_array_append_new(check->warnings, text_json(text));
}

/* Whoever may read an identity can open every file that is encrypted for it, and whoever may write it can put
 * in his own. */
static void check_key_modes(struct check *check) {
        char text[ERROR_TEXT_BYTES];

        for (size_t i = 0; i < check->request.key_count; i++) {
                const char *path;
                struct stat status;

                /* Only what has a path: of fd:N and env:NAME nobody can say who else had it. A FIFO or a
                 * directory is the loader's to judge. */
                if (!load_key_path(&check->request.keys[i], &path) || stat(path, &status) < 0 ||
                        !S_ISREG(status.st_mode) || !(status.st_mode & 077))
                        continue;
                snprintf(text, sizeof text, "key '%s': its group or others may read or write it (mode %04o)",
                        path, (unsigned)status.st_mode & 07777);
                check_warn(check, text);
        }
}

/* Advice about a server that is known by name stands at its command. */
static void known_warn(void *context, const char *text) {
        struct check *check = context;
        struct error advice;

        error_set(&advice, 0, "%s", text);
        (void)config_blame(&check->config, "service", "command", &advice);
        check_warn(check, advice.text);
}

/* ---- what was loaded, for people ---- */

struct widths {
        int name, bytes, source;
};

static const char *item_source(const struct check *check, const struct load_item *item) {
        return item->source < check->request.source_count ? check->request.sources[item->source].name : "?";
}

/* Bytes, which is right for what is printed: names are ASCII, sources as a rule. */
static int text_width(const char *text) {
        return (int)strlen(text);
}

static int width_max(int width, int other) {
        return width > other ? width : other;
}

static struct widths table_widths(const struct check *check) {
        struct widths widths = {text_width("NAME"), text_width("BYTES"), text_width("SOURCE")};
        char digits[24];

        for (size_t i = 0; i < check->result.item_count; i++) {
                const struct load_item *item = &check->result.items[i];

                widths.name = width_max(widths.name, text_width(item->name));
                widths.bytes = width_max(
                        widths.bytes, snprintf(digits, sizeof digits, "%" PRIu64, item->value_bytes));
                widths.source = width_max(widths.source, text_width(item_source(check, item)));
        }
        return widths;
}

static void table_print(const struct check *check) {
        struct widths widths = table_widths(check);
        /* Colour for people alone: in a pipe the table is plain columns. */
        bool has_color = terminal_has_color(STDOUT_FILENO);
        const char *strong = has_color ? "\033[1m" : "", *dim = has_color ? "\033[2m" : "",
                   *plain = has_color ? "\033[0m" : "";

        printf("%s%-*s  %*s  %-11s  %s%s\n", strong, widths.name, "NAME", widths.bytes, "BYTES",
                "FINGERPRINT", "SOURCE", plain);
        for (size_t i = 0; i < check->result.item_count; i++) {
                const struct load_item *item = &check->result.items[i];
                const char *source = item_source(check, item);

                printf("%-*s  %*" PRIu64 "  %s%-11s%s  ", widths.name, item->name, widths.bytes,
                        item->value_bytes, dim, *item->fingerprint ? item->fingerprint : "-", plain);
                if (item->shadowed)
                        printf("%-*s  %sshadows %u earlier%s\n", widths.source, source, dim, item->shadowed,
                                plain);
                else
                        printf("%s\n", source);
        }
}

static void summary_print(const struct check *check) {
        size_t sources = check->request.source_count, count = check->result.item_count;
        char address[SOCKET_ADDRESS_TEXT_BYTES];

        if (check->config.path)
                printf("%s: the configuration is good\n", check->config.path);
        for (size_t i = 0; i < check->config.socket_count; i++) {
                socket_address_format(&check->config.sockets[i].listen, address);
                /* The number is what the app will find: its sockets begin at 3 (sd_listen_fds(3)), in the
                 * order of the file. */
                printf("socket %s listens on %s, descriptor %zu of the app\n", check->config.sockets[i].name,
                        address, 3 + i);
        }
        if (sources == 0)
                printf("no source of secrets: nothing to load, every signal is forwarded to the app\n");
        else
                printf("%zu secret%s from %zu source%s\n", count, count == 1 ? "" : "s", sources,
                        sources == 1 ? "" : "s");
}

/* ---- and for programs ---- */

/* Names, places and numbers: nothing here is or comes from a value, so the object may go into a log. */
static json_t *source_json(const struct load_source *source) {
        return json_pack("{s:o, s:o, s:o}", "name", text_json(source->name), "uri", text_json(source->uri),
                "where", text_json(source->where));
}

static json_t *item_json(const struct check *check, const struct load_item *item) {
        return json_pack("{s:s, s:I, s:o, s:i, s:i, s:s*}", "name", item->name, "bytes",
                (json_int_t)item->value_bytes, "source", text_json(item_source(check, item)), "line",
                (int)item->line, "shadowed", (int)item->shadowed, "fingerprint",
                *item->fingerprint ? item->fingerprint : NULL);
}

static json_t *socket_json(const struct config_socket *socket, size_t number) {
        char address[SOCKET_ADDRESS_TEXT_BYTES];

        socket_address_format(&socket->listen, address);
        return json_pack("{s:s, s:o, s:s, s:i}", "name", socket->name, "address", text_json(address), "where",
                socket->where, "descriptor", (int)(3 + number));
}

static int json_print(const struct check *check, int status) {
        json_t *sources = json_array(), *secrets = json_array(), *sockets = json_array(), *document;
        int result;

        for (size_t i = 0; i < check->request.source_count; i++)
                json_array_append_new(sources, source_json(&check->request.sources[i]));
        for (size_t i = 0; i < check->result.item_count; i++)
                json_array_append_new(secrets, item_json(check, &check->result.items[i]));
        for (size_t i = 0; i < check->config.socket_count; i++)
                json_array_append_new(sockets, socket_json(&check->config.sockets[i], i));
        /* errors and warnings are still the caller's ("O"), who gives them up in every case. */
        document = json_pack("{s:b, s:i, s:o, s:o, s:o, s:o, s:O, s:O}", "ok", status == EXIT_STATUS_DONE,
                "status", status, "configuration",
                check->config.path ? text_json(check->config.path) : json_null(), "sources", sources,
                "secrets", secrets, "sockets", sockets, "warnings", check->warnings, "errors", check->errors);
        if (!document)
                return -1;
        result = json_dumpf(document, stdout, JSON_INDENT(2));
        json_decref(document);
        return result < 0 || putchar('\n') == EOF ? -1 : 0;
}

/* ---- the verb ---- */

static int own_option_take(void *context, const struct option_reader *reader, struct error *error) {
        struct check *check = context;

        (void)error;
        if (reader->spec->id == CHECK_OPTION_JSON)
                check->wants_json = true;
        return 0;
}

static const char check_notes[] =
        "Exit status: 0 all is good; 64 wrong usage; 65 a secret or a file of secrets is\n"
        "bad; 66 a source or a key is missing; 78 the configuration is wrong.\n"
        "\n"
        "Examples:\n"
        "  tacet check -c /etc/tacet/api.ini\n"
        "  tacet check -s age:secrets.env.age -i key.txt --json";

/* Everything up to the loaded result. Returns 0, CONFIG_OPTIONS_HELP, or -1 with error. Errors of the file
 * have been reported one by one when *out_was_reported says so. */
static int check_all(struct check *check, const struct option_table *table, char **argv,
        bool *out_was_reported, struct error *error) {
        char **rest;
        int result;

        result = config_options_read(
                &check->config, table, argv, check_report, own_option_take, check, &rest, error);
        if (result != 0) {
                *out_was_reported = result < 0 && error->status == EXIT_STATUS_CONFIG;
                return result;
        }
        if (!check->config.path && check->config.source_count == 0 && check->config.socket_count == 0)
                return option_usage_error(
                        table, error, "there is nothing to check: give -c FILE, -s URI or --listen");
        /* In the order of `run`, cheap errors first: a wrong key of the configuration is told without a
         * passphrase having cost its second. */
        if (config_check(&check->config, false, error) < 0 ||
                service_init(&check->service, &check->config, NULL, error) < 0 ||
                supervisor_check(&check->service.settings, check->config.socket_count > 0, error) < 0)
                return -1;
        if (check->config.source_count == 0)
                return 0;
        if (config_request_make(&check->config, &check->request, error) < 0)
                return -1;
        /* Names, sizes and fingerprints leave the loader only where they are asked for; `run` does not. */
        check->request.wants_inventory = true;
        check->request.environment_bytes_max = service_environment_room(&check->service);
        return load_once(&check->request, &check->result, error);
}

/* Standard output may be full or closed: then nobody saw the answer, and the status must not say that all is
 * good. */
static int answer_print(struct check *check, int status) {
        struct error error;
        int result = 0;

        if (check->wants_json)
                result = json_print(check, status);
        else if (status == EXIT_STATUS_DONE) {
                if (check->result.item_count)
                        table_print(check);
                summary_print(check);
        }
        if (result == 0 && fflush(stdout) == 0)
                return status;
        error_set(&error, errno, "write the result");
        return cli_error_exit(&error);
}

int verb_check(int argc, char **argv) {
        struct config_options options;
        struct option_table table = {
                .command = "tacet check",
                .synopsis = "[-c FILE] [-s URI]... [-i KEY]... [--listen [NAME=]ADDRESS]... [--json]",
                .purpose = "Read the configuration and load every source; print names, sizes, sources and\n"
                           "fingerprints of the secrets, never a value. Nothing is started.",
                .notes = check_notes,
                .specs = options.specs,
        };
        static struct check check; /* large: set below, so that it takes no room in the program's file */
        bool was_reported = false;
        struct error error = {0};
        int result, status;

        (void)argc;
        bundle_init(&check.result.bundle);
        check.result.captured_environment = -1;
        check.errors = json_array();
        check.warnings = json_array();
        config_options_init(&options);
        /* The options of `run` that change what is loaded or opened, and no others: check is no dry run
         * of the app. */
        config_options_add_listen(&options);
        config_options_add(
                &options, (struct option_spec){
                                  .id = CHECK_OPTION_JSON, .name = "json", .help = "print one JSON object"});
        config_options_add(&options, (struct option_spec)OPTION_SPEC_HELP);
        table.count = options.count;
        config_init(&check.config);
        result = check_all(&check, &table, argv, &was_reported, &error);
        if (result == CONFIG_OPTIONS_HELP) {
                status = option_help_print(&table, STDOUT_FILENO);
        } else {
                status = result == 0 ? EXIT_STATUS_DONE : error.status ? error.status : EXIT_STATUS_FAILED;
                /* The errors of a file are printed one by one, while it is read; then *error is only the
                 * first of them. */
                if (result < 0 && !was_reported)
                        check_report(&check, &error);
                /* Also after an error: who mends one thing should hear of the other. */
                check_key_modes(&check);
                known_advise(&check.config, known_warn, &check);
                if (*check.result.note)
                        cli_note("%s", check.result.note);
                if (*check.result.warning)
                        check_warn(&check, check.result.warning);
                status = answer_print(&check, status);
        }
        load_result_deinit(&check.result);
        config_deinit(&check.config);
        json_decref(check.errors);
        json_decref(check.warnings);
        return status;
}
