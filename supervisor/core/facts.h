#pragma once

/* Facts on their way to the core: the one queue between everybody who sees something and fleet_step().
 *
 * Pure, as the whole folder: who tells a fact also says when it was seen. */

#include "supervisor/core/fleet.h"

/* An action makes at most two events, and a step at most FLEET_ACTIONS_MAX actions; the queue is empty before
 * other facts are looked at. */
#define FACTS_MAX (2 * FLEET_ACTIONS_MAX)

/* A ring. All zero is an empty one. */
struct facts {
        size_t first, count;
        struct fleet_event list[FACTS_MAX];
};

/* Queue a fact. `now_ns` is when it was seen, monotonic; it replaces event.now_ns. It is handled after the
 * actions of the step that runs, in the order in which facts came. There is always room (FACTS_MAX). */
void facts_push(struct facts *facts, int64_t now_ns, struct fleet_event event);

/* Take the oldest. Returns false, and nothing in *out, when there is none. */
bool facts_take(struct facts *facts, struct fleet_event *out);

/* The fleet is over: nobody wants to know any more. */
void facts_forget(struct facts *facts);
