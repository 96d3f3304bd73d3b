#pragma once

/* Wiping what has been loaded from the environment out of it. */

#include "secrets/source/request.h"

/* Wipe from this process's initial environment area (what /proc/PID/environ shows) every variable that a key
 * `env:NAME` or a source `env:PREFIX` of the request named, and remove it from `environ`, so that it is never
 * passed on. Call it once the first load has succeeded: until then the values lie nowhere else, and a load
 * may be tried again; a process that loads nothing itself need not wait. Later loads find the values of
 * sources in `captured_environment` and have no key from `env:NAME` any more, which their error says. */
void load_environment_wipe(const struct load_request *request);
