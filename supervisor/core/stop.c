/* The end of the fleet: on request, or because no app is left that would be restarted. Called by fleet.c in a
 * step. A stop is possible in every state and is never taken back. */

#include "supervisor/core/state.h"

void slot_note_status(
        struct fleet *fleet, struct fleet_slot *slot, const struct fleet_instance *instance, int32_t status) {
        /* Two instances of one slot may end together: the one that served counts, not one that was
         * starting. */
        if (fleet->is_stopping && slot->is_status_of_ready && !instance->was_ready)
                return;
        if (instance->has_failed && status == 0)
                status = STATUS_FAILED;
        slot->has_status = true;
        slot->is_status_of_ready = instance->was_ready;
        slot->status = status;
}

void fleet_stop(struct fleet *fleet, struct fleet_actions *actions, bool is_hard) {
        const bool is_first = !fleet->is_stopping;
        if (is_first) {
                fleet->is_stopping = true;
                fleet->is_emergency = false;
                load_cancel(fleet, actions);
        }
        struct fleet_action *report = action_add(actions, FLEET_DO_REPORT);
        report->report = is_first ? FLEET_REPORT_STOPPING : FLEET_REPORT_STOP_AGAIN;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                struct fleet_slot *slot = &fleet->slots[i];
                if (!slot_is_empty(slot))
                        slot->is_status_of_ready = false;
                for (size_t place = 0; place < 2; place++) {
                        struct fleet_instance *instance = &slot->pair[place];
                        if (is_hard && instance_is_live(instance) && instance->state != INSTANCE_KILLED)
                                instance_kill(fleet, actions, instance);
                        else if (instance_is_staying(instance) || instance_is_finishing(instance))
                                instance_stop(fleet, actions, instance);
                        else if (is_first && fleet->is_undrained)
                                instance_undrain(fleet, actions, instance);
                        else if (!is_first && !fleet->is_delivering)
                                instance_stop_again(fleet, actions, instance);
                }
        }
}

void fleet_give_up(struct fleet *fleet, struct fleet_actions *actions, int32_t status) {
        struct fleet_action *report = action_add(actions, FLEET_DO_REPORT);
        report->report = FLEET_REPORT_GAVE_UP;
        report->status = status;
        fleet->has_status = true;
        fleet->exit_status = status;
        if (!fleet->is_stopping)
                fleet_stop(fleet, actions, false);
}

/* The fleet's exit status: of the lowest slot that did not end with 0; where no app ever ran, of the signal
 * that asked for the end. */
static int32_t fleet_status(const struct fleet *fleet) {
        if (fleet->has_status)
                return fleet->exit_status;
        bool has_any = false;
        for (uint32_t i = 0; i < fleet->settings.replicas; i++) {
                if (fleet->slots[i].has_status && fleet->slots[i].status != 0)
                        return fleet->slots[i].status;
                has_any |= fleet->slots[i].has_status;
        }
        return has_any || fleet->stop_signal == 0 ? 0 : SIGNAL_STATUS_BASE + fleet->stop_signal;
}

static bool fleet_has_ended(const struct fleet *fleet) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                if (!fleet->slots[i].has_ended)
                        return false;
        return true;
}

void fleet_end_if_over(struct fleet *fleet, struct fleet_actions *actions) {
        if (!fleet->is_stopping && !fleet_has_ended(fleet))
                return;
        /* What was left behind is ended after the fleet as well, with everything else that is. */
        if (fleet_count_live(fleet) > fleet_count_clearing(fleet))
                return;
        fleet->is_over = true;
        action_add(actions, FLEET_DO_EXIT)->status = fleet_status(fleet);
}
