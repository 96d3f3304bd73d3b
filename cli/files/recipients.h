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

enum {
        OPTION_RECIPIENT = 0x110,
        OPTION_RECIPIENTS_FILE,
};

#define OPTION_SPEC_RECIPIENT                                                                                \
        {                                                                                                    \
                .id = OPTION_RECIPIENT, .letter = 'r', .name = "recipient", .value = "RECIPIENT",            \
                .is_repeatable = true,                                                                       \
                .help = "encrypt for age1... or an ssh-ed25519 public key (repeatable)"                      \
        }
#define OPTION_SPEC_RECIPIENTS_FILE                                                                          \
        {                                                                                                    \
                .id = OPTION_RECIPIENTS_FILE, .letter = 'R', .name = "recipients-file", .value = "FILE",     \
                .is_repeatable = true, .help = "encrypt for every recipient in FILE (repeatable)"            \
        }

#define RECIPIENTS_NOTES                                                                                     \
        "Encrypted for: the recipients given by -r and -R; else those in the file\n"                         \
        ".age-recipients beside FILE; else the one it was encrypted for, when that is\n"                     \
        "the identity itself; a passphrase stays the same."

#define RECIPIENT_OPTIONS_MAX 64

struct recipient_options {
        const char *texts[RECIPIENT_OPTIONS_MAX];
        size_t text_count;
        const char *files[RECIPIENT_OPTIONS_MAX];
        size_t file_count;
};

/* Note the option just read when it is one of the two above. Returns 1; 0 when it is another; -1: too
 * many. */
int recipient_options_take(
        struct recipient_options *options, const struct option_reader *reader, int id, struct error *error);

/* The same for a verb that opens a file and writes it again: also those of key_options_take(). */
int secret_options_take(struct key_options *keys, struct recipient_options *recipients,
        const struct option_reader *reader, int id, struct error *error);

/* Add all of -r and -R. Returns how many recipients that gave (0: none was asked for) or -1. */
int recipients_add_options(struct age_recipients *recipients, const struct recipient_options *options,
        struct arena *arena, struct error *error);

/* Choose for a file that is written again, in the order of RECIPIENTS_NOTES.
 * sealed   the old file, NULL when there is none: then the identities given with -i count as asked for */
int recipients_choose(struct age_recipients *recipients, const struct recipient_options *options,
        const char *path, const struct bytes *sealed, const struct key_ring *ring, struct arena *arena,
        struct error *error);
