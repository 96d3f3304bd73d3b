#pragma once

/* Whom a file is encrypted for, as the command line says it. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/common/options.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

/* Rows for the table of a verb that writes files.
 * type, member   the verb's request, and the struct recipient_options in it */
#define OPTION_SPEC_RECIPIENT(type, member)                                                                  \
        {                                                                                                    \
                .letter = 'r', .name = "recipient", .value = "RECIPIENT", .is_repeatable = true,             \
                .help = "encrypt for age1... or an ssh-ed25519 public key (repeatable)",                     \
                .take = recipient_options_take_text,                                                         \
                .offset = OPTION_MEMBER(type, member, struct recipient_options)                              \
        }
#define OPTION_SPEC_RECIPIENTS_FILE(type, member)                                                            \
        {                                                                                                    \
                .letter = 'R', .name = "recipients-file", .value = "FILE", .is_repeatable = true,            \
                .help = "encrypt for every recipient in FILE (repeatable)",                                  \
                .take = recipient_options_take_file,                                                         \
                .offset = OPTION_MEMBER(type, member, struct recipient_options)                              \
        }

/* The same for a verb that writes a file again. */
#define OPTION_SPEC_LOCK_OUT(type, member)                                                                   \
        {                                                                                                    \
                .name = "lock-myself-out",                                                                   \
                .help = "write it even when the key that opens it will not any more",                        \
                OPTION_SETS(type, member.may_lock_out)                                                       \
        }
#define OPTION_SPEC_YES(type, member)                                                                        \
        {                                                                                                    \
                .letter = 'y', .name = "yes", .help = "do not ask whether the recipients may change",        \
                OPTION_SETS(type, member.is_sure)                                                            \
        }

#define RECIPIENTS_NOTES                                                                                     \
        "Encrypted for: the recipients given by -r and -R; else the passphrase it was locked\n"              \
        "with; else those in .age-recipients beside FILE, which nobody but root and you may own\n"           \
        "or write; else those it was encrypted for, when your identities are all of them. A\n"               \
        "change of the recipients is said, and asked for at a terminal."

#define RECIPIENT_OPTIONS_MAX 64 /* -r, and as many -R, on one command line */

/* What the command line says of recipients; strings of argv. Zero-initialise. */
struct recipient_options {
        const char *texts[RECIPIENT_OPTIONS_MAX]; /* -r: age1..., ssh-ed25519 ... */
        size_t text_count;
        const char *files[RECIPIENT_OPTIONS_MAX]; /* -R */
        size_t file_count;
        const char *added[RECIPIENT_OPTIONS_MAX]; /* --add, of rekey */
        size_t added_count;
        const char *removed[RECIPIENT_OPTIONS_MAX]; /* --remove, of rekey */
        size_t removed_count;
        bool may_lock_out, is_sure; /* --lock-myself-out, --yes */
};

/* The takers of -r and -R: note it in a struct recipient_options; nothing is opened yet. -1: too many. */
int recipient_options_take_text(void *member, const struct option_reader *reader, struct error *error);
int recipient_options_take_file(void *member, const struct option_reader *reader, struct error *error);

/* The same of --add and --remove. */
int recipient_options_take_added(void *member, const struct option_reader *reader, struct error *error);
int recipient_options_take_removed(void *member, const struct option_reader *reader, struct error *error);

/* Add all of -r and -R.
 * recipients   zero-initialised or added to before; what is added lies in `arena`
 * Returns how many there are then (0: none was asked for), or -1 with error: a text or file that is none, or
 * options that gave nobody. Files are read, "-" is standard input. */
int recipients_add_options(struct age_recipients *recipients, const struct recipient_options *options,
        struct arena *arena, struct error *error);
