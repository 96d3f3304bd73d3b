/* What the core decided, in words for the log. Numbers, names and reasons; a value cannot get here. */

#include <stdio.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/state.h"

/* What a FLEET_REPORT line says and how loud. %g generation, %r reason, %s status, %d delay. */
static const struct {
        enum log_level level;
        const char *text;
} report_texts[] = {
        [FLEET_REPORT_LOAD_FAILED] = {LOG_ERROR, "secrets not loaded; nothing was changed"},
        [FLEET_REPORT_UNCHANGED] = {LOG_NOTICE, "secrets unchanged: generation %g goes on, nothing restarts"},
        [FLEET_REPORT_REFUSED] = {LOG_WARNING,
                "these secrets failed before: not tried again until they change"},
        [FLEET_REPORT_STARTED] = {LOG_INFO, "generation %g is up"},
        [FLEET_REPORT_ROLLOUT] = {LOG_NOTICE, "rotation to generation %g begins"},
        [FLEET_REPORT_SUPERSEDED] = {LOG_NOTICE, "rotation to generation %g given up for a newer one"},
        [FLEET_REPORT_CANCELLED] = {LOG_NOTICE, "rotation to generation %g cancelled"},
        [FLEET_REPORT_FAILED] = {LOG_WARNING, "the app of generation %g failed: %r"},
        [FLEET_REPORT_RETRY] = {LOG_NOTICE, "trying again in %d"},
        [FLEET_REPORT_REVERTED] = {LOG_ERROR, "generation %g failed (%r): going back to the one before"},
        [FLEET_REPORT_RESTORED] = {LOG_NOTICE, "back on generation %g"},
        [FLEET_REPORT_COMMITTED] = {LOG_NOTICE, "rotation to generation %g done"},
        [FLEET_REPORT_HALTED] = {LOG_ERROR, "rotation to generation %g halted: %r"},
        [FLEET_REPORT_RESUMED] = {LOG_NOTICE, "going on with the way back to generation %g"},
        [FLEET_REPORT_NO_PREVIOUS] = {LOG_WARNING, "there is no generation to go back to"},
        [FLEET_REPORT_RESTART] = {LOG_NOTICE, "restarting the app in %d"},
        [FLEET_REPORT_ENDED] = {LOG_DEBUG, "the app ended with status %s"},
        [FLEET_REPORT_GAVE_UP] = {LOG_ERROR, "giving up: the app cannot be kept running (last status %s)"},
        [FLEET_REPORT_UNHEALTHY] = {LOG_WARNING, "the app is unhealthy; restart = no, so it is left alone"},
        [FLEET_REPORT_STOP_TIMEOUT] = {LOG_WARNING, "the app did not stop within stop_timeout: killing it"},
        [FLEET_REPORT_STUCK] = {LOG_ERROR,
                "the app does not die of SIGKILL (is it in an uninterruptible system call?)"},
        [FLEET_REPORT_STOPPING] = {LOG_INFO, "stopping"},
        [FLEET_REPORT_STOP_AGAIN] = {LOG_INFO, "asked to stop once more"},
};

static void reason_format(const struct fleet_action *action, char out[static 96]) {
        if (action->reason == FLEET_REASON_EXITED && action->status > EXIT_STATUS_SIGNAL_BASE) {
                char name[SIGNAL_NAME_BYTES];

                snprintf(out, 96, "killed by SIG%s, status %d",
                        signal_name(action->status - EXIT_STATUS_SIGNAL_BASE, name), action->status);
        } else if (action->reason == FLEET_REASON_EXITED || action->reason == FLEET_REASON_SPAWN) {
                snprintf(out, 96, "%s, status %d", fleet_reason_name(action->reason), action->status);
        } else {
                snprintf(out, 96, "%s", fleet_reason_name(action->reason));
        }
}

/* Expand one %x; returns how many characters were wanted. */
static int place_format(char *out, size_t room, char what, const struct fleet_action *action) {
        char buffer[96], duration[32];

        switch (what) {
        case 'g':
                return snprintf(out, room, "%llu", (unsigned long long)action->generation);
        case 's':
                return snprintf(out, room, "%d", action->status);
        case 'd':
                return snprintf(out, room, "%s", duration_format(action->delay_ns, duration));
        case 'r':
                reason_format(action, buffer);
                return snprintf(out, room, "%s", buffer);
        default:
                return 0;
        }
}

/* Without restarts the exit status says it all: a plain init is silent. */
static enum log_level report_level(const struct supervisor *supervisor, const struct fleet_action *action) {
        bool is_plain = supervisor->settings->fleet.restart == FLEET_RESTART_NO;

        if (is_plain && (action->report == FLEET_REPORT_FAILED || action->report == FLEET_REPORT_GAVE_UP))
                return LOG_INFO;
        if (action->report == FLEET_REPORT_UNCHANGED && rotation_was_quiet(supervisor))
                return LOG_INFO;
        return report_texts[action->report].level;
}

void report_write(struct supervisor *supervisor, const struct fleet_action *action) {
        bool is_first = action->report == FLEET_REPORT_LOAD_FAILED && supervisor->generation_last == 0;
        const char *at =
                is_first ? "secrets not loaded; nothing was started" : report_texts[action->report].text;
        char line[512];
        size_t used = 0;

        for (; *at && used < sizeof line - 1; at++) {
                if (*at != '%') {
                        line[used++] = *at;
                        continue;
                }
                used += (size_t)place_format(line + used, sizeof line - used, *++at, action);
        }
        line[used < sizeof line ? used : sizeof line - 1] = '\0';
        log_write(report_level(supervisor, action), "%s", line);
        manager_report(supervisor, action, line);
}
