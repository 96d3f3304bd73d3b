/* Toward the service manager: see manager.h.
 *
 * Runs in the supervisor. What has to be said is kept as bits, not as a queue of messages: a manager that is
 * slow for a while then hears the newest state, in the order that counts (RELOADING=1 before READY=1 before
 * the rest), and nothing grows. What is said is never about the app's own processes: their READY=1 and
 * MAINPID= end at tacet's own socket for them. */

#include "supervisor/manager/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"

enum {
        OWED_RELOADING = 1,
        OWED_READY = 2,
        OWED_STOPPING = 4,
        OWED_STATUS = 8,
        OWED_EXTEND = 16,
        OWED_BEAT = 32,
        OWED_STORE = 64,
};

/* Asked for at a time, again after half of it; at the beginning sooner, for systemd arms a timer of its own
 * when the process that `ExecReload=` started ends, and what was asked for before that is forgotten. */
#define EXTEND_NS       (20 * NS_PER_S)
#define EXTEND_FIRST_NS (125 * NS_PER_MS)
#define STATUS_PAUSE_NS (200 * NS_PER_MS)
#define RETRY_FIRST_NS  (50 * NS_PER_MS)
#define RETRY_MAX_NS    (5 * NS_PER_S)
#define RETRY_ROW_MAX   16 /* then what is owed is given up, unless the manager is merely slow */
#define STOP_SLACK_NS   (10 * NS_PER_S)
#define MESSAGE_BYTES   (MANAGER_STATUS_BYTES + 256)

static int message_format(const struct manager *manager, unsigned parts, char out[static MESSAGE_BYTES]) {
        int length = 0;

        out[0] = '\0';
        if (parts & OWED_RELOADING)
                length += snprintf(out + length, 96, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                        (long long)(manager->reload_ns / NS_PER_US));
        if (parts & OWED_READY)
                length += snprintf(out + length, 16, "READY=1\n");
        if (parts & OWED_STOPPING)
                length += snprintf(out + length, 16, "STOPPING=1\n");
        if (parts & OWED_EXTEND)
                length += snprintf(
                        out + length, 64, "EXTEND_TIMEOUT_USEC=%lld\n", (long long)(EXTEND_NS / NS_PER_US));
        if (parts & OWED_BEAT)
                length += snprintf(out + length, 16, "WATCHDOG=1\n");
        if (parts & ~(unsigned)(OWED_BEAT | OWED_EXTEND))
                length += snprintf(out + length, MANAGER_STATUS_BYTES + 16, "STATUS=%s\n", manager->status);
        return length;
}

/* Descriptors travel in messages of their own, after all others. In one message READY=1 would win over
 * RELOADING=1, so they are two; more time is never asked for with or after a READY=1, where it would move a
 * deadline of the running service. */
static unsigned parts_next(unsigned owed) {
        if (owed & OWED_RELOADING)
                return owed & ~(unsigned)(OWED_READY | OWED_STORE);
        return owed == OWED_STORE ? owed : owed & ~(unsigned)OWED_STORE;
}

/* Later: in a moment when its queue was full or it could not be reached, at the earliest moment for a mere
 * STATUS=. */
static void flush_later(struct supervisor *supervisor, int64_t time_ns) {
        loop_timer_set(&supervisor->loop, &supervisor->manager.retry, time_ns);
}

static int64_t retry_delay_ns(unsigned tries) {
        int64_t delay_ns = RETRY_FIRST_NS;

        while (tries-- > 1 && delay_ns < RETRY_MAX_NS)
                delay_ns *= 2;
        return delay_ns < RETRY_MAX_NS ? delay_ns : RETRY_MAX_NS;
}

static void send_failed(struct supervisor *supervisor, const struct error *error) {
        struct manager *manager = &supervisor->manager;

        if (error && manager->tries == 0)
                log_error(LOG_WARNING, error);
        if (manager->tries < RETRY_ROW_MAX)
                manager->tries++;
        else if (error)
                manager->owed = 0;
        if (manager->owed)
                flush_later(supervisor, time_add(time_now_ns(), retry_delay_ns(manager->tries)));
}

static int parts_send(struct supervisor *supervisor, unsigned parts, struct error *error) {
        const struct manager *manager = &supervisor->manager;
        char message[MESSAGE_BYTES];
        int length;

        if (parts == OWED_STORE)
                return manager_store_say(supervisor, error);
        length = message_format(manager, parts, message);
        return notify_send(manager->fd, &manager->address, message, (size_t)length - 1, -1, error);
}

static void flush(struct supervisor *supervisor) {
        struct manager *manager = &supervisor->manager;
        struct error error;

        if (manager->owed == OWED_STATUS && time_now_ns() < manager->status_earliest_ns) {
                flush_later(supervisor, manager->status_earliest_ns);
                return;
        }
        while (manager->owed) {
                unsigned parts = parts_next(manager->owed);
                int result = parts_send(supervisor, parts, &error);

                if (result != 0) {
                        send_failed(supervisor, result < 0 ? &error : NULL);
                        return;
                }
                manager->owed &= ~parts;
                manager->tries = 0;
                manager->status_earliest_ns = time_add(time_now_ns(), STATUS_PAUSE_NS);
        }
        loop_timer_clear(&supervisor->loop, &manager->retry);
}

/* The last words do not wait until the status may be said again: nobody would say them then. */
static void flush_last(struct supervisor *supervisor) {
        supervisor->manager.status_earliest_ns = 0;
        flush(supervisor);
}

static void retry_on_due(struct loop_timer *timer) {
        flush(timer->owner);
}

/* From a timer of the loop that turns the whole supervisor: when the loop hangs this stops. */
static void beat_on_due(struct loop_timer *timer) {
        struct supervisor *supervisor = timer->owner;

        supervisor->manager.owed |= OWED_BEAT;
        flush(supervisor);
        loop_timer_set(&supervisor->loop, timer,
                time_add(time_now_ns(), supervisor->settings->manager.watchdog_ns / 2));
}

static void extend_on_due(struct loop_timer *timer) {
        struct supervisor *supervisor = timer->owner;
        int64_t now_ns = time_now_ns();

        if (now_ns >= supervisor->manager.extend_until_ns)
                return;
        supervisor->manager.owed |= OWED_EXTEND;
        flush(supervisor);
        supervisor->manager.extend_pause_ns *= 2;
        if (supervisor->manager.extend_pause_ns > EXTEND_NS / 2)
                supervisor->manager.extend_pause_ns = EXTEND_NS / 2;
        loop_timer_set(&supervisor->loop, timer, time_add(now_ns, supervisor->manager.extend_pause_ns));
}

static const char *variable(const char *name) {
        const char *value = getenv(name);

        return value && value[0] ? value : NULL;
}

void manager_settings_read(struct manager_settings *out) {
        const char *usec = variable("WATCHDOG_USEC"), *pid = variable("WATCHDOG_PID");
        uint64_t number;

        *out = (struct manager_settings){.socket = variable("NOTIFY_SOCKET"), .stores = true};
        if (variable("FDSTORE"))
                out->stores = strcmp(variable("FDSTORE"), "0") != 0;
        if (variable("LISTEN_PID") && text_to_u64(variable("LISTEN_PID"), &number) &&
                number == (uint64_t)getpid())
                out->names = variable("LISTEN_FDNAMES");
        if (pid && (!text_to_u64(pid, &number) || number != (uint64_t)getpid()))
                return;
        if (usec && text_to_u64(usec, &number) && number < (uint64_t)(INT64_MAX / NS_PER_US))
                out->watchdog_ns = (int64_t)number * NS_PER_US;
}

void manager_open(struct supervisor *supervisor) {
        const struct manager_settings *settings = &supervisor->settings->manager;
        struct manager *manager = &supervisor->manager;
        struct error error;

        manager->fd = -1;
        if (!settings->socket)
                return;
        if (notify_address_parse(settings->socket, &manager->address, &error) < 0) {
                error_wrap(&error, "the service manager is not told anything: NOTIFY_SOCKET");
                log_error(LOG_WARNING, &error);
                return;
        }
        manager->fd = notify_open();
        if (manager->fd < 0) {
                error_set(&error, errno, "the service manager is not told anything: socket");
                log_error(LOG_WARNING, &error);
                return;
        }
        manager->retry = (struct loop_timer){.on_due = retry_on_due, .owner = supervisor};
        manager->extend = (struct loop_timer){.on_due = extend_on_due, .owner = supervisor};
        manager->beat = (struct loop_timer){.on_due = beat_on_due, .owner = supervisor};
        manager_store_open(supervisor);
        if (settings->watchdog_ns > 0)
                beat_on_due(&manager->beat);
}

void manager_reload_asked(struct supervisor *supervisor) {
        struct manager *manager = &supervisor->manager;

        manager->is_reload_asked = true;
        manager->reload_ns = time_now_ns();
        manager->outcome[0] = '\0';
}

void manager_load_failed(struct supervisor *supervisor, const struct error *error) {
        snprintf(supervisor->manager.load_error, sizeof supervisor->manager.load_error, ": %.*s",
                (int)sizeof supervisor->manager.load_error - 3, error->text);
}

void manager_report(struct supervisor *supervisor, const struct fleet_action *action, const char *line) {
        struct manager *manager = &supervisor->manager;

        switch (action->report) {
        case FLEET_REPORT_LOAD_FAILED:
                snprintf(manager->outcome, sizeof manager->outcome, "%.240s%s", line, manager->load_error);
                manager->load_error[0] = '\0';
                return;
        case FLEET_REPORT_UNCHANGED:
        case FLEET_REPORT_REFUSED:
        case FLEET_REPORT_SUPERSEDED:
        case FLEET_REPORT_CANCELLED:
        case FLEET_REPORT_REVERTED:
        case FLEET_REPORT_HALTED:
        case FLEET_REPORT_NO_PREVIOUS:
        case FLEET_REPORT_GAVE_UP:
                snprintf(manager->outcome, sizeof manager->outcome, "%s", line);
                return;
        case FLEET_REPORT_STARTED:
        case FLEET_REPORT_ROLLOUT:
        case FLEET_REPORT_COMMITTED:
                manager->outcome[0] = '\0';
                return;
        case FLEET_REPORT_FAILED:
        case FLEET_REPORT_RETRY:
        case FLEET_REPORT_RESTORED:
        case FLEET_REPORT_RESUMED:
        case FLEET_REPORT_RESTART:
        case FLEET_REPORT_ENDED:
        case FLEET_REPORT_UNHEALTHY:
        case FLEET_REPORT_STOP_TIMEOUT:
        case FLEET_REPORT_STUCK:
        case FLEET_REPORT_STOPPING:
        case FLEET_REPORT_STOP_AGAIN:
        case FLEET_REPORT_READY:
        case FLEET_REPORT_AVAILABLE:
        case FLEET_REPORT_CANARY:
        case FLEET_REPORT_CANARY_PASSED:
        case FLEET_REPORT_DRAINED:
        case FLEET_REPORT_QUEUE_TIMEOUT:
        case FLEET_REPORT_STOPPED:
                return;
        }
}

/* More time than the unit says is asked for only where tacet itself has a limit: otherwise the unit's is the
 * only one. */
static void extend_begin(struct supervisor *supervisor, int64_t until_ns) {
        struct manager *manager = &supervisor->manager;

        manager->extend_until_ns = until_ns;
        if (manager->extend.is_set || time_now_ns() >= until_ns)
                return;
        manager->owed |= OWED_EXTEND;
        manager->extend_pause_ns = EXTEND_FIRST_NS;
        loop_timer_set(&supervisor->loop, &manager->extend, time_add(time_now_ns(), EXTEND_FIRST_NS));
}

static void extend_end(struct supervisor *supervisor) {
        supervisor->manager.owed &= ~(unsigned)OWED_EXTEND;
        loop_timer_clear(&supervisor->loop, &supervisor->manager.extend);
}

static int64_t change_limit_ns(const struct supervisor *supervisor) {
        int64_t ready_timeout_ns = supervisor->settings->fleet.ready_timeout_ns;

        return ready_timeout_ns == NS_FOREVER || ready_timeout_ns == 0 ? 0 : NS_FOREVER;
}

static int64_t stop_limit_ns(const struct supervisor *supervisor) {
        int64_t limit_ns = time_add(
                supervisor->settings->fleet.stop_timeout_ns, supervisor->settings->remaining_timeout_ns);

        return limit_ns == NS_FOREVER ? 0 : time_add(time_now_ns(), time_add(limit_ns, STOP_SLACK_NS));
}

static void say_stopping(struct supervisor *supervisor) {
        struct manager *manager = &supervisor->manager;

        manager->is_stopping = true;
        manager->owed &= ~(unsigned)(OWED_RELOADING | OWED_READY);
        manager->owed |= OWED_STOPPING;
        extend_end(supervisor);
        extend_begin(supervisor, stop_limit_ns(supervisor));
}

static void update_reload(struct supervisor *supervisor, bool is_busy) {
        struct manager *manager = &supervisor->manager;
        bool was_busy = manager->is_busy, is_asked = manager->is_reload_asked;

        if (is_busy && !was_busy && !is_asked)
                manager->reload_ns = time_now_ns();
        if (is_asked || (is_busy && !was_busy)) {
                manager->owed |= OWED_RELOADING;
                manager->owed &= ~(unsigned)OWED_READY;
        }
        if (is_busy) {
                extend_begin(supervisor, change_limit_ns(supervisor));
        } else if (was_busy || is_asked) {
                extend_end(supervisor);
                manager->owed |= OWED_READY;
        }
        manager->is_busy = is_busy;
}

/* What follows from the phase. */
static void update_state(struct supervisor *supervisor) {
        struct manager *manager = &supervisor->manager;
        struct fleet_view view;

        fleet_look(&supervisor->fleet, &view);
        if (view.phase == FLEET_PHASE_OVER || manager->is_stopping)
                return;
        if (view.phase == FLEET_PHASE_STOPPING) {
                say_stopping(supervisor);
        } else if (manager->is_ready) {
                update_reload(supervisor, view.is_loading || view.phase == FLEET_PHASE_ROLLING ||
                                                  view.phase == FLEET_PHASE_REVERTING);
        } else if (view.phase == FLEET_PHASE_IDLE || view.phase == FLEET_PHASE_ROLLING) {
                manager->is_ready = true;
                manager->owed |= OWED_READY;
                extend_end(supervisor);
        } else {
                extend_begin(supervisor, change_limit_ns(supervisor));
        }
        manager->is_reload_asked = false;
}

static void update_status(struct supervisor *supervisor) {
        struct manager *manager = &supervisor->manager;
        char status[MANAGER_STATUS_BYTES];

        manager_status_format(supervisor, status);
        if (strcmp(status, manager->status) == 0)
                return;
        snprintf(manager->status, sizeof manager->status, "%s", status);
        manager->owed |= OWED_STATUS;
}

void manager_update(struct supervisor *supervisor) {
        if (supervisor->manager.fd < 0)
                return;
        update_status(supervisor);
        update_state(supervisor);
        if (manager_store_has_changed(supervisor))
                supervisor->manager.owed |= OWED_STORE;
        if (supervisor->manager.owed && (supervisor->manager.tries == 0 || !supervisor->manager.retry.is_set))
                flush(supervisor);
}

void manager_ending(struct supervisor *supervisor) {
        if (supervisor->manager.fd < 0)
                return;
        update_status(supervisor);
        if (!supervisor->manager.is_stopping)
                say_stopping(supervisor);
        flush_last(supervisor);
}

void manager_close(struct supervisor *supervisor) {
        if (supervisor->manager.fd < 0)
                return;
        flush_last(supervisor);
        loop_timer_clear(&supervisor->loop, &supervisor->manager.beat);
        loop_timer_clear(&supervisor->loop, &supervisor->manager.extend);
        loop_timer_clear(&supervisor->loop, &supervisor->manager.retry);
        fd_cleanup(&supervisor->manager.fd);
}
