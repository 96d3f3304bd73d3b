#pragma once

/* The file `.age-recipients`: whom the files beside it are for, as the people who own the folder wrote it
 * down. */

#include <stdbool.h>

#include "cli/files/secret_file.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

#define BESIDE_NAME ".age-recipients"
#define BESIDE_NONE 1 /* there is no such file */

/* True when there is such a file, whatever it holds. */
bool beside_is_there(const struct secret_file *file);

/* Add the recipients that are listed beside a locked file.
 * recipients   what is added lies in `arena`
 * file         after secret_file_lock(); looked for in the folder that holds what its links lead to
 * Returns 0; BESIDE_NONE; or -1 with error: a line that is no recipient, or somebody else than root and this
 * user owns or may write the file or its folder, and so could decide who reads what is written next. */
int beside_recipients_add(struct age_recipients *recipients, const struct secret_file *file,
        struct arena *arena, struct error *error);
