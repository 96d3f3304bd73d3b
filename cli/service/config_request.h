#pragma once

/* From a configuration to what the loader takes; run, exec and check have it in common. */

#include "conf/config.h"
#include "secrets/load.h"

/* Fill *out. Its strings are borrowed from `config`; relative paths stay relative to the working directory.
 * Sources and identities keep their order. environment_bytes_max is left at "no limit": the caller that knows
 * the app sets it. Errors carry EXIT_STATUS_CONFIG or EXIT_STATUS_USAGE. */
int config_request_make(const struct config *config, struct load_request *out, struct error *error);
