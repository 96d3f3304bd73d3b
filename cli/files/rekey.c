/* tacet rekey: encrypt what an age file holds for other recipients, under a new file key. The content is
 * not looked at.
 *
 * Who could open the old file may have kept a copy, or its values: after a recipient left, rotate the
 * values too. */

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

struct rekey_request {
        struct key_options keys;
        struct recipient_options recipients;
        const char *path, *passphrase_file;
};

static const struct option_spec specs[] = {
        OPTION_SPEC_RECIPIENT(struct rekey_request, recipients),
        OPTION_SPEC_RECIPIENTS_FILE(struct rekey_request, recipients),
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
        .synopsis = "[-i IDENTITY]... [-r RECIPIENT]... [-R FILE]... FILE",
        .purpose = "Encrypt FILE again, for other recipients. -i opens the old file.",
        .notes = KEYS_NOTES "\n\n" RECIPIENTS_NOTES "\n\n"
                            "Who could read the old file may still know its values: rotate them as well.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
        OPTION_FILE(struct rekey_request, path),
};

static int request_read(struct rekey_request *request, char **argv, int *out_status, struct error *error) {
        int result = option_read_all(&table, argv, request, out_status, error);

        if (result != 0)
                return result;
        if (!request->path)
                return option_usage_error(&table, error, "no file is named");
        if (request->passphrase_file && (request->recipients.text_count || request->recipients.file_count))
                return option_usage_error(&table, error,
                        "a passphrase and recipients do not go together: an age file has one or the others");
        return 0;
}

static int rekey_run(char **argv, struct error *error) {
        CLEANUP_SECRET_FILE struct secret_file file = SECRET_FILE_INIT;
        CLEANUP_ARENA struct arena arena = {0};
        struct rekey_request request = {0};
        struct age_recipients recipients = {0};
        struct secret_bytes passphrase;
        int status = EXIT_STATUS_DONE, result = request_read(&request, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (arena_init(&arena, SECRET_FILE_ARENA_BYTES, error) < 0)
                return -1;
        /* Before the old file is locked: what is wrong with the new passphrase holds nobody up. */
        if (request.passphrase_file &&
                (passphrase_read_file(request.passphrase_file, &arena, &passphrase, error) < 0 ||
                        age_recipients_add_passphrase(&recipients, passphrase, AGE_SCRYPT_LOG_N_WRITE,
                                &verb_limits, &arena, error) < 0))
                return -1;
        result = secret_file_prepare(&file, request.path, &request.keys, &arena, error);
        if (result == 0)
                result = secret_file_lock(&file, &arena, error);
        if (result == SECRET_FILE_NEW) {
                error_set(error, 0, "'%s' does not exist", request.path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (result < 0)
                return -1;
        /* After decrypting, which shows that the ring opens it: that may decide whom it is for. */
        if (request.passphrase_file ? change_confirm(&recipients, CHANGE_PASSPHRASE, &request.recipients,
                                              &file, &request.keys, &arena, error) < 0
                                    : audience_choose(&recipients, &request.recipients, &request.keys, &file,
                                              &arena, error) < 0)
                return -1;
        if (secret_file_save(&file, &recipients, secret_view(file.text), error) < 0)
                return -1;
        if (isatty(STDERR_FILENO))
                cli_note("'%s' is now for %zu recipient%s", request.path, recipients.count,
                        recipients.count == 1 ? "" : "s");
        return EXIT_STATUS_DONE;
}

int verb_rekey(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, rekey_run);
}
