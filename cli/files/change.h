#pragma once

/* A change of whom a file is for: never silent, and never one that locks its author out unasked. */

#include "cli/files/keys.h"
#include "cli/files/recipients.h"
#include "cli/files/secret_file.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

/* Where the recipients to come are from: decides what counts as being locked out, and what is advised. */
enum change_origin {
        CHANGE_KEPT,      /* the file's own */
        CHANGE_NAMED,     /* -r, -R, --add, --remove */
        CHANGE_BESIDE,    /* .age-recipients */
        CHANGE_PASSPHRASE /* --new-passphrase-file: who has it is not locked out */
};

/* Look at what becomes of a locked file when it is written for `recipients`: refuse to lock this person out,
 * say on standard error who comes and goes as far as that can be known, and ask at a terminal.
 * options   may_lock_out and is_sure of it
 * keys      the command line's: of a passphrase's file, whether the person has an identity as well
 * Returns 0 or -1 with error: no key at hand would open it (EXIT_STATUS_USAGE), or the answer was no. */
int change_confirm(const struct age_recipients *recipients, enum change_origin origin,
        const struct recipient_options *options, const struct secret_file *file,
        const struct key_options *keys, struct arena *arena, struct error *error);
