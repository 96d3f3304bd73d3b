/* tacet list: names, sizes and fingerprints of what an age file holds, never a value. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/files/secret_file.h"
#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"
#include "secrets/fingerprint.h"

struct list_request {
        struct key_options keys;
        const char *path;
        bool is_json;
};

static const struct option_spec specs[] = {
        {.name = "json", .help = "print one JSON object", OPTION_SETS(struct list_request, is_json)},
        OPTION_SPEC_IDENTITY(struct list_request, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct list_request, keys),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet list",
        .synopsis = "[--json] [-i IDENTITY]... FILE",
        .purpose = "List the variables of an encrypted file: name, size in bytes and fingerprint, never a "
                   "value.",
        .notes = "Equal fingerprints mean an unchanged value, and tell nothing to somebody without the "
                 "identity;\n"
                 "with a passphrase there are none.\n\n" KEYS_NOTES,
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
        OPTION_FILE(struct list_request, path),
};

static int request_read(struct list_request *request, char **argv, int *out_status, struct error *error) {
        int result = option_read_all(&table, argv, request, out_status, error);

        if (result == 0 && !request->path)
                return option_usage_error(&table, error, "no file is named");
        return result;
}

/* What is printed. */
struct listing {
        const char *path;
        struct secret_list list;
        uint8_t key[32];
        bool has_key; /* a passphrase gives none: a fingerprint must not help to guess one */
        struct age_description file;
};

/* How many can open it, a passphrase not counted. */
static size_t listing_recipients(const struct listing *listing) {
        return listing->file.has_passphrase ? 0
                                            : listing->file.recipient_stanzas + listing->file.unknown_stanzas;
}

static int list_print_json(const struct listing *listing) {
        json_t *variables = json_array(), *root = json_object();
        char fingerprint[FINGERPRINT_TEXT_BYTES];
        int result;

        for (size_t i = 0; i < listing->list.count; i++) {
                const struct secret_entry *entry = &listing->list.at[i];

                json_array_append_new(
                        variables, json_pack("{s:s, s:I, s:I, s:s*}", "name", entry->name, "bytes",
                                           (json_int_t)entry->value.length, "line", (json_int_t)entry->line,
                                           "fingerprint",
                                           listing->has_key ? secret_fingerprint(listing->key, entry->name,
                                                                      entry->value, fingerprint)
                                                            : NULL));
        }
        /* A path need not be UTF-8: then there is none. */
        json_object_set_new(root, "file", json_string(listing->path));
        json_object_set_new(root, "recipients", json_integer((json_int_t)listing_recipients(listing)));
        json_object_set_new(root, "passphrase", json_boolean(listing->file.has_passphrase));
        json_object_set_new(root, "variables", variables);
        result = json_dumpf(root, stdout, JSON_INDENT(2));
        json_decref(root);
        return result < 0 || putchar('\n') == EOF ? -1 : 0;
}

static int list_print_text(const struct listing *listing) {
        bool has_color = terminal_has_color(STDOUT_FILENO);
        char fingerprint[FINGERPRINT_TEXT_BYTES];
        int width = 4;

        for (size_t i = 0; i < listing->list.count; i++)
                if ((int)strlen(listing->list.at[i].name) > width)
                        width = (int)strlen(listing->list.at[i].name);
        if (isatty(STDOUT_FILENO))
                printf("%s%-*s  %7s%s%s\n", has_color ? "\033[1m" : "", width, "NAME", "BYTES",
                        listing->has_key ? "  FINGERPRINT" : "", has_color ? "\033[0m" : "");
        for (size_t i = 0; i < listing->list.count; i++) {
                const struct secret_entry *entry = &listing->list.at[i];

                printf("%-*s  %7zu%s%s\n", width, entry->name, entry->value.length,
                        listing->has_key ? "  " : "",
                        listing->has_key
                                ? secret_fingerprint(listing->key, entry->name, entry->value, fingerprint)
                                : "");
        }
        return ferror(stdout) ? -1 : 0;
}

/* On standard error, so that what is listed can be read line by line. */
static void list_say_recipients(const struct listing *listing) {
        size_t count = listing_recipients(listing), unknown = listing->file.unknown_stanzas;

        if (listing->file.has_passphrase)
                cli_note("'%s' is locked with a passphrase", listing->path);
        else if (unknown)
                cli_note("'%s' is encrypted for %zu recipient%s, %zu of a kind that tacet does not know",
                        listing->path, count, count == 1 ? "" : "s", unknown);
        else
                cli_note(
                        "'%s' is encrypted for %zu recipient%s", listing->path, count, count == 1 ? "" : "s");
}

static int list_print(const struct listing *listing, bool is_json, struct error *error) {
        /* /dev/null has the number of a closed output, and printing there would seem to work. */
        errno = EBADF;
        if (verb_output_is_closed() || (is_json ? list_print_json(listing) : list_print_text(listing)) < 0 ||
                fflush(stdout) == EOF)
                return error_set(error, errno, "write to standard output");
        if (!is_json)
                list_say_recipients(listing);
        return 0;
}

static int list_run(char **argv, struct error *error) {
        CLEANUP_SECRET_FILE struct secret_file file = SECRET_FILE_INIT;
        CLEANUP_ARENA struct arena arena = {0};
        struct list_request request = {0};
        struct listing listing = {0};
        int status = EXIT_STATUS_DONE, result = request_read(&request, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        listing.path = request.path;
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
                result = document_parse(file.dialect,
                        &(struct dialect_input){.text = secret_view(file.text),
                                .file = file.path,
                                .arena = &arena,
                                .may_hold_identities = true,
                                .list = &listing.list},
                        error);
        listing.file = file.description;
        listing.has_key = age_fingerprint_key(&file.ring.keys, listing.key);
        if (result == 0)
                result = list_print(&listing, request.is_json, error);
        /* From it and a fingerprint a short value could be guessed: it is as secret as the values. */
        secret_wipe(listing.key, sizeof listing.key);
        return result;
}

int verb_list(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, list_run);
}
