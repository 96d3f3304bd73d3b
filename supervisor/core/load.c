/* Loads: one at a time, and no request is forgotten. Called by fleet.c in a step.
 *
 * A reload that is requested while a load runs is done after it: the running loader may have read the files
 * already. Without the first load there is no service, so its failure ends the fleet, unless the restart
 * policy is `always` (then it is tried again with the delays of a restart) or another load was requested
 * meanwhile. */

#include "supervisor/core/state.h"

void load_ask(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        bool is_forced = event->is_forced;
        bool is_loud = !event->is_quiet;
        if (event->is_emergency && fleet->is_loading) {
                /* A load that hangs must not hold up an emergency; the next load answers for this one,
                 * too. */
                is_forced |= fleet->is_load_forced || fleet->is_wanted_forced;
                is_loud |= fleet->is_load_loud || fleet->is_wanted_loud;
                load_cancel(fleet, actions);
        }
        fleet->is_wanted = true;
        fleet->is_wanted_forced |= is_forced;
        fleet->is_wanted_emergency |= event->is_emergency;
        fleet->is_wanted_loud |= is_loud;
        fleet->load_retry_ns = NS_FOREVER;
}

void load_begin(struct fleet *fleet, struct fleet_actions *actions) {
        if (!fleet->is_wanted || fleet->is_loading || !generation_has_room(fleet))
                return;
        fleet->is_wanted = false;
        fleet->is_loading = true;
        fleet->is_load_forced = fleet->is_wanted_forced;
        fleet->is_load_emergency = fleet->is_wanted_emergency;
        fleet->is_load_loud = fleet->is_wanted_loud;
        fleet->is_wanted_forced = false;
        fleet->is_wanted_emergency = false;
        fleet->is_wanted_loud = false;
        fleet->load_deadline_ns = fleet->settings.load_timeout_ns > 0
                                          ? time_after(fleet->now_ns, fleet->settings.load_timeout_ns)
                                          : NS_FOREVER;
        action_add(actions, FLEET_DO_LOAD)->load = ++fleet->load_last;
}

/* The first load failed and no other was requested. Returns after which time in ns it is tried again;
 * NS_FOREVER: the fleet ends. */
static int64_t load_retry_delay(struct fleet *fleet) {
        if (fleet->settings.restart != FLEET_RESTART_ALWAYS)
                return NS_FOREVER;
        fleet->load_failures++;
        if (fleet->settings.restart_limit > 0 && fleet->load_failures > fleet->settings.restart_limit)
                return NS_FOREVER;
        return backoff_delay(fleet, fleet->load_failures);
}

void load_failed(struct fleet *fleet, struct fleet_actions *actions, int32_t status) {
        fleet->is_loading = false;
        struct fleet_action *report = action_add(actions, FLEET_DO_REPORT);
        report->report = FLEET_REPORT_LOAD_FAILED;
        report->load = fleet->load_last;
        report->status = status;
        report->delay_ns = fleet->is_wanted ? 0 : NS_FOREVER;
        if (fleet->target >= 0 || fleet->is_wanted)
                return;
        report->delay_ns = load_retry_delay(fleet);
        if (report->delay_ns < NS_FOREVER)
                fleet->load_retry_ns = time_after(fleet->now_ns, report->delay_ns);
        else
                fleet_give_up(fleet, actions, status ? status : STATUS_FAILED);
}

void load_arrived(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        if (event->generation < fleet->generation_next)
                return; /* this load was answered before */
        if (!fleet->is_loading || event->load != fleet->load_last) {
                fleet->generation_next = event->generation + 1;
                action_add(actions, FLEET_DO_DROP)->generation = event->generation;
                return;
        }
        fleet->is_loading = false;
        fleet->load_failures = 0;
        rollout_adopt(fleet, actions, event);
}

void load_expire(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet->is_loading && fleet->load_deadline_ns <= fleet->now_ns) {
                action_add(actions, FLEET_DO_CANCEL_LOAD)->load = fleet->load_last;
                load_failed(fleet, actions, STATUS_FAILED);
        }
        if (fleet->load_retry_ns <= fleet->now_ns) {
                fleet->load_retry_ns = NS_FOREVER;
                fleet->is_wanted = true;
        }
}
