/* tacet list: names and sizes of what an age file holds, never a value. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/keys.h"
#include "cli/options.h"
#include "cli/secret_file.h"
#include "cli/secret_verb.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

enum {
        OPTION_JSON = 1,
};

static const struct option_spec specs[] = {
        {.id = OPTION_JSON, .name = "json", .help = "print one JSON object"},
        OPTION_SPEC_IDENTITY,
        OPTION_SPEC_PASSPHRASE_FILE,
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet list",
        .synopsis = "[--json] [-i IDENTITY]... FILE",
        .purpose = "List the variables of an encrypted file: name and size in bytes, never a value.",
        .notes = KEYS_NOTES,
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
};

struct list_request {
        struct key_options keys;
        const char *path;
        bool is_json;
};

static int request_read(struct list_request *request, char **argv, int *out_status, struct error *error) {
        struct option_reader reader;
        int id, taken;

        option_start(&reader, &table, argv);
        while ((id = option_next(&reader, error)) != OPTION_END) {
                if (id < 0)
                        return -1;
                if (id == OPTION_HELP) {
                        *out_status = option_help_print(&table, STDOUT_FILENO);
                        return 1;
                }
                taken = key_options_take(&request->keys, &reader, id, error);
                if (taken < 0)
                        return -1;
                if (taken)
                        continue;
                if (id == OPTION_JSON)
                        request->is_json = true;
                else if (request->path)
                        return option_usage_error(&table, error, "more than one file is named");
                else
                        request->path = reader.value;
        }
        return request->path ? 0 : option_usage_error(&table, error, "no file is named");
}

static int list_print_json(const char *path, const struct secret_list *list) {
        json_t *variables = json_array(), *root;
        int result;

        for (size_t i = 0; i < list->count; i++)
                json_array_append_new(variables,
                        json_pack("{s:s, s:I, s:I}", "name", list->at[i].name, "bytes",
                                (json_int_t)list->at[i].value.length, "line", (json_int_t)list->at[i].line));
        /* A path need not be UTF-8: then there is none. */
        root = json_pack("{s:s*, s:o}", "file", path, "variables", variables);
        if (!root)
                return -1;
        result = json_dumpf(root, stdout, JSON_INDENT(2));
        json_decref(root);
        return result < 0 || putchar('\n') == EOF ? -1 : 0;
}

static int list_print_text(const struct secret_list *list) {
        bool has_color = terminal_has_color(STDOUT_FILENO);
        int width = 4;

        for (size_t i = 0; i < list->count; i++)
                if ((int)strlen(list->at[i].name) > width)
                        width = (int)strlen(list->at[i].name);
        if (isatty(STDOUT_FILENO))
                printf("%s%-*s  %7s%s\n", has_color ? "\033[1m" : "", width, "NAME", "BYTES",
                        has_color ? "\033[0m" : "");
        for (size_t i = 0; i < list->count; i++)
                printf("%-*s  %7zu\n", width, list->at[i].name, list->at[i].value.length);
        return ferror(stdout) ? -1 : 0;
}

static int list_run(char **argv, struct error *error) {
        CLEANUP_SECRET_FILE struct secret_file file = SECRET_FILE_INIT;
        CLEANUP_ARENA struct arena arena = {0};
        struct list_request request = {0};
        struct secret_list list = {0};
        int status = EXIT_STATUS_DONE, result = request_read(&request, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (arena_init(&arena, SECRET_FILE_ARENA_BYTES, error) < 0)
                return -1;
        result = secret_file_prepare(&file, request.path, &request.keys, &arena, error);
        if (result == SECRET_FILE_NEW) {
                error_set(error, 0, "'%s' does not exist", request.path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (result == 0)
                result = secret_file_decrypt(&file, &arena, error);
        if (result == 0)
                result = document_parse(
                        file.dialect, secret_view(file.text), file.path, 0, &arena, &list, error);
        if (result == 0 && (verb_output_is_closed() ||
                                   (request.is_json ? list_print_json(request.path, &list)
                                                    : list_print_text(&list)) < 0 ||
                                   fflush(stdout) == EOF))
                result = error_set(error, errno, "write to standard output");
        secret_list_deinit(&list);
        return result;
}

int verb_list(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, list_run);
}
