#pragma once

/* What became of one request to rotate: which of the core's reports answer it.
 *
 * A request asks for the next load; that load brings nothing new, or content that was rejected before, or a
 * generation whose rollout is then followed to its end. Several requests may share a load, and a newer one
 * may supersede the rollout of an older. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/core/fleet.h"

enum control_result {
        CONTROL_PENDING,
        CONTROL_COMMITTED,   /* every replica runs the new secrets */
        CONTROL_UNCHANGED,   /* every replica runs them already */
        CONTROL_REVERTED,    /* the new ones failed, every replica is back on the old */
        CONTROL_LOAD_FAILED, /* nothing was touched */
        CONTROL_REFUSED,     /* these secrets failed before */
        CONTROL_SUPERSEDED,  /* a newer generation came in between */
        CONTROL_HALTED,      /* halted between two generations, both run */
        CONTROL_STOPPED,     /* the service ends */
        CONTROL_NO_PREVIOUS, /* there is no generation to go back to */
        CONTROL_NOT_KEPT,    /* there never is one: keep_previous is 0 */
};

struct control_ticket {
        uint32_t load;      /* the request's own, or a later one that took its place */
        bool is_rollback;   /* it asks to go back, not for a load */
        bool is_loaded;     /* that load has brought a generation, new or unchanged */
        bool is_going_back; /* the fleet goes back to what ran before */
        bool has_failed;
        uint64_t generation; /* whose rollout is followed */
};

/* A ticket for the next load. Take it before the core gets the request, with no fact in the queue. */
struct control_ticket control_ticket_take(const struct fleet *fleet);

/* The same for a request to go back. */
struct control_ticket control_ticket_rollback(void);

/* Follow a report of the core; `fleet` has its state after that step. Returns CONTROL_PENDING until the
 * request is answered; the first other result is the answer. */
enum control_result control_ticket_hear(
        struct control_ticket *ticket, const struct fleet *fleet, const struct fleet_action *report);

/* The result's name in a reply: "committed", "load_failed". Never NULL. */
const char *control_result_name(enum control_result result);
