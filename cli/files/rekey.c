/* tacet rekey: encrypt what age files hold for other recipients, under a new file key. The content is not
 * looked at.
 *
 * Several files are so many runs of the verb: each is replaced as a whole or stays, and one that fails does
 * not keep the others. Who could open an old file may have kept a copy, or its values: after a recipient
 * left, rotate the values too. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/files/audience.h"
#include "cli/files/change.h"
#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/files/recipients.h"
#include "cli/files/secret_file.h"
#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"

#define REKEY_FILES_MAX 1024

struct rekey_request {
        struct key_options keys;
        struct recipient_options recipients;
        const char *paths[REKEY_FILES_MAX];
        size_t path_count;
        const char *passphrase_file;
};

static int operand_take(void *member, const struct option_reader *reader, struct error *error) {
        struct rekey_request *request = member;

        if (request->path_count == REKEY_FILES_MAX)
                return option_usage_error(reader->table, error, "more than %d files", REKEY_FILES_MAX);
        request->paths[request->path_count++] = reader->value;
        return 0;
}

static const struct option_spec specs[] = {
        OPTION_SPEC_RECIPIENT(struct rekey_request, recipients),
        OPTION_SPEC_RECIPIENTS_FILE(struct rekey_request, recipients),
        {.name = "add",
                .value = "RECIPIENT",
                .is_repeatable = true,
                .help = "for the former recipients and this one (repeatable)",
                .take = recipient_options_take_added,
                .offset = OPTION_MEMBER(struct rekey_request, recipients, struct recipient_options)},
        {.name = "remove",
                .value = "RECIPIENT",
                .is_repeatable = true,
                .help = "for the former recipients without this one (repeatable)",
                .take = recipient_options_take_removed,
                .offset = OPTION_MEMBER(struct rekey_request, recipients, struct recipient_options)},
        {.name = "new-passphrase-file",
                .value = "FILE",
                .help = "lock it with the passphrase in FILE instead",
                OPTION_KEEPS(struct rekey_request, passphrase_file)},
        OPTION_SPEC_LOCK_OUT(struct rekey_request, recipients),
        OPTION_SPEC_YES(struct rekey_request, recipients),
        OPTION_SPEC_IDENTITY(struct rekey_request, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct rekey_request, keys),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet rekey",
        .synopsis = "[-i IDENTITY]... [-r RECIPIENT]... [-R FILE]... FILE...\n"
                    "[-i IDENTITY]... [--add RECIPIENT]... [--remove RECIPIENT]... FILE...",
        .purpose = "Encrypt each FILE again, for other recipients. -i opens the old file.",
        .notes = KEYS_NOTES
        "\n\n" RECIPIENTS_NOTES "\n\n"
        "--add and --remove need to know the former ones: those of your own keys, or those\n"
        "in .age-recipients when they can be what the file is for.\n\n"
        "Who could read the old file may still know its values: rotate them as well.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
        .operand = operand_take,
};

static int request_read(struct rekey_request *request, char **argv, int *out_status, struct error *error) {
        const struct recipient_options *recipients = &request->recipients;
        int result = option_read_all(&table, argv, request, out_status, error);
        bool is_amended = recipients->added_count || recipients->removed_count;

        if (result != 0)
                return result;
        if (!request->path_count)
                return option_usage_error(&table, error, "no file is named");
        if (request->passphrase_file && (recipients->text_count || recipients->file_count || is_amended))
                return option_usage_error(&table, error,
                        "a passphrase and recipients do not go together: an age file has one or the others");
        if (is_amended && (recipients->text_count || recipients->file_count))
                return option_usage_error(&table, error,
                        "-r and -R name all recipients, --add and --remove change the former ones");
        return 0;
}

/* ---- one file ---- */

static int recipients_find(struct age_recipients *recipients, const struct rekey_request *request,
        struct secret_bytes passphrase, const struct secret_file *file, struct arena *arena,
        struct error *error) {
        if (!request->passphrase_file)
                return audience_choose(recipients, &request->recipients, &request->keys, file, arena, error);
        return age_recipients_add_passphrase(
                       recipients, passphrase, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error) < 0
                       ? -1
                       : change_confirm(recipients, CHANGE_PASSPHRASE, &request->recipients, file,
                                 &request->keys, arena, error);
}

static int file_rekey(struct secret_file *file, const char *path, const struct rekey_request *request,
        struct secret_bytes passphrase, struct arena *arena, struct error *error) {
        struct age_recipients recipients = {0};
        int result = secret_file_prepare(file, path, &request->keys, arena, error);

        if (result == 0)
                result = secret_file_lock(file, arena, error);
        if (result == SECRET_FILE_NEW) {
                error_set(error, 0, "'%s' does not exist", path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        /* After decrypting, which shows that the ring opens it: that may decide whom it is for. */
        if (result < 0 || recipients_find(&recipients, request, passphrase, file, arena, error) < 0 ||
                secret_file_save(file, &recipients, secret_view(file->text), error) < 0)
                return -1;
        if (isatty(STDERR_FILENO))
                cli_note("'%s' is now for %zu recipient%s", path, recipients.count,
                        recipients.count == 1 ? "" : "s");
        return 0;
}

/* ---- all of them ---- */

/* One at a time. Errors of all but a single file are printed here, each where it happens. */
static int files_rekey(struct rekey_request *request, struct secret_bytes passphrase, struct arena *arena,
        struct error *error) {
        CLEANUP_SECRET_FILE struct secret_file file = SECRET_FILE_INIT;
        int status = EXIT_STATUS_DONE;
        size_t failed = 0;

        for (size_t i = 0; i < request->path_count; i++) {
                int result = file_rekey(&file, request->paths[i], request, passphrase, arena, error);

                secret_file_close(&file);
                if (result == 0)
                        continue;
                if (request->path_count == 1)
                        return -1;
                failed++;
                cli_error_print(error);
                if (status == EXIT_STATUS_DONE)
                        status = error->status ? error->status : EXIT_STATUS_FAILED;
        }
        if (failed)
                cli_note("%zu of %zu files stay as they were", failed, request->path_count);
        return status;
}

static int rekey_run(char **argv, struct error *error) {
        CLEANUP_ARENA struct arena arena = {0};
        static struct rekey_request request;
        struct secret_bytes passphrase = {0};
        int status = EXIT_STATUS_DONE, result = request_read(&request, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (arena_init(&arena, SECRET_FILE_ARENA_BYTES, error) < 0)
                return -1;
        /* Before the first file is locked: what is wrong with the new passphrase holds nobody up. */
        if (request.passphrase_file &&
                passphrase_read_file(request.passphrase_file, &arena, &passphrase, error) < 0)
                return -1;
        return files_rekey(&request, passphrase, &arena, error);
}

int verb_rekey(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, rekey_run);
}
