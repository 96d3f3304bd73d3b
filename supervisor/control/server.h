#pragma once

/* The control socket of a running supervisor: a unix stream socket for root and the user that tacet runs as.
 *
 * Requests ask for a rotation or for the state; docs/PROTOCOL.md describes them. Nothing here ever waits for
 * a peer: there are at most eight, each with one request at a time, and one that is too slow is let go. */

#include "lib/error.h"
#include "supervisor/core/fleet.h"

struct supervisor;

/* Listen at settings->control_path (NULL: nothing is done). Before the first start: returns -1 with error
 * when that cannot be, or another supervisor answers there. A socket that nobody serves any more is
 * replaced. */
int control_open(struct supervisor *supervisor, struct error *error);

/* A report of the core and the words that the log has for it: those who wait for a rotation are told. */
void control_report(struct supervisor *supervisor, const struct fleet_action *action, const char *line);

/* The fleet is over: answer who still waits, let everybody go, remove the socket if it is still ours.
 * Idempotent. */
void control_close(struct supervisor *supervisor);
