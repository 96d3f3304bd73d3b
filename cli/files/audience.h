#pragma once

/* Whom a file is written for: what was asked for, or what follows from the file and from what lies beside
 * it. */

#include "cli/files/keys.h"
#include "cli/files/recipients.h"
#include "cli/files/secret_file.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

/* Choose whom a locked file is for that is written again, in the order of RECIPIENTS_NOTES; --add and
 * --remove change the former ones. Who could open it before is never left out silently: when it cannot be
 * known that is an error, and what changes goes through change_confirm().
 * recipients   zero-initialised; what is added lies in `arena`
 * options      of the command line, as `keys`
 * file         after secret_file_lock(); a new one is for the identities or the passphrase given with -i
 * Returns 0, or -1 with error (EXIT_STATUS_USAGE when somebody has to say whom it is for). */
int audience_choose(struct age_recipients *recipients, const struct recipient_options *options,
        const struct key_options *keys, const struct secret_file *file, struct arena *arena,
        struct error *error);
