/* See ticket.h. Called by server.c. The core merges requests on purpose, and does not know which client asked
 * for what. So the answer to one request follows from the numbers of loads and generations. */

#include "supervisor/control/ticket.h"

struct control_ticket control_ticket_take(const struct fleet *fleet) {
        /* A load that runs may have read the files already: the request waits for the next (core/load.c). */
        return (struct control_ticket){.load = fleet_load_next(fleet)};
}

struct control_ticket control_ticket_rollback(void) {
        return (struct control_ticket){.is_rollback = true};
}

/* The number of the newest load that is over. A load that begins in the step that ends another has the next
 * number. */
static uint32_t load_finished(const struct fleet *fleet) {
        struct fleet_view view;

        fleet_look(fleet, &view);
        return fleet_load_next(fleet) - (view.is_loading ? 2 : 1);
}

/* What was loaded runs already, or is on its way. */
static enum control_result ticket_hear_unchanged(
        struct control_ticket *ticket, const struct fleet *fleet, uint64_t generation) {
        struct fleet_view view;

        fleet_look(fleet, &view);
        ticket->is_loaded = true;
        ticket->generation = generation;
        switch (view.phase) {
        case FLEET_PHASE_STARTING:
        case FLEET_PHASE_ROLLING:
                return CONTROL_PENDING;
        case FLEET_PHASE_REVERTING:
                ticket->is_going_back = true;
                return CONTROL_PENDING;
        case FLEET_PHASE_IDLE:
                return CONTROL_UNCHANGED;
        case FLEET_PHASE_HALTED:
                return CONTROL_HALTED;
        case FLEET_PHASE_STOPPING:
        case FLEET_PHASE_OVER:
                return CONTROL_STOPPED;
        }
        return CONTROL_PENDING;
}

/* What the load brought. */
static enum control_result ticket_hear_load(
        struct control_ticket *ticket, const struct fleet *fleet, const struct fleet_action *report) {
        if (report->report == FLEET_REPORT_LOAD_CANCELLED)
                return CONTROL_SUPERSEDED; /* somebody has gone back instead */
        if (load_finished(fleet) < ticket->load)
                return CONTROL_PENDING;
        if (report->report == FLEET_REPORT_LOAD_FAILED)
                return CONTROL_LOAD_FAILED;
        if (report->report == FLEET_REPORT_REFUSED)
                return CONTROL_REFUSED;
        if (report->report == FLEET_REPORT_UNCHANGED)
                return ticket_hear_unchanged(ticket, fleet, report->generation);
        if (report->report == FLEET_REPORT_STARTED)
                return CONTROL_COMMITTED; /* the first generation of all: no rollout is said to begin */
        if (report->report == FLEET_REPORT_ROLLOUT) {
                ticket->is_loaded = true;
                ticket->generation = report->generation;
        }
        /* A rollout that runs is called off: the content from before it came again. */
        if (report->report == FLEET_REPORT_CANCELLED)
                ticket->is_loaded = ticket->is_going_back = true;
        return CONTROL_PENDING;
}

/* Which way the core goes back. */
static enum control_result ticket_hear_rollback(
        struct control_ticket *ticket, const struct fleet_action *report) {
        if (report->report == FLEET_REPORT_NO_PREVIOUS)
                return CONTROL_NO_PREVIOUS;
        if (report->report == FLEET_REPORT_ROLLOUT) {
                ticket->is_loaded = true;
                ticket->generation = report->generation;
        }
        if (report->report == FLEET_REPORT_CANCELLED || report->report == FLEET_REPORT_RESUMED)
                ticket->is_loaded = ticket->is_going_back = true;
        return CONTROL_PENDING;
}

static enum control_result ticket_hear_way_back(
        struct control_ticket *ticket, const struct fleet_action *report) {
        if (report->report == FLEET_REPORT_HALTED)
                return CONTROL_HALTED;
        if (report->report == FLEET_REPORT_RESTORED && ticket->is_rollback && !ticket->has_failed) {
                ticket->generation = report->generation;
                return CONTROL_COMMITTED;
        }
        if (report->report == FLEET_REPORT_RESTORED)
                return ticket->has_failed ? CONTROL_REVERTED : CONTROL_UNCHANGED;
        if (report->report == FLEET_REPORT_ROLLOUT || report->report == FLEET_REPORT_COMMITTED)
                return ticket->has_failed ? CONTROL_REVERTED : CONTROL_SUPERSEDED;
        return CONTROL_PENDING;
}

static enum control_result ticket_hear_rollout(
        struct control_ticket *ticket, const struct fleet_action *report) {
        if (report->generation != ticket->generation)
                return CONTROL_PENDING;
        if (report->report == FLEET_REPORT_COMMITTED || report->report == FLEET_REPORT_STARTED)
                return CONTROL_COMMITTED;
        if (report->report == FLEET_REPORT_SUPERSEDED || report->report == FLEET_REPORT_CANCELLED)
                return CONTROL_SUPERSEDED;
        if (report->report == FLEET_REPORT_HALTED)
                return CONTROL_HALTED;
        if (report->report == FLEET_REPORT_REVERTED)
                ticket->is_going_back = ticket->has_failed = true;
        return CONTROL_PENDING;
}

enum control_result control_ticket_hear(
        struct control_ticket *ticket, const struct fleet *fleet, const struct fleet_action *report) {
        if (report->report == FLEET_REPORT_STOPPING || report->report == FLEET_REPORT_GAVE_UP)
                return CONTROL_STOPPED;
        if (!ticket->is_loaded)
                return ticket->is_rollback ? ticket_hear_rollback(ticket, report)
                                           : ticket_hear_load(ticket, fleet, report);
        return ticket->is_going_back ? ticket_hear_way_back(ticket, report)
                                     : ticket_hear_rollout(ticket, report);
}

const char *control_result_name(enum control_result result) {
        static const char *const names[] = {"pending", "committed", "unchanged", "reverted", "load_failed",
                "refused", "superseded", "halted", "stopped", "no_previous", "not_kept"};

        return (unsigned)result < sizeof names / sizeof *names ? names[result] : "unknown";
}
