/* One step of the fleet: take the fact, let deadlines pass, decide, move the slots, check whether it is over.
 *
 * Called by the supervisor's loop for every fact and every deadline, in PID 1. Pure, so tests/simulation can
 * drive it through tens of thousands of random faults. A fact about something that it does not know changes
 * nothing. */

#include <string.h>

#include "supervisor/core/state.h"

#define RESTART_DELAY_NS_MIN (10 * NS_PER_MS)
#define CANARY_PERCENT_MAX   99 /* a canary that gets all connections is none */

/* A bound, never reached: every round moves a slot nearer to the target, or ends a rollout for good. */
#define ROUNDS_MAX (4 * FLEET_REPLICAS_MAX)

void fleet_init(struct fleet *fleet, const struct fleet_settings *settings) {
        memset(fleet, 0, sizeof *fleet);
        fleet->settings = *settings;
        struct fleet_settings *own = &fleet->settings;
        if (own->replicas < 1)
                own->replicas = 1;
        if (own->replicas > FLEET_REPLICAS_MAX)
                own->replicas = FLEET_REPLICAS_MAX;
        if (own->surge_max > own->replicas)
                own->surge_max = own->replicas;
        if (own->unavailable_max > own->replicas)
                own->unavailable_max = own->replicas;
        if (own->is_signalled) {
                own->surge_max = 0; /* nothing runs beside anything */
                own->is_steered = false;
        }
        if (own->surge_max == 0 && own->unavailable_max == 0)
                own->unavailable_max = 1;
        if (!own->is_steered || own->canary_ns <= 0)
                own->canary_percent = 0;
        if (own->canary_percent > CANARY_PERCENT_MAX)
                own->canary_percent = CANARY_PERCENT_MAX;
        if (own->restart_delay_ns < RESTART_DELAY_NS_MIN)
                own->restart_delay_ns = RESTART_DELAY_NS_MIN;
        if (own->restart_delay_max_ns < own->restart_delay_ns)
                own->restart_delay_max_ns = own->restart_delay_ns;
        fleet->random = settings->jitter_seed * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x2545f4914f6cdd1d);
        if (fleet->random == 0)
                fleet->random = 1;
        fleet->stable = -1;
        fleet->target = -1;
        fleet->previous = -1;
        fleet->load_deadline_ns = NS_FOREVER;
        fleet->load_retry_ns = NS_FOREVER;
        fleet->progress_deadline_ns = NS_FOREVER;
        fleet->previous_until_ns = NS_FOREVER;
}

static struct fleet_instance *instance_find(
        struct fleet *fleet, uint64_t number, struct fleet_slot **out_slot) {
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        struct fleet_instance *instance = &fleet->slots[i].pair[place];
                        if (!instance_is_live(instance) || instance->number != number)
                                continue;
                        *out_slot = &fleet->slots[i];
                        return instance;
                }
        return NULL;
}

/* The instance is no more, or (`has_leftovers`) only what it left behind. */
static void instance_gone(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance, const struct fleet_failure *failure, bool has_leftovers) {
        struct fleet_instance gone = *instance;
        const bool was_asked = !instance_is_staying(instance);
        const bool was_told = instance->state >= INSTANCE_STOPPING;
        if (has_leftovers)
                instance_clear(instance);
        else
                memset(instance, 0, sizeof *instance);
        if (fleet->is_stopping || slot->has_ended || !was_asked)
                slot_note_status(fleet, slot, &gone, failure->status);
        if (!was_asked && !fleet->is_stopping)
                instance_failed(fleet, actions, slot, &gone, failure);
        else if (!gone.has_failed)
                backoff_forget(fleet, slot, &gone);
        if (was_told && !has_leftovers)
                report_instance(fleet, actions, FLEET_REPORT_STOPPED, slot, &gone);
}

/* What the instance left behind is no more. */
static void instance_cleared(struct fleet *fleet, struct fleet_actions *actions,
        const struct fleet_slot *slot, struct fleet_instance *instance) {
        if (instance->state != INSTANCE_CLEARING)
                return;
        if (instance->was_told)
                report_instance(fleet, actions, FLEET_REPORT_STOPPED, slot, instance);
        memset(instance, 0, sizeof *instance);
}

static void instance_unhealthy(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance) {
        const struct fleet_failure failure = {.reason = FLEET_REASON_UNHEALTHY};
        if (instance_is_finishing(instance)) {
                instance->is_unhealthy = true;
                instance_stop(fleet, actions, instance); /* no RECALL of an unhealthy instance */
        }
        if (!instance_is_staying(instance) || instance->is_unhealthy)
                return;
        const bool is_attempt =
                fleet_is_rolling(fleet) && generation_is(fleet, fleet->target, instance->generation);
        if (fleet->settings.restart == FLEET_RESTART_NO && !is_attempt) {
                instance->is_unhealthy = true;
                report_instance(fleet, actions, FLEET_REPORT_UNHEALTHY, slot, instance);
                return;
        }
        instance_failed(fleet, actions, slot, instance, &failure);
        if (instance_is_staying(instance))
                instance_stop(fleet, actions, instance);
}

static void instance_ready(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance) {
        if (instance->state != INSTANCE_SPAWNING && instance->state != INSTANCE_BOOTING)
                return;
        instance->state = INSTANCE_READY;
        instance->was_ready = true;
        instance->deadline_ns = time_after(fleet->now_ns, fleet->settings.healthy_min_ns);
        fleet->has_run = true;
        report_instance(fleet, actions, FLEET_REPORT_READY, slot, instance);
}

static void instance_emptied(struct fleet *fleet, struct fleet_actions *actions,
        const struct fleet_slot *slot, struct fleet_instance *instance, enum fleet_report report) {
        report_instance(fleet, actions, report, slot, instance);
        instance_drain(fleet, actions, slot, instance);
}

static void instance_drained(struct fleet *fleet, struct fleet_actions *actions,
        const struct fleet_slot *slot, struct fleet_instance *instance, enum fleet_report report) {
        if (instance->state != INSTANCE_DRAINING)
                return;
        report_instance(fleet, actions, report, slot, instance);
        instance_stop(fleet, actions, instance);
}

/* Its own end is not that of the service: it has left that to a process of which nobody hears. */
static bool is_in_background(
        const struct fleet *fleet, const struct fleet_instance *instance, const struct fleet_event *event) {
        return event->is_detached && !event->is_signal && event->status == 0 &&
               instance_is_staying(instance) &&
               (instance->state != INSTANCE_AVAILABLE || fleet->settings.is_daemon);
}

static void instance_event(
        struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        struct fleet_slot *slot = NULL;
        struct fleet_instance *instance = instance_find(fleet, event->instance, &slot);
        if (!instance || (instance->state == INSTANCE_CLEARING && event->kind != FLEET_CLEARED))
                return; /* of one that has ended nothing but its leftovers counts */
        struct fleet_failure failure = {.reason = FLEET_REASON_EXITED,
                .status = event->status,
                .is_signal = event->is_signal,
                .was_ready = instance->was_ready};
        const int64_t extended_ns = time_after(fleet->now_ns, event->delay_ns);
        if (event->kind == FLEET_SPAWNED && instance->state == INSTANCE_SPAWNING) {
                instance->state = INSTANCE_BOOTING;
        } else if (event->kind == FLEET_SPAWN_FAILED) {
                failure.reason = FLEET_REASON_SPAWN;
                failure.is_permanent = event->is_permanent;
                instance_gone(fleet, actions, slot, instance, &failure, false);
        } else if (event->kind == FLEET_READY) {
                instance_ready(fleet, actions, slot, instance);
        } else if (event->kind == FLEET_EXTEND) {
                if ((instance->state == INSTANCE_SPAWNING || instance->state == INSTANCE_BOOTING) &&
                        extended_ns > instance->deadline_ns)
                        instance->deadline_ns = extended_ns;
        } else if (event->kind == FLEET_UNHEALTHY) {
                instance_unhealthy(fleet, actions, slot, instance);
        } else if (event->kind == FLEET_EXITED) {
                failure.status += event->is_signal ? SIGNAL_STATUS_BASE : 0;
                if (is_in_background(fleet, instance, event)) {
                        failure.reason = FLEET_REASON_BACKGROUND;
                        failure.status = STATUS_FAILED;
                }
                instance_gone(fleet, actions, slot, instance, &failure, event->has_leftovers);
        } else if (event->kind == FLEET_IDLE) {
                instance_drained(fleet, actions, slot, instance, FLEET_REPORT_DRAINED);
        } else if (event->kind == FLEET_CLEARED) {
                instance_cleared(fleet, actions, slot, instance);
        } else if (event->kind == FLEET_EMPTY && instance->state == INSTANCE_EMPTYING) {
                instance_emptied(fleet, actions, slot, instance, FLEET_REPORT_EMPTIED);
        }
}

static void start_event(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        if (fleet->is_started)
                return;
        fleet->is_started = true;
        if (event->has_generation)
                rollout_adopt(fleet, actions, event);
        else
                load_ask(fleet, actions, event);
}

static void stop_event(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        if (!fleet->is_stopping)
                fleet->stop_signal = event->signal;
        fleet->is_undrained |= event->is_at_once || event->is_delivered;
        fleet->is_delivering = event->is_delivered;
        fleet_stop(fleet, actions, event->is_hard);
        fleet->is_delivering = false;
}

/* A load that is asked for, or runs, is for an emergency: nobody goes back to what has to go. */
static bool is_emergency_wanted(const struct fleet *fleet) {
        return (fleet->is_loading && fleet->is_load_emergency) ||
               (fleet->is_wanted && fleet->is_wanted_emergency);
}

static void rollback_event(struct fleet *fleet, struct fleet_actions *actions) {
        if (fleet->is_stopping)
                return;
        if (is_emergency_wanted(fleet) || !rollout_has_way_back(fleet)) {
                report_generation(actions, FLEET_REPORT_NO_PREVIOUS, 0);
                return;
        }
        if (fleet->is_loading || fleet->is_wanted)
                action_add(actions, FLEET_DO_REPORT)->report = FLEET_REPORT_LOAD_CANCELLED;
        load_cancel(fleet, actions);
        rollout_back(fleet, actions);
}

static void event_apply(struct fleet *fleet, struct fleet_actions *actions, const struct fleet_event *event) {
        switch (event->kind) {
        case FLEET_TICK:
                break;
        case FLEET_START:
                start_event(fleet, actions, event);
                break;
        case FLEET_RELOAD:
                if (fleet->is_started && !fleet->is_stopping)
                        load_ask(fleet, actions, event);
                break;
        case FLEET_LOADED:
                load_arrived(fleet, actions, event);
                break;
        case FLEET_LOAD_FAILED:
                if (fleet->is_loading && event->load == fleet->load_last)
                        load_failed(fleet, actions, event->status);
                break;
        case FLEET_SPAWNED:
        case FLEET_SPAWN_FAILED:
        case FLEET_READY:
        case FLEET_EXTEND:
        case FLEET_UNHEALTHY:
        case FLEET_EXITED:
        case FLEET_CLEARED:
        case FLEET_IDLE:
        case FLEET_EMPTY:
                instance_event(fleet, actions, event);
                break;
        case FLEET_SWEPT:
                if (event->generation == fleet->sweeping)
                        fleet->sweeping = 0;
                break;
        case FLEET_ROLLBACK:
                rollback_event(fleet, actions);
                break;
        case FLEET_STOP:
                stop_event(fleet, actions, event);
                break;
        }
}

/* The deadline of the instance's state has passed. */
static void instance_expire(struct fleet *fleet, struct fleet_actions *actions, struct fleet_slot *slot,
        struct fleet_instance *instance) {
        const struct fleet_failure failure = {.reason = FLEET_REASON_NOT_READY};
        switch (instance->state) {
        case INSTANCE_NONE:
                break;
        case INSTANCE_SPAWNING:
        case INSTANCE_BOOTING:
                instance_failed(fleet, actions, slot, instance, &failure);
                if (instance_is_staying(instance))
                        instance_stop(fleet, actions, instance);
                break;
        case INSTANCE_READY:
                instance->state = INSTANCE_AVAILABLE;
                instance->available_ns = fleet->now_ns;
                instance->deadline_ns = NS_FOREVER;
                slot->has_ended = false;
                report_instance(fleet, actions, FLEET_REPORT_AVAILABLE, slot, instance);
                if (generation_is(fleet, fleet->target, instance->generation)) {
                        slot->is_turning = false;
                        canary_begin(fleet, actions, slot, instance);
                }
                break;
        case INSTANCE_AVAILABLE:
                break;
        case INSTANCE_EMPTYING:
                instance_emptied(fleet, actions, slot, instance, FLEET_REPORT_QUEUE_TIMEOUT);
                break;
        case INSTANCE_DRAINING:
                instance_drained(fleet, actions, slot, instance, FLEET_REPORT_DRAIN_TIMEOUT);
                break;
        case INSTANCE_STOPPING:
                report_instance(fleet, actions, FLEET_REPORT_STOP_TIMEOUT, slot, instance);
                instance_kill(fleet, actions, instance);
                break;
        case INSTANCE_KILLED:
                report_instance(fleet, actions, FLEET_REPORT_STUCK, slot, instance);
                instance_kill(fleet, actions, instance);
                break;
        case INSTANCE_CLEARING:
                instance_kill(fleet, actions, instance);
                break;
        }
}

static void deadlines_expire(struct fleet *fleet, struct fleet_actions *actions) {
        const struct fleet_failure failure = {.reason = FLEET_REASON_TOO_SLOW};
        load_expire(fleet, actions);
        if (fleet->previous_until_ns <= fleet->now_ns)
                previous_forget(fleet);
        for (uint32_t i = 0; i < fleet->settings.replicas; i++)
                for (size_t place = 0; place < 2; place++) {
                        struct fleet_instance *instance = &fleet->slots[i].pair[place];
                        if (instance_is_live(instance) && instance->deadline_ns <= fleet->now_ns)
                                instance_expire(fleet, actions, &fleet->slots[i], instance);
                }
        canary_expire(fleet, actions);
        if (fleet->progress_deadline_ns <= fleet->now_ns && fleet_is_rolling(fleet) && !fleet->is_stopping) {
                fleet->is_blamed = true;
                rollout_fail(fleet, actions, &failure);
        }
}

void fleet_step(struct fleet *fleet, const struct fleet_event *event, struct fleet_actions *actions) {
        actions->count = 0;
        actions->lost = 0;
        actions->share_count = 0;
        if (fleet->is_over)
                return;
        if (event->now_ns > fleet->now_ns)
                fleet->now_ns = event->now_ns;
        event_apply(fleet, actions, event);
        deadlines_expire(fleet, actions);
        for (int round = 0; round < ROUNDS_MAX && !fleet->is_stopping; round++) {
                load_begin(fleet, actions);
                const bool has_moved = fleet_reconcile(fleet, actions);
                if (!rollout_settle(fleet, actions) && !has_moved)
                        break;
        }
        fleet_steer(fleet, actions);
        generations_collect(fleet, actions);
        fleet_end_if_over(fleet, actions);
}
