/* tacet set and tacet unset: change single variables of a secret file.
 *
 * The value never comes by the command line: a hidden prompt, standard input, a descriptor, or made up
 * here. It is taken before the file is locked, so that nobody waits for a person who types. */

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/files/generate.h"
#include "cli/files/audience.h"
#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/files/recipients.h"
#include "cli/files/secret_file.h"
#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"

#define NAMES_MAX 256

/* What the command line comes to. operand_take() is the one that fills path and names. */
struct set_request {
        struct key_options keys;
        struct recipient_options recipients;
        const char *path;
        const char *names[NAMES_MAX];
        size_t name_count, names_max;
        const char *form; /* of a generated value */
        int fd;           /* -1: not given */
        bool as_base64, is_raw, may_be_empty;
};

static int operand_take(void *member, const struct option_reader *reader, struct error *error) {
        struct set_request *request = member;
        const struct option_table *table = reader->table;
        char *operand = reader->value;

        if (argument_is_assignment(operand))
                return argument_refuse_assignment(operand, error);
        if (!request->path) {
                request->path = operand;
                return 0;
        }
        if (request->name_count == request->names_max) {
                /* Not repeated, and wiped: it is probably the value. */
                argument_wipe(operand, 0);
                option_usage_error(table, error, "too many operands behind the name");
                if (request->names_max == 1)
                        error_hint(error,
                                "a value is not given on the command line, where everybody can read it "
                                "(change it if "
                                "this was one): '%s FILE NAME' asks for it or reads it from a pipe",
                                table->command);
                return -1;
        }
        /* Also wiped: a value whose place was mistaken has most often a character that no name has. */
        if (!secret_name_is_valid(operand, strlen(operand))) {
                argument_wipe(operand, 0);
                option_usage_error(table, error, "what follows the file is not a variable's name");
                return error_hint(error,
                        "%s FILE NAME; a name has letters, digits and '_', and no digit first",
                        table->command);
        }
        request->names[request->name_count++] = operand;
        return 0;
}

static int descriptor_take(void *member, const struct option_reader *reader, struct error *error) {
        struct set_request *request = member;
        uint64_t fd;

        if (option_number(reader, 0, INT_MAX, &fd, error) < 0)
                return -1;
        request->fd = (int)fd;
        return 0;
}

static const struct option_spec set_specs[] = {
        {.letter = 'g',
                .name = "generate",
                .value = "FORM",
                .help = "make up a random value: " GENERATE_FORMS,
                OPTION_KEEPS(struct set_request, form)},
        {.name = "from-fd",
                .value = "N",
                .help = "read the value from descriptor N",
                .take = descriptor_take},
        {.name = "raw",
                .help = "keep a final line end of the input as part of the value",
                OPTION_SETS(struct set_request, is_raw)},
        {.name = "base64",
                .help = "store binary: the file holds base64, the app gets the bytes",
                OPTION_SETS(struct set_request, as_base64)},
        OPTION_SPEC_IDENTITY(struct set_request, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct set_request, keys),
        OPTION_SPEC_RECIPIENT(struct set_request, recipients),
        OPTION_SPEC_RECIPIENTS_FILE(struct set_request, recipients),
        OPTION_SPEC_LOCK_OUT(struct set_request, recipients),
        OPTION_SPEC_YES(struct set_request, recipients),
        OPTION_SPEC_HELP,
};
static const struct option_table set_table = {
        .command = "tacet set",
        .synopsis = "[OPTION]... FILE NAME",
        .purpose =
                "Set one variable of an encrypted file. The value is asked for without echo, or read from\n"
                "standard input when that is not a terminal. A FILE that does not exist is made when it is\n"
                "said whom for: -r, -R, -i, --passphrase-file, or .age-recipients beside it.",
        .notes = KEYS_NOTES "\n\n" RECIPIENTS_NOTES "\n\n"
                            "  tacet set -i key.txt secrets.age DB_PASSWORD\n"
                            "  tacet set -i key.txt -g base64url:32 secrets.age SESSION_KEY\n"
                            "  tacet set -i key.txt --raw secrets.age TLS_KEY < tls.key",
        .specs = set_specs,
        .count = sizeof set_specs / sizeof set_specs[0],
        .operand = operand_take,
};

static const struct option_spec unset_specs[] = {
        {.name = "empty",
                .help = "save it also when no variable is left",
                OPTION_SETS(struct set_request, may_be_empty)},
        OPTION_SPEC_IDENTITY(struct set_request, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct set_request, keys),
        OPTION_SPEC_RECIPIENT(struct set_request, recipients),
        OPTION_SPEC_RECIPIENTS_FILE(struct set_request, recipients),
        OPTION_SPEC_LOCK_OUT(struct set_request, recipients),
        OPTION_SPEC_YES(struct set_request, recipients),
        OPTION_SPEC_HELP,
};
static const struct option_table unset_table = {
        .command = "tacet unset",
        .synopsis = "[OPTION]... FILE NAME...",
        .purpose = "Remove variables from an encrypted file: all of those named, or none.",
        .notes = KEYS_NOTES "\n\n" RECIPIENTS_NOTES,
        .specs = unset_specs,
        .count = sizeof unset_specs / sizeof unset_specs[0],
        .operand = operand_take,
};

/* Returns 0; 1 after --help, with *out_status; or -1: then nothing is left of the arguments. */
static int request_read(struct set_request *request, const struct option_table *table, char **argv,
        int *out_status, struct error *error) {
        int result = option_read_all(table, argv, request, out_status, error);

        if (result == 0 && !request->name_count)
                result = option_usage_error(
                        table, error, "%s", request->path ? "no variable is named" : "no file is named");
        if (result == 0 && request->form && request->fd >= 0)
                result = option_usage_error(table, error, "--generate and --from-fd exclude each other");
        if (result < 0)
                arguments_wipe(argv);
        return result;
}

/* ---- the value ---- */

static int value_ask(const char *name, struct arena *arena, struct secret_bytes *out, struct error *error) {
        char prompt[SECRET_NAME_BYTES_MAX + 32], again[SECRET_NAME_BYTES_MAX + 32];
        int result;

        snprintf(prompt, sizeof prompt, "Value of %s: ", name);
        snprintf(again, sizeof again, "%s again: ", name);
        result = terminal_ask_twice(prompt, again, arena, out, error);
        if (result == TERMINAL_NONE) {
                error_set(error, 0, "there is no terminal to ask for the value of %s at", name);
                return error_hint(error, "give it on standard input or with --from-fd");
        }
        return result;
}

static int value_read(const struct set_request *request, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        int fd = request->fd >= 0 ? request->fd : STDIN_FILENO;
        char name[48];

        snprintf(name, sizeof name, request->fd >= 0 ? "descriptor %d" : "standard input", fd);
        if (stream_read(fd, name, SECRET_STRING_BYTES_MAX, arena, out, error) < 0)
                return -1;
        /* What `echo`, editors and heredocs add is not part of a password; --raw is for keys and
         * certificates. */
        if (!request->is_raw && out->length && out->at[out->length - 1] == '\n') {
                out->length--;
                if (out->length && out->at[out->length - 1] == '\r')
                        out->length--;
        }
        if (out->length)
                return 0;
        /* An empty value is never stored: in `tool | tacet set ...` it means that the tool failed. */
        error_set(error, 0, "the value of %s, read from %s, is empty", request->names[0], name);
        return error_hint(error, "did the command before the pipe fail? 'tacet unset' removes a variable");
}

static int value_get(const struct set_request *request, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        if (request->form)
                return value_generate(request->form, arena, out, error);
        /* A terminal on standard input is not read as a file: the value would be echoed. */
        if (request->fd < 0 && isatty(STDIN_FILENO))
                return value_ask(request->names[0], arena, out, error);
        return value_read(request, arena, out, error);
}

/* ---- the change ---- */

/* What is to be done to the text of the locked file. */
typedef int change_function(const struct secret_file *file, const struct set_request *request,
        struct secret_bytes value, struct arena *arena, struct secret_bytes *out, struct error *error);

static int change_set(const struct secret_file *file, const struct set_request *request,
        struct secret_bytes value, struct arena *arena, struct secret_bytes *out, struct error *error) {
        struct dialect_input input = {.text = secret_view(file->text), .file = file->path, .arena = arena};
        struct document_value wanted = {request->names[0], value, request->as_base64};

        if (document_set(file->dialect, &input, &wanted, out, error) == 0)
                return 0;
        if (error->hint[0] && strstr(error->hint, "base64"))
                error_hint(error, "store it as base64: add --base64");
        return -1;
}

static int change_unset(const struct secret_file *file, const struct set_request *request,
        struct secret_bytes value, struct arena *arena, struct secret_bytes *out, struct error *error) {
        (void)value;
        *out = file->text;
        for (size_t i = 0; i < request->name_count; i++) {
                struct dialect_input input = {.text = secret_view(*out), .file = file->path, .arena = arena};
                int result = document_unset(file->dialect, &input, request->names[i], out, error);

                if (result == 1) {
                        error_set(error, 0, "%s: there is no variable %s", file->path, request->names[i]);
                        return error_hint(error, "'tacet list %s' shows what there is", file->path);
                }
                if (result < 0)
                        return -1;
        }
        return 0;
}

/* Lock, change, check, save; again when somebody made the file while we were about to. */
static int file_change(struct secret_file *file, const struct set_request *request, change_function *change,
        struct secret_bytes value, struct arena *arena, size_t *out_recipients, struct error *error) {
        size_t mark = arena->used;
        int result;

        do {
                struct age_recipients recipients = {0};
                struct secret_bytes text;

                arena_release(arena, mark);
                /* The text is taken anew in each round, so that a change of somebody else is kept. */
                result = secret_file_lock(file, arena, error);
                if (result == SECRET_FILE_NEW && change == change_unset)
                        return error_set(error, 0, "'%s' does not exist", file->path);
                /* The whole result is checked by the loader's own parser: what it would refuse must not
                 * wait for the next start of the app. */
                if (result < 0 || change(file, request, value, arena, &text, error) < 0 ||
                        secret_file_check(file, secret_view(text), arena, error) < 0 ||
                        secret_file_check_names(
                                file, secret_view(text), request->may_be_empty, arena, error) < 0)
                        return -1;
                if (audience_choose(&recipients, &request->recipients, &request->keys, file, arena, error) <
                        0)
                        return -1;
                result = secret_file_save(file, &recipients, secret_view(text), error);
                *out_recipients = recipients.count;
        } while (result == ATOMIC_FILE_EXISTS);
        return result;
}

static int change_run(
        char **argv, const struct option_table *table, change_function *change, struct error *error) {
        CLEANUP_SECRET_FILE struct secret_file file = SECRET_FILE_INIT;
        CLEANUP_ARENA struct arena arena = {0};
        struct set_request request = {.fd = -1, .names_max = change == change_set ? 1 : NAMES_MAX};
        struct secret_bytes value = {0};
        size_t recipients;
        int status = EXIT_STATUS_DONE, result = request_read(&request, table, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (arena_init(&arena, SECRET_FILE_ARENA_BYTES, error) < 0 ||
                secret_file_prepare(&file, request.path, &request.keys, &arena, error) < 0)
                return -1;
        /* Before the lock: a person may take minutes to type it. */
        if (change == change_set && value_get(&request, &arena, &value, error) < 0)
                return -1;
        if (change == change_set && age_text_has_identity(secret_view(value)))
                cli_warn("the value of %s is an age identity, a private key: 'tacet run' refuses it unless "
                         "the "
                         "source says age_identities = yes",
                        request.names[0]);
        if (change == change_set && !value.length)
                return error_set(error, 0, "the value of %s is empty: nothing was changed", request.names[0]);
        if (file_change(&file, &request, change, value, &arena, &recipients, error) < 0)
                return -1;
        if (file.is_new)
                cli_note("made a new file '%s', for %zu recipient%s", request.path, recipients,
                        recipients == 1 ? "" : "s");
        if (isatty(STDERR_FILENO) && change == change_set)
                cli_note("%s is set in '%s' (%zu bytes, for %zu recipient%s)", request.names[0], request.path,
                        value.length, recipients, recipients == 1 ? "" : "s");
        return EXIT_STATUS_DONE;
}

static int set_run(char **argv, struct error *error) {
        return change_run(argv, &set_table, change_set, error);
}

int verb_set(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, set_run);
}

static int unset_run(char **argv, struct error *error) {
        return change_run(argv, &unset_table, change_unset, error);
}

int verb_unset(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, unset_run);
}
