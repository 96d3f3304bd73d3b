/* The core's reports as lines of the log; called by perform.c. Numbers, names and reasons; a value cannot get
 * here. */

#include <stdio.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/state.h"

#define REASON_BYTES 160

/* Level and text of each FLEET_REPORT. %g generation, %r reason, %s status, %d delay, %w when that is over,
 * %a the app or its replica, %i the same where it is one of many steps, %e what an emergency has ended. */
static const struct {
        enum log_level level;
        const char *text;
} report_texts[] = {
        [FLEET_REPORT_LOAD_CANCELLED] = {LOG_NOTICE, "going back: the load of the secrets is given up"},
        [FLEET_REPORT_LOAD_FAILED] = {LOG_ERROR, "secrets not loaded; nothing was changed"},
        [FLEET_REPORT_UNCHANGED] = {LOG_NOTICE, "secrets unchanged: generation %g goes on, nothing restarts"},
        [FLEET_REPORT_REFUSED] = {LOG_WARNING,
                "these secrets failed before, or were left by a rollback: not tried again until they change"},
        [FLEET_REPORT_STARTED] = {LOG_INFO, "generation %g is up"},
        [FLEET_REPORT_ROLLOUT] = {LOG_NOTICE, "rotation to generation %g begins"},
        [FLEET_REPORT_SUPERSEDED] = {LOG_NOTICE, "rotation to generation %g given up for a newer one"},
        [FLEET_REPORT_CANCELLED] = {LOG_NOTICE, "rotation to generation %g cancelled"},
        [FLEET_REPORT_FAILED] = {LOG_WARNING, "%a of generation %g failed: %r"},
        [FLEET_REPORT_RETRY] = {LOG_NOTICE, "trying %a again %w"},
        [FLEET_REPORT_REVERTED] = {LOG_ERROR, "generation %g failed (%r): going back to the one before"},
        [FLEET_REPORT_RESTORED] = {LOG_NOTICE, "back on generation %g"},
        [FLEET_REPORT_COMMITTED] = {LOG_NOTICE, "rotation to generation %g done%e"},
        [FLEET_REPORT_HALTED] = {LOG_ERROR, "rotation to generation %g halted: %r"},
        [FLEET_REPORT_RESUMED] = {LOG_NOTICE, "going on with the way back to generation %g"},
        [FLEET_REPORT_NO_PREVIOUS] = {LOG_WARNING, "there is no generation to go back to"},
        [FLEET_REPORT_RESTART] = {LOG_NOTICE, "restarting %a %w"},
        [FLEET_REPORT_ENDED] = {LOG_DEBUG, "%a ended with status %s"},
        [FLEET_REPORT_GAVE_UP] = {LOG_ERROR, "giving up: the app cannot be kept running (last status %s)"},
        [FLEET_REPORT_UNHEALTHY] = {LOG_WARNING, "%a is unhealthy; restart = no, so it is left alone"},
        [FLEET_REPORT_STOP_TIMEOUT] = {LOG_WARNING, "%a did not stop within stop_timeout: killing it"},
        [FLEET_REPORT_STUCK] = {LOG_ERROR,
                "%a does not die of SIGKILL (is it in an uninterruptible system call?)"},
        [FLEET_REPORT_STOPPING] = {LOG_INFO, "stopping"},
        [FLEET_REPORT_STOP_AGAIN] = {LOG_INFO, "asked to stop once more"},
        [FLEET_REPORT_READY] = {LOG_INFO, "%i is ready"},
        [FLEET_REPORT_AVAILABLE] = {LOG_NOTICE, "%i has proved itself"},
        [FLEET_REPORT_CANARY] = {LOG_NOTICE, "%i is the canary for %d"},
        [FLEET_REPORT_CANARY_PASSED] = {LOG_NOTICE, "rotation to generation %g: the canary has passed"},
        [FLEET_REPORT_EMPTIED] = {LOG_INFO, "%i has an empty accept queue"},
        [FLEET_REPORT_QUEUE_TIMEOUT] = {LOG_WARNING,
                "%i still has connections in its accept queue; going on all the same"},
        [FLEET_REPORT_DRAINED] = {LOG_INFO, "%i has no request that runs"},
        [FLEET_REPORT_DRAIN_TIMEOUT] = {LOG_WARNING,
                "%i still has requests that run after drain_timeout, and is stopped all the same"},
        [FLEET_REPORT_STOPPED] = {LOG_NOTICE, "%i has stopped"},
};

/* Did it end with the status of a success, although nobody had asked it to end? */
static bool reason_is_success(const struct fleet_action *action) {
        return action->reason == FLEET_REASON_EXITED && action->status == 0;
}

/* What to do about it stands in the same line: it is the whole remedy. */
static void background_format(const struct supervisor *supervisor, char out[static REASON_BYTES]) {
        const char *foreground = supervisor->settings->foreground;

        snprintf(out, REASON_BYTES, "%s: run it in the foreground (%s)",
                fleet_reason_name(FLEET_REASON_BACKGROUND),
                foreground ? foreground : "most programs have an option or a setting for that");
}

static void reason_format(const struct supervisor *supervisor, const struct fleet_action *action,
        char out[static REASON_BYTES]) {
        if (action->reason == FLEET_REASON_EXITED && action->is_signal) {
                char name[SIGNAL_NAME_BYTES];

                snprintf(out, REASON_BYTES, "killed by SIG%s, status %d",
                        signal_name(action->status - EXIT_STATUS_SIGNAL_BASE, name), action->status);
        } else if (reason_is_success(action)) {
                snprintf(out, REASON_BYTES, "ended by itself, with status 0%s",
                        action->was_ready ? "" : ", before it was ready");
        } else if (action->reason == FLEET_REASON_BACKGROUND) {
                background_format(supervisor, out);
        } else if (action->reason == FLEET_REASON_EXITED || action->reason == FLEET_REASON_SPAWN) {
                snprintf(out, REASON_BYTES, "%s, status %d", fleet_reason_name(action->reason),
                        action->status);
        } else {
                snprintf(out, REASON_BYTES, "%s", fleet_reason_name(action->reason));
        }
}

static int instance_format(
        const struct supervisor *supervisor, char *out, size_t room, const struct fleet_action *action) {
        if (supervisor->settings->fleet.replicas > 1)
                return snprintf(out, room, "replica %u", action->slot);
        return snprintf(out, room, "the app");
}

/* "rotation to generation 3: replica 2", with its generation if that is an older one. Outside of a rotation
 * the app alone. */
static int step_format(
        const struct supervisor *supervisor, char *out, size_t room, const struct fleet_action *action) {
        unsigned long long own = action->generation, target = supervisor->rotation.target;
        char instance[32];

        instance_format(supervisor, instance, sizeof instance, action);
        if (!supervisor->rotation.began_ns)
                return snprintf(out, room, "%s", instance);
        if (own == target)
                return snprintf(out, room, "rotation to generation %llu: %s", target, instance);
        return snprintf(
                out, room, "rotation to generation %llu: %s of generation %llu", target, instance, own);
}

static int ended_format(
        const struct supervisor *supervisor, char *out, size_t room, const struct fleet_action *action) {
        const long ended = trees_ended(&supervisor->trees, action->generation);

        if (!supervisor->rotation.is_emergency)
                return 0;
        return snprintf(out, room, "; %ld process%s that held the old values %s ended", ended,
                ended == 1 ? "" : "es", ended == 1 ? "was" : "were");
}

/* Expand one %x; returns how many characters were wanted. */
static int place_format(const struct supervisor *supervisor, char *out, size_t room, char what,
        const struct fleet_action *action) {
        char buffer[REASON_BYTES], duration[32];

        switch (what) {
        case 'a':
                return instance_format(supervisor, out, room, action);
        case 'i':
                return step_format(supervisor, out, room, action);
        case 'g':
                return snprintf(out, room, "%llu", (unsigned long long)action->generation);
        case 'e':
                return ended_format(supervisor, out, room, action);
        case 's':
                return snprintf(out, room, "%d", action->status);
        case 'd':
                return snprintf(out, room, "%s", duration_format(action->delay_ns, duration));
        case 'w':
                if (action->delay_ns < NS_PER_US)
                        return snprintf(out, room, "now");
                return snprintf(out, room, "in %s", duration_format(action->delay_ns, duration));
        case 'r':
                reason_format(supervisor, action, buffer);
                return snprintf(out, room, "%s", buffer);
        default:
                return 0;
        }
}

static bool report_is_step(enum fleet_report report) {
        return report >= FLEET_REPORT_READY;
}

/* The first generation that is up may have superseded another during the start: then a rotation ends with
 * it. */
static enum fleet_report report_kind(const struct supervisor *supervisor, const struct fleet_action *action) {
        bool is_rotation = action->report == FLEET_REPORT_STARTED && supervisor->rotation.began_ns;

        return is_rotation ? FLEET_REPORT_COMMITTED : action->report;
}

/* The report's level. Without restarts a plain init is silent: its exit status tells. */
static enum log_level report_level(const struct supervisor *supervisor, const struct fleet_action *action) {
        bool is_plain = supervisor->settings->fleet.restart == FLEET_RESTART_NO &&
                        action->reason != FLEET_REASON_BACKGROUND;

        if (is_plain && (action->report == FLEET_REPORT_FAILED || action->report == FLEET_REPORT_GAVE_UP))
                return LOG_INFO;
        if (action->report == FLEET_REPORT_UNCHANGED && action->is_quiet)
                return LOG_INFO;
        if (report_is_step(action->report) && !supervisor->rotation.began_ns)
                return LOG_INFO;
        return report_texts[report_kind(supervisor, action)].level;
}

void rotation_note_begin(struct supervisor *supervisor, const struct fleet_action *action) {
        struct fleet_view view;

        if (action->report != FLEET_REPORT_ROLLOUT)
                return;
        fleet_look(&supervisor->fleet, &view);
        supervisor->rotation.is_emergency = view.is_emergency;
        supervisor->rotation.target = action->generation;
        supervisor->rotation.began_ns = generations_asked_ns(&supervisor->generations, action->generation);
}

void rotation_note_end(struct supervisor *supervisor, const struct fleet_action *action) {
        if (action->report == FLEET_REPORT_COMMITTED || action->report == FLEET_REPORT_STARTED ||
                action->report == FLEET_REPORT_RESTORED || action->report == FLEET_REPORT_HALTED ||
                action->report == FLEET_REPORT_STOPPING)
                supervisor->rotation.began_ns = 0;
}

/* How long the rotation has taken so far, for the end of every line about it. */
static const char *elapsed_format(
        const struct supervisor *supervisor, enum fleet_report report, char out[static 32]) {
        const bool is_apart = report == FLEET_REPORT_LOAD_FAILED || report == FLEET_REPORT_UNCHANGED ||
                              report == FLEET_REPORT_REFUSED || report == FLEET_REPORT_STOPPING;

        out[0] = '\0';
        if (supervisor->rotation.began_ns && !is_apart)
                snprintf(out, 32, " (+%lld ms)",
                        (long long)((time_now_ns() - supervisor->rotation.began_ns) / NS_PER_MS));
        return out;
}

static const char *report_text(const struct supervisor *supervisor, const struct fleet_action *action) {
        if (action->report == FLEET_REPORT_LOAD_FAILED && supervisor->generations.last == 0)
                return "secrets not loaded; nothing was started";
        if (action->report == FLEET_REPORT_FAILED && reason_is_success(action))
                return "%a of generation %g %r";
        return report_texts[report_kind(supervisor, action)].text;
}

void report_format(const struct supervisor *supervisor, const struct fleet_action *action,
        char out[static REPORT_LINE_BYTES]) {
        const char *at = report_text(supervisor, action);
        size_t used = 0;

        for (; *at && used < REPORT_LINE_BYTES - 1; at++) {
                if (*at != '%') {
                        out[used++] = *at;
                        continue;
                }
                used += (size_t)place_format(supervisor, out + used, REPORT_LINE_BYTES - used, *++at, action);
        }
        out[used < REPORT_LINE_BYTES ? used : REPORT_LINE_BYTES - 1] = '\0';
}

/* One that has begun to serve before it met what it cannot have counts as well, in a rotation. */
static bool is_failed_start(const struct supervisor *supervisor, const struct fleet_action *action) {
        return action->report == FLEET_REPORT_FAILED &&
               (action->reason == FLEET_REASON_NOT_READY ||
                       (action->reason == FLEET_REASON_EXITED &&
                               (!action->was_ready || supervisor->rotation.began_ns)));
}

void report_write(struct supervisor *supervisor, const struct fleet_action *action, const char *line) {
        const struct instance *instance = instance_by_number(&supervisor->instances, action->instance);
        char elapsed[32];

        elapsed_format(supervisor, action->report, elapsed);
        log_write(report_level(supervisor, action), "%s%s", line, elapsed);
        if (action->report == FLEET_REPORT_FAILED && action->reason == FLEET_REASON_NOT_READY && instance)
                readiness_explain(&supervisor->gate, instance);
        if (is_failed_start(supervisor, action))
                adopt_explain(&supervisor->adopt, action->instance);
}

/* What the instances of one generation get together. */
struct steered {
        uint64_t generation, weight;
};

static size_t steered_count(
        const struct fleet_actions *actions, struct steered out[static FLEET_SHARES_MAX]) {
        size_t count = 0;

        for (size_t i = 0; i < actions->share_count; i++) {
                const struct fleet_share *share = &actions->shares[i];
                size_t at = 0;

                while (at < count && out[at].generation != share->generation)
                        at++;
                if (at == count)
                        out[count++] = (struct steered){.generation = share->generation};
                out[at].weight += share->weight;
        }
        return count;
}

void report_steer(const struct supervisor *supervisor) {
        struct steered list[FLEET_SHARES_MAX];
        size_t count = steered_count(&supervisor->actions, list), used = 0;
        unsigned long long all = 0;
        char line[512] = "", elapsed[32];

        for (size_t i = 0; i < count; i++)
                all += list[i].weight;
        for (size_t i = 0; i < count && used < sizeof line; i++)
                used += (size_t)snprintf(line + used, sizeof line - used, "%s%.4g%% to generation %llu",
                        i ? ", " : "", 100.0 * (double)list[i].weight / (double)all,
                        (unsigned long long)list[i].generation);
        log_write(supervisor->rotation.began_ns ? LOG_NOTICE : LOG_INFO, "new connections: %s%s", line,
                elapsed_format(supervisor, FLEET_REPORT_READY, elapsed));
}
