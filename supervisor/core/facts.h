#pragma once

/* Facts on their way to the core: the one queue between the rooms that see something and fleet_step().
 *
 * Pure, as the whole folder: the caller says when the fact was seen. */

#include "supervisor/core/fleet.h"

/* An action makes at most two events, and a step at most FLEET_ACTIONS_MAX actions; the loop empties the
 * queue before it looks for other facts. */
#define FACTS_MAX (2 * FLEET_ACTIONS_MAX)

/* A ring. All zero is an empty one. */
struct facts {
        size_t first, count;
        struct fleet_event list[FACTS_MAX];
};

/* Queue a fact. `now_ns` is when it was seen, monotonic; it replaces event.now_ns. It is handled after the
 * actions of the step that runs, in the order in which facts came. There is always room (FACTS_MAX). */
void facts_push(struct facts *facts, int64_t now_ns, struct fleet_event event);

/* Take the oldest fact. Returns false, and leaves *out as it is, when there is none. */
bool facts_take(struct facts *facts, struct fleet_event *out);

/* Drop all facts: the fleet is over, and no one takes them any more. */
void facts_forget(struct facts *facts);
