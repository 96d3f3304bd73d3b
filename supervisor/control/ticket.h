#pragma once

/* What became of one request to rotate: which of the core's reports answer it.
 *
 * A request asks for the next load; that load brings nothing new, or something that was rejected before, or a
 * generation whose rollout is then followed to its end. Requests need not come alone, so several may share a
 * load, and a newer one may overtake the rollout of an older. Pure. */

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
        CONTROL_SUPERSEDED,  /* something newer came in between */
        CONTROL_HALTED,      /* neither forth nor back: a mix goes on */
        CONTROL_STOPPED,     /* the service ends */
        CONTROL_NO_PREVIOUS, /* there is no generation to go back to */
        CONTROL_NOT_KEPT,    /* nor ever will be: keep_previous is 0 */
};

struct control_ticket {
        uint32_t load;      /* the request's own, or a later one that took its place */
        bool is_rollback;   /* it asks to go back, not for a load */
        bool is_loaded;     /* that load has brought a generation, or the one that is there */
        bool is_going_back; /* to what runs already, or because the new one failed */
        bool has_failed;
        uint64_t generation; /* whose rollout is followed */
};

/* Before the request is handed to the core (with no fact in the queue): it asks for the next load. */
struct control_ticket control_ticket_take(const struct fleet *fleet);

/* The same for a request to go back. */
struct control_ticket control_ticket_rollback(void);

/* A report was made; `fleet` is as it is after that step. Returns CONTROL_PENDING until the request is
 * answered; the first other result is the answer. */
enum control_result control_ticket_hear(
        struct control_ticket *ticket, const struct fleet *fleet, const struct fleet_action *report);

/* "committed", "load_failed". */
const char *control_result_name(enum control_result result);
