#pragma once

/* Whom a file is encrypted for: what was asked for on the command line, or what follows from the file
 * itself. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/files/keys.h"
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

#define RECIPIENTS_NOTES                                                                                     \
        "Encrypted for: the recipients given by -r and -R; else those in the file\n"                         \
        ".age-recipients beside FILE; else the one it was encrypted for, when that is\n"                     \
        "the identity itself; a passphrase stays the same."

#define RECIPIENT_OPTIONS_MAX 64 /* -r, and as many -R, on one command line */

/* What the command line says of recipients; strings of argv. Zero-initialise. */
struct recipient_options {
        const char *texts[RECIPIENT_OPTIONS_MAX]; /* -r: age1..., ssh-ed25519 ... */
        size_t text_count;
        const char *files[RECIPIENT_OPTIONS_MAX]; /* -R */
        size_t file_count;
};

/* The takers of -r and -R: note it in a struct recipient_options; nothing is opened yet. -1: too many. */
int recipient_options_take_text(void *member, const struct option_reader *reader, struct error *error);
int recipient_options_take_file(void *member, const struct option_reader *reader, struct error *error);

/* Add all of -r and -R.
 * recipients   zero-initialised or added to before; what is added lies in `arena`
 * Returns how many there are then (0: none was asked for), or -1 with error: a text or file that is none, or
 * options that gave nobody. Files are read, "-" is standard input. */
int recipients_add_options(struct age_recipients *recipients, const struct recipient_options *options,
        struct arena *arena, struct error *error);

/* Choose whom a file is for that is written again, in the order of RECIPIENTS_NOTES. Who could open it before
 * is never left out silently: when that cannot be known it is an error.
 * recipients   zero-initialised; what is added lies in `arena`
 * path         of the file; .age-recipients is looked for beside what it leads to
 * sealed       the old file, NULL when there is none: then the identities given with -i count as asked for
 * ring         what opens it
 * Returns 0, or -1 with error (EXIT_STATUS_USAGE when somebody has to say whom it is for). */
int recipients_choose(struct age_recipients *recipients, const struct recipient_options *options,
        const char *path, const struct bytes *sealed, const struct key_ring *ring, struct arena *arena,
        struct error *error);
