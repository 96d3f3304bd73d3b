#pragma once

/* Gates that cannot work, refused before anything is started. */

#include <stdbool.h>

#include "lib/error.h"

struct supervisor_settings;

/* Is there something to probe, and can the answer come from nobody else; can the wanted sign ever be seen.
 * knows_sockets: those of a service manager are among the listeners already; else what they might
 * change is not looked at. Returns 0, or -1 with error (status 78). */
int gate_check(const struct supervisor_settings *settings, bool knows_sockets, struct error *error);

/* Say in the log what the operator should know of a gate that works, but not well. */
void gate_advise(const struct supervisor_settings *settings);
