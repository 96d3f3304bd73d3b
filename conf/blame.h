#pragma once

/* Errors of the configuration that no single key makes: where they are. */

#include "conf/config.h"
#include "lib/error.h"

/* Begin a message with the place of the key that is to blame: FILE:LINE, its option, or its section when it
 * has its default; and set the exit status. In conf/check.c. Returns -1. */
int config_blame(const struct config *config, const char *section, const char *key, struct error *error);
