#pragma once

/* Scripts for the fleet: tell facts, then compare everything it said with one line of text.
 *
 *      fleet_begin(&(struct fleet_settings){...});
 *      start();                      expect("load 1");
 *      loaded(1, 'a');               expect("spawn 1 g1");
 *
 * Instances, loads and generations are numbered from 1 in the order of their birth. `content` is a letter:
 * the digest. Reports stand in parentheses. The time is `now_ns`; later() lets it pass, waking the fleet when
 * it wants to be woken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/duration.h"
#include "supervisor/core/fleet.h"

#define MS NS_PER_MS
#define S  NS_PER_S

static struct fleet fleet;
static struct fleet_actions actions;
static int64_t now_ns;
static char trace[4096];
static uint32_t load_number;
static bool tells_steps; /* reports of steps that went well are left out unless a script wants them */

static inline const char *report_name(enum fleet_report report) {
        switch (report) {
        case FLEET_REPORT_LOAD_CANCELLED:
                return "load cancelled";
        case FLEET_REPORT_LOAD_FAILED:
                return "load failed";
        case FLEET_REPORT_UNCHANGED:
                return "unchanged";
        case FLEET_REPORT_REFUSED:
                return "refused";
        case FLEET_REPORT_STARTED:
                return "started";
        case FLEET_REPORT_ROLLOUT:
                return "rollout";
        case FLEET_REPORT_SUPERSEDED:
                return "superseded";
        case FLEET_REPORT_CANCELLED:
                return "cancelled";
        case FLEET_REPORT_FAILED:
                return "failed";
        case FLEET_REPORT_RETRY:
                return "retry";
        case FLEET_REPORT_REVERTED:
                return "reverted";
        case FLEET_REPORT_RESTORED:
                return "restored";
        case FLEET_REPORT_COMMITTED:
                return "committed";
        case FLEET_REPORT_HALTED:
                return "halted";
        case FLEET_REPORT_RESUMED:
                return "resumed";
        case FLEET_REPORT_NO_PREVIOUS:
                return "no previous";
        case FLEET_REPORT_RESTART:
                return "restart";
        case FLEET_REPORT_ENDED:
                return "ended";
        case FLEET_REPORT_GAVE_UP:
                return "gave up";
        case FLEET_REPORT_UNHEALTHY:
                return "unhealthy";
        case FLEET_REPORT_STOP_TIMEOUT:
                return "stop timeout";
        case FLEET_REPORT_STUCK:
                return "stuck";
        case FLEET_REPORT_STOPPING:
                return "stopping";
        case FLEET_REPORT_STOP_AGAIN:
                return "stop again";
        case FLEET_REPORT_READY:
                return "ready";
        case FLEET_REPORT_AVAILABLE:
                return "available";
        case FLEET_REPORT_CANARY:
                return "canary";
        case FLEET_REPORT_CANARY_PASSED:
                return "canary passed";
        case FLEET_REPORT_EMPTIED:
                return "emptied";
        case FLEET_REPORT_QUEUE_TIMEOUT:
                return "queue timeout";
        case FLEET_REPORT_DRAINED:
                return "drained";
        case FLEET_REPORT_DRAIN_TIMEOUT:
                return "drain timeout";
        case FLEET_REPORT_STOPPED:
                return "stopped";
        }
        return "?";
}

static inline void trace_add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void trace_add(const char *format, ...) {
        va_list arguments;
        const size_t used = strlen(trace);
        va_start(arguments, format);
        vsnprintf(trace + used, sizeof trace - used, format, arguments);
        va_end(arguments);
}

static inline void trace_report(const struct fleet_action *action) {
        trace_add("(%s", report_name(action->report));
        if (action->instance)
                trace_add(" %llu", (unsigned long long)action->instance);
        else if (action->generation)
                trace_add(" g%llu", (unsigned long long)action->generation);
        if (action->reason != FLEET_REASON_NONE)
                trace_add(" %s", fleet_reason_name(action->reason));
        if (action->status)
                trace_add(" %d", action->status);
        if (action->delay_ns == NS_FOREVER)
                trace_add(" never");
        else if (action->delay_ns > 0)
                trace_add(" later");
        if (action->is_quiet)
                trace_add(" quietly");
        trace_add(")");
}

static inline bool report_is_step(enum fleet_report report) {
        return report == FLEET_REPORT_READY || report == FLEET_REPORT_AVAILABLE ||
               report == FLEET_REPORT_EMPTIED || report == FLEET_REPORT_QUEUE_TIMEOUT ||
               report == FLEET_REPORT_DRAINED || report == FLEET_REPORT_DRAIN_TIMEOUT ||
               report == FLEET_REPORT_STOPPED;
}

/* Where there is one slot, and where all get the same, neither has to be said. */
static inline void trace_share(const struct fleet_share *share) {
        trace_add(" g%llu", (unsigned long long)share->generation);
        if (fleet.settings.replicas > 1)
                trace_add("@%u", share->slot);
        if (share->weight != 1)
                trace_add(":%u", share->weight);
}

static inline void trace_action(const struct fleet_action *action) {
        const unsigned long long instance = action->instance;
        const unsigned long long generation = action->generation;
        if (action->kind == FLEET_DO_REPORT && !tells_steps && report_is_step(action->report))
                return;
        if (trace[0])
                trace_add(" ");
        switch (action->kind) {
        case FLEET_DO_LOAD:
                load_number = action->load;
                trace_add("load %u", action->load);
                break;
        case FLEET_DO_CANCEL_LOAD:
                trace_add("cancel %u", action->load);
                break;
        case FLEET_DO_SPAWN:
                trace_add("spawn %llu g%llu", instance, generation);
                if (fleet.settings.replicas > 1)
                        trace_add("@%u", action->slot);
                break;
        case FLEET_DO_SIGNAL:
                trace_add("signal %llu g%llu", instance, generation);
                break;
        case FLEET_DO_EMPTY:
                trace_add("empty %llu g%llu", instance, generation);
                break;
        case FLEET_DO_DRAIN:
                trace_add("drain %llu g%llu", instance, generation);
                break;
        case FLEET_DO_RECALL:
                trace_add("recall %llu g%llu", instance, generation);
                break;
        case FLEET_DO_STOP:
                trace_add("%sstop %llu", action->delay_ns > 0 ? "drain-and-" : "", instance);
                if (action->is_delivered)
                        trace_add(" delivered");
                break;
        case FLEET_DO_KILL:
                trace_add("kill %llu", instance);
                break;
        case FLEET_DO_SWEEP:
                trace_add("sweep g%llu", generation);
                break;
        case FLEET_DO_DROP:
                trace_add("drop g%llu", generation);
                break;
        case FLEET_DO_STEER:
                trace_add("steer");
                for (size_t i = 0; i < actions.share_count; i++)
                        trace_share(&actions.shares[i]);
                break;
        case FLEET_DO_REPORT:
                trace_report(action);
                break;
        case FLEET_DO_EXIT:
                trace_add("exit %d", action->status);
                break;
        }
}

static inline void tell(struct fleet_event event) {
        event.now_ns = now_ns;
        fleet_step(&fleet, &event, &actions);
        for (size_t i = 0; i < actions.count; i++)
                trace_action(&actions.list[i]);
}

static inline void expect(const char *text) {
        assert_string_equal(trace, text);
        trace[0] = '\0';
}

static inline void fleet_begin(const struct fleet_settings *settings) {
        now_ns = 1000 * S;
        trace[0] = '\0';
        load_number = 0;
        tells_steps = false;
        fleet_init(&fleet, settings);
}

static inline void start(void) {
        tell((struct fleet_event){.kind = FLEET_START});
}

static inline void reload(void) {
        tell((struct fleet_event){.kind = FLEET_RELOAD});
}

static inline void reload_quietly(void) {
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_quiet = true});
}

static inline void force(void) {
        tell((struct fleet_event){.kind = FLEET_RELOAD, .is_forced = true});
}

/* The load that runs brings this. */
static inline void loaded(uint64_t generation, char content) {
        struct fleet_event event = {.kind = FLEET_LOADED, .load = load_number, .generation = generation};
        memset(event.digest, content, sizeof event.digest);
        tell(event);
}

static inline void load_fails(int32_t status) {
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = load_number, .status = status});
}

static inline void spawn_fails(uint64_t instance, int32_t status) {
        tell((struct fleet_event){.kind = FLEET_SPAWN_FAILED,
                .instance = instance,
                .status = status,
                .is_permanent = status != 125});
}

static inline void ready(uint64_t instance) {
        tell((struct fleet_event){.kind = FLEET_SPAWNED, .instance = instance});
        tell((struct fleet_event){.kind = FLEET_READY, .instance = instance});
}

static inline void unhealthy(uint64_t instance) {
        tell((struct fleet_event){.kind = FLEET_UNHEALTHY, .instance = instance});
}

static inline void exited(uint64_t instance, int32_t status) {
        tell((struct fleet_event){.kind = FLEET_EXITED, .instance = instance, .status = status});
}

static inline void signalled(uint64_t instance, int32_t number) {
        tell((struct fleet_event){
                .kind = FLEET_EXITED, .instance = instance, .status = number, .is_signal = true});
}

static inline void stop(void) {
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 15});
}

static inline void stop_hard(void) {
        tell((struct fleet_event){.kind = FLEET_STOP, .signal = 15, .is_hard = true});
}

static inline void swept(uint64_t generation) {
        tell((struct fleet_event){.kind = FLEET_SWEPT, .generation = generation});
}

static inline void rollback(void) {
        tell((struct fleet_event){.kind = FLEET_ROLLBACK});
}

static inline void queue_empty(uint64_t instance) {
        tell((struct fleet_event){.kind = FLEET_EMPTY, .instance = instance});
}

/* Time passes; the fleet is woken whenever it wants to be. */
static inline void later(int64_t delay_ns) {
        const int64_t until_ns = now_ns + delay_ns;
        int64_t next_ns = fleet_deadline(&fleet);
        while (next_ns <= until_ns) {
                assert_true(next_ns > now_ns);
                now_ns = next_ns;
                tell((struct fleet_event){.kind = FLEET_TICK});
                next_ns = fleet_deadline(&fleet);
        }
        now_ns = until_ns;
}

static inline int64_t wakes_in(void) {
        const int64_t deadline_ns = fleet_deadline(&fleet);
        return deadline_ns == NS_FOREVER ? NS_FOREVER : deadline_ns - now_ns;
}

/* As the supervisor runs today: one replica, stop the old, start the new. */
static inline struct fleet_settings settings_restart(void) {
        return (struct fleet_settings){.replicas = 1,
                .unavailable_max = 1,
                .ready_timeout_ns = 30 * S,
                .healthy_min_ns = 1 * S,
                .stop_timeout_ns = 10 * S,
                .emergency_timeout_ns = 1 * S,
                .load_timeout_ns = 20 * S,
                .restart = FLEET_RESTART_NO,
                .restart_delay_ns = 100 * MS,
                .restart_delay_max_ns = 10 * S,
                .restart_reset_ns = 60 * S,
                .jitter_seed = 1};
}

/* New beside old, old goes when the new has proved itself. */
static inline struct fleet_settings settings_handoff(uint32_t replicas) {
        struct fleet_settings settings = settings_restart();
        settings.replicas = replicas;
        settings.surge_max = 1;
        settings.unavailable_max = 0;
        return settings;
}

/* Generation 1 of content 'a' runs in every slot, instances 1..replicas are available. */
static inline void fleet_up(const struct fleet_settings *settings) {
        fleet_begin(settings);
        start();
        loaded(1, 'a');
        for (uint64_t i = 1; i <= fleet.settings.replicas; i++)
                ready(i);
        later(settings->healthy_min_ns);
        assert_non_null(strstr(trace, "(started g1)"));
        trace[0] = '\0';
}

/* Reload to 'b' with instance 2 starting. */
static inline void reload_to_second(const struct fleet_settings *settings) {
        fleet_up(settings);
        reload();
        loaded(2, 'b');
        exited(1, 0);
        expect("load 2 (rollout g2) stop 1 spawn 2 g2");
}
