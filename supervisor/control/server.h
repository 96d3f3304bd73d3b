#pragma once

/* The control socket of a running supervisor: a unix stream socket for root and the user that tacet runs as.
 *
 * Requests ask for a rotation or for the state; docs/PROTOCOL.md describes them. Nothing here ever waits for
 * a peer: there are at most eight, each with one request at a time, and one that is too slow is let go. */

#include <stdbool.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "supervisor/core/facts.h"
#include "supervisor/generations/generations.h"
#include "supervisor/notify/notify.h"
#include "supervisor/process/instances.h"
#include "supervisor/process/tree.h"
#include "supervisor/sockets/listeners.h"

/* The rooms that this one asks; all borrowed. */
struct control_rooms {
        struct loop *loop;
        struct facts *facts;
        const struct fleet *fleet;
        struct instances *instances;
        const struct trees *trees;
        const struct notify *notify;
        const struct listeners *listeners;
        const struct socket_rules *rules;
        const struct generations *generations;
};

/* Listen at `path` (NULL: nothing is done, here and in all that follows). Before the first start: returns -1
 * with error when that cannot be, or another supervisor answers there. A socket that nobody serves any more
 * is replaced. */
int control_open(const struct control_rooms *rooms, const char *path, struct error *error);

/* Serve one request that has come, for which no fact may be waiting: the number of the next load must be
 * sure. Returns false when there was none. Call it after each round of facts, until it does. */
bool control_serve(void);

/* A report of the core and the words that the log has for it: those who wait for a rotation are told. */
void control_report(const struct fleet_action *action, const char *line);

/* The fleet is over: answer who still waits, let everybody go, remove the socket if it is still ours.
 * Idempotent. */
void control_close(void);
