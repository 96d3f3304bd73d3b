#pragma once

/* `watch = yes`: a change of a watched source's files asks for a load, as SIGHUP does.
 *
 * Changes are collected until nothing has changed for a while; then the secrets are loaded once, and their
 * digest decides whether anything restarts. Without inotify(7), or when its limits are reached, the secrets
 * are loaded every minute instead; each load, one that SIGHUP asked for too, tries to watch again. */

#include <stdint.h>

#include "lib/loop.h"
#include "secrets/load.h"
#include "supervisor/core/facts.h"

/* Start watching, when some source of the request wants it (NULL: there is none). Before the first load, so
 * that no change is missed. Never fails: what cannot be watched is reported and made up for. All is borrowed;
 * delay_ns: the quiet time after a change, before it is loaded. */
void watch_open(struct loop *loop, struct facts *facts, const struct load_request *request, int64_t delay_ns);

/* A load is about to start, for whatever reason: what could not be watched may be by now. */
void watch_load_begins(void);
