#pragma once

/* `watch = yes`: a change of a watched source's files asks for a load, as SIGHUP does.
 *
 * Changes are collected until nothing has changed for a while; then the secrets are loaded once, and their
 * digest decides whether anything restarts. Without inotify(7), or when its limits are reached, the secrets
 * are loaded every minute instead; each load, one that SIGHUP asked for too, tries to watch again. */

struct supervisor;

/* Start watching, when some source of settings->load wants it. Before the first load, so that no change is
 * missed. Never fails: what cannot be watched is reported and made up for. */
void watch_open(struct supervisor *supervisor);

/* A load is about to start, for whatever reason: what could not be watched may be by now. */
void watch_load_begins(void);
