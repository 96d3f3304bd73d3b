#pragma once

/* From a configuration to what the loader takes; run, exec and check have it in common. */

#include "conf/config.h"
#include "secrets/load.h"

/* Say what is to be loaded, and check all that can be told without opening a source.
 * config   borrowed, also by *out: it must live as long. Relative paths stay relative to the working
 *          directory
 * out      overwritten. Sources and identities keep their order, which decides who wins. There is a fresh
 *          random key for the digests. environment_bytes_max is left at "no limit": the caller that knows the
 *          app sets it
 * Returns 0, or -1 with error: EXIT_STATUS_CONFIG, EXIT_STATUS_USAGE, or EXIT_STATUS_SUPERVISOR when there
 * are no random bytes. */
int config_request_make(const struct config *config, struct load_request *out, struct error *error);
