#pragma once

/* `watch = yes`: a change of a watched source's files asks for a load, as SIGHUP does.
 *
 * Changes are collected until nothing has changed for a while; then the secrets are loaded once, and their
 * digest decides whether apps are replaced. Without inotify(7), or when its limits are reached, the secrets
 * are loaded every minute instead; each load, also one by SIGHUP, tries to watch again. */

#include <stdint.h>

#include "lib/loop.h"
#include "secrets/load.h"
#include "supervisor/core/facts.h"

/* Start watching, when a source of the request (NULL: no secrets) wants it. Before the first load, so that no
 * change is missed. Never fails: what cannot be watched is logged, and loaded every minute. All is borrowed;
 * delay_ns: how long nothing must change before the load. */
void watch_open(struct loop *loop, struct facts *facts, const struct load_request *request, int64_t delay_ns);

/* Call this before every load: what could not be watched is tried again. */
void watch_load_begins(void);
