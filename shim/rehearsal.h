#pragma once

/* Becoming the app, in a child that only tries it. */

#include <stdbool.h>

#include "shim/launch.h"

/* For `tacet exec`, of which nobody is left to tell: would a filter end this process where launch_become()
 * sets limits, groups and user? Tried in a child before there are secrets, and only below a filter with such
 * a step to take, which spares a fork elsewhere. Returns true with *out: LAUNCH_FILTERED and the step, for
 * launch_failure_describe(). */
bool rehearsal_fails(const struct launch_spec *spec, struct launch_message *out);
