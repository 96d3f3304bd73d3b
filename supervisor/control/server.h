#pragma once

/* The control socket of a running supervisor: a unix stream socket for root and the user that tacet runs as.
 *
 * Requests ask for a rotation or for the state; docs/PROTOCOL.md describes them. Nothing here waits for a
 * peer: there are at most eight, each with one request at a time, and one that is too slow is
 * disconnected. */

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

/* Listen at `path` (NULL: the functions here do nothing). Before the first start. A socket that no process
 * serves any more is replaced. Returns 0, or -1 with error, also when another supervisor answers there. */
int control_open(const struct control_rooms *rooms, const char *path, struct error *error);

/* Serve one request that has come. The queue of facts must be empty, so that the number of the next load is
 * certain. Returns false when there was none. Call it after each round of facts, until it does. */
bool control_serve(void);

/* A report of the core, and its line in the log: answer clients that wait for a rotation. */
void control_report(const struct fleet_action *action, const char *line);

/* The fleet is over: answer clients that still wait, disconnect all, remove the socket's file if it is still
 * ours. May be called again. */
void control_close(void);
