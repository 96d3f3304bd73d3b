#pragma once

/* Strings that a configuration owns. */

#include "lib/error.h"

/* Copy `text` to *out (NULL or owned by the configuration), whose former text is freed. Returns 0, or -1 with
 * error and *out as it was. */
int text_copy(char **out, const char *text, struct error *error);
