/* tacet edit: the whole document in an editor, without plaintext on any disk.
 *
 * The file stays locked while it is edited, so that another tacet waits instead of losing one of the two
 * changes. Everything that can fail later (keys, recipients) is tried before the editor opens: an hour of
 * editing must not end in "no recipient". */

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/files/editor.h"
#include "cli/files/audience.h"
#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/files/recipients.h"
#include "cli/files/secret_file.h"
#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"

#define EDIT_NAME_BYTES 100

/* One run of the verb. The keys and the text lie in `arena`; the editor's file is the only other place
 * where the text is in the clear. */
struct edit {
        struct key_options keys;
        struct recipient_options recipient_options;
        bool is_visible, may_be_empty;
        const char *path;
        char name[EDIT_NAME_BYTES]; /* of the editor's file */
        struct age_recipients recipients;
        struct secret_file file;
        struct editor editor;
        struct arena arena;
};

/* `tacet edit FILE NAME=value` is more than a second file: the value must not stay in the command line. */
static int edit_take_file(void *member, const struct option_reader *reader, struct error *error) {
        if (argument_is_assignment(reader->value))
                return argument_refuse_assignment(reader->value, error);
        return option_take_file(member, reader, error);
}

static const struct option_spec specs[] = {
        {.name = "visible",
                .help = "let other programs of this user see the editor's file (in\n"
                        "/dev/shm), for editors that hand it to an open window",
                OPTION_SETS(struct edit, is_visible)},
        {.name = "empty",
                .help = "save it also when no variable is left",
                OPTION_SETS(struct edit, may_be_empty)},
        OPTION_SPEC_IDENTITY(struct edit, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct edit, keys),
        OPTION_SPEC_RECIPIENT(struct edit, recipient_options),
        OPTION_SPEC_RECIPIENTS_FILE(struct edit, recipient_options),
        OPTION_SPEC_LOCK_OUT(struct edit, recipient_options),
        OPTION_SPEC_YES(struct edit, recipient_options),
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet edit",
        .synopsis = "[OPTION]... FILE",
        .purpose = "Edit an encrypted file with $VISUAL or $EDITOR. The text lies in memory, in a folder "
                   "only the\n"
                   "editor sees, and all else is read-only to it: swap, backup and history files stay there "
                   "too.",
        .notes = KEYS_NOTES "\n\n" RECIPIENTS_NOTES "\n\nAn unchanged text is not written.",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
        .operand = edit_take_file,
        .operand_offset = OPTION_MEMBER(struct edit, path, const char *),
};

static int edit_read_options(struct edit *edit, char **argv, int *out_status, struct error *error) {
        int result = option_read_all(&table, argv, edit, out_status, error);

        if (result == 0 && !edit->path)
                return option_usage_error(&table, error, "no file is named");
        return result;
}

/* A name that tells the editor what it is: "db.env.age" is edited as "db.env", "db.age" as "db.env" or
 * "db.json". */
static void edit_choose_name(struct edit *edit) {
        const char *slash = strrchr(edit->path, '/'), *name = slash ? slash + 1 : edit->path;
        size_t length = strlen(name);

        if (length > 4 && strcmp(name + length - 4, ".age") == 0)
                length -= 4;
        /* The ending that may follow, and the NUL. */
        if (length > EDIT_NAME_BYTES - 8)
                length = EDIT_NAME_BYTES - 8;
        snprintf(edit->name, sizeof edit->name, "%.*s%s", (int)length, name,
                memchr(name + 1, '.', length - 1) ? "" : document_suffix(edit->file.dialect));
}

/* All that can fail without the person: keys, lock, content, recipients, and the text where the editor
 * finds it. */
static int edit_open(struct edit *edit, struct error *error) {
        /* The guard first: it keeps a copy of what is in memory now. */
        if (editor_start(&edit->editor, edit->is_visible, &edit->keys, error) < 0 ||
                arena_init(&edit->arena, SECRET_FILE_ARENA_BYTES, error) < 0 ||
                secret_file_prepare(&edit->file, edit->path, &edit->keys, &edit->arena, error) < 0 ||
                secret_file_lock(&edit->file, &edit->arena, error) < 0 ||
                audience_choose(&edit->recipients, &edit->recipient_options, &edit->keys, &edit->file,
                        &edit->arena, error) < 0)
                return -1;
        edit_choose_name(edit);
        return editor_put(&edit->editor, edit->name, secret_view(edit->file.text), error);
}

/* Print what is wrong and ask. Without a terminal nobody can answer: the error is returned. */
static char edit_ask(struct error *error, const char *question, const char *letters) {
        char answer;

        if (!terminal_is_present() || !isatty(STDERR_FILENO))
                return 0;
        cli_error_print(error);
        answer = terminal_choose(question, letters);
        if (answer == letters[1] || answer == 0)
                error_set(error, 0, "the changes are discarded, the file is as it was");
        return answer;
}

/* Not memcmp(3), whose time tells how much of two secrets is equal. */
static bool edit_is_unchanged(const struct edit *edit, struct secret_bytes text) {
        return text.length == edit->file.text.length &&
               sodium_memcmp(text.at, edit->file.text.at, text.length) == 0;
}

/* Let the editor run until the text is a document. Returns 0 with the text, 1 when it is unchanged, or -1. */
static int edit_text(struct edit *edit, struct secret_bytes *out, struct error *error) {
        size_t mark = edit->arena.used;

        for (;;) {
                /* What an earlier round read: many rounds must not use up the arena. */
                arena_release(&edit->arena, mark);
                if (editor_run(&edit->editor, edit->name, error) < 0 ||
                        editor_get(&edit->editor, edit->name, SECRET_FILE_BYTES_MAX, &edit->arena, out,
                                error) < 0)
                        return -1;
                if (edit_is_unchanged(edit, *out))
                        return 1;
                if (secret_file_check(&edit->file, secret_view(*out), &edit->arena, error) == 0)
                        return secret_file_check_names(
                                &edit->file, secret_view(*out), edit->may_be_empty, &edit->arena, error);
                if (edit_ask(error, "Edit again or discard the changes? [E/d] ", "ed") != 'e')
                        return -1;
        }
}

/* Somebody replaced the file without taking the lock. Returns 0 when it is to be overwritten; it is locked
 * then. */
static int edit_overwrite(struct edit *edit, struct error *error) {
        error_set(error, 0, "'%s' was changed by another program while it was edited", edit->path);
        if (edit_ask(error, "Overwrite it or discard your changes? [o/d] ", "od") != 'o')
                return -1;
        /* The file that is there now is taken for the old one, and locked, without another look at what
         * it holds: that is what was answered. */
        atomic_file_close(&edit->file.file);
        return atomic_file_open(&edit->file.file, edit->path, 0, error);
}

/* Put the new text in place. What fails here can often be mended (a full disk), and the person's work is
 * at stake. */
static int edit_save(struct edit *edit, struct secret_bytes text, struct error *error) {
        for (;;) {
                int result = ATOMIC_FILE_EXISTS;

                /* Editors of other programs take no lock. Whoever replaced the file while ours was open
                 * would lose his change without a word. */
                if (atomic_file_is_current(&edit->file.file))
                        result = secret_file_save(&edit->file, &edit->recipients, secret_view(text), error);
                if (result == 0)
                        return 0;
                if (result == ATOMIC_FILE_EXISTS) {
                        if (edit_overwrite(edit, error) < 0)
                                return -1;
                } else if (edit_ask(error, "Try again or discard the changes? [T/d] ", "td") != 't') {
                        return -1;
                }
        }
}

static int edit_carry_out(struct edit *edit, struct error *error) {
        struct secret_bytes text = {0};
        int result = edit_open(edit, error);

        if (result == 0)
                result = edit_text(edit, &text, error);
        if (result == 1) {
                cli_note("'%s' is unchanged", edit->path);
                return EXIT_STATUS_DONE;
        }
        if (result < 0 || edit_save(edit, text, error) < 0)
                return -1;
        if (isatty(STDERR_FILENO))
                cli_note("'%s' is written, for %zu recipient%s", edit->path, edit->recipients.count,
                        edit->recipients.count == 1 ? "" : "s");
        return EXIT_STATUS_DONE;
}

static int edit_run(char **argv, struct error *error) {
        struct edit edit = {.file = SECRET_FILE_INIT, .editor = EDITOR_INIT};
        int status = EXIT_STATUS_DONE, result = edit_read_options(&edit, argv, &status, error);

        if (result < 0)
                /* A command line that cannot be understood may have a value anywhere in it. */
                arguments_wipe(argv);
        if (result != 0)
                return result < 0 ? -1 : status;
        result = edit_carry_out(&edit, error);
        /* In this order: the plaintext is gone before somebody else gets the lock, and the keys go last. */
        editor_stop(&edit.editor);
        secret_file_close(&edit.file);
        arena_deinit(&edit.arena);
        return result;
}

int verb_edit(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, edit_run);
}
