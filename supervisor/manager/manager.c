/* Toward the service manager: see manager.h.
 *
 * Runs in the supervisor. What has to be sent is kept as bits, not as a queue of messages: so a manager that
 * is slow for a while gets the newest state, in the order that counts (RELOADING=1 before READY=1 before the
 * rest), and nothing grows. READY=1 and MAINPID= of apps are not passed on: they end at our notify socket
 * (notify.h). */

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

enum {
        OWED_RELOADING = 1,
        OWED_READY = 2,
        OWED_STOPPING = 4,
        OWED_STATUS = 8,
        OWED_EXTEND = 16,
        OWED_BEAT = 32,
        OWED_STORE = 64,
};

/* How much time is asked for; half of it later it is asked for again. At the beginning sooner: systemd arms a
 * timer of its own when the process of `ExecReload=` ends, and forgets what was asked for before. */
#define EXTEND_NS       (20 * NS_PER_S)
#define EXTEND_FIRST_NS (125 * NS_PER_MS)
#define STATUS_PAUSE_NS (200 * NS_PER_MS)
#define RETRY_FIRST_NS  (50 * NS_PER_MS)
#define RETRY_MAX_NS    (5 * NS_PER_S)
#define RETRY_ROW_MAX   16 /* then what is owed is given up, unless only the manager's queue is full */
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

/* Which parts go into the next message. Descriptors have messages of their own, after all others. READY=1 and
 * RELOADING=1 need two messages, for in one READY=1 wins; more time is never asked for with or after READY=1,
 * where it would move a deadline of the running service. */
static unsigned parts_next(unsigned owed) {
        if (owed & OWED_RELOADING)
                return owed & ~(unsigned)(OWED_READY | OWED_STORE);
        return owed == OWED_STORE ? owed : owed & ~(unsigned)OWED_STORE;
}

/* Send at `time_ns`: when the manager's queue was full or it could not be reached, or when STATUS= alone
 * waits. */
static void owed_send_later(struct manager *manager, int64_t time_ns) {
        loop_timer_set(manager->rooms.loop, &manager->retry, time_ns);
}

static int64_t retry_delay_ns(unsigned tries) {
        int64_t delay_ns = RETRY_FIRST_NS;

        while (tries-- > 1 && delay_ns < RETRY_MAX_NS)
                delay_ns *= 2;
        return delay_ns < RETRY_MAX_NS ? delay_ns : RETRY_MAX_NS;
}

static void send_failed(struct manager *manager, const struct error *error) {

        if (error && manager->tries == 0)
                log_error(LOG_WARNING, error);
        if (manager->tries < RETRY_ROW_MAX)
                manager->tries++;
        else if (error)
                manager->owed = 0;
        if (manager->owed)
                owed_send_later(manager, time_add(time_now_ns(), retry_delay_ns(manager->tries)));
}

static int parts_send(struct manager *manager, unsigned parts, struct error *error) {
        char message[MESSAGE_BYTES];
        int length;

        if (parts == OWED_STORE)
                return manager_store_say(manager, error);
        length = message_format(manager, parts, message);
        return notify_send(manager->fd, &manager->address, message, (size_t)length - 1, -1, error);
}

static void owed_send(struct manager *manager) {
        struct error error;

        if (manager->owed == OWED_STATUS && time_now_ns() < manager->status_earliest_ns) {
                owed_send_later(manager, manager->status_earliest_ns);
                return;
        }
        while (manager->owed) {
                unsigned parts = parts_next(manager->owed);
                int result = parts_send(manager, parts, &error);

                if (result != 0) {
                        send_failed(manager, result < 0 ? &error : NULL);
                        return;
                }
                manager->owed &= ~parts;
                manager->tries = 0;
                manager->status_earliest_ns = time_add(time_now_ns(), STATUS_PAUSE_NS);
        }
        loop_timer_clear(manager->rooms.loop, &manager->retry);
}

/* Send what is owed without waiting until STATUS= may be sent again: this is the last chance. */
static void owed_send_last(struct manager *manager) {
        manager->status_earliest_ns = 0;
        owed_send(manager);
}

static void retry_on_due(struct loop_timer *timer) {
        owed_send(timer->owner);
}

/* WATCHDOG=1 comes from a timer of the loop: when the loop hangs, it stops. */
static void beat_on_due(struct loop_timer *timer) {
        struct manager *manager = timer->owner;

        manager->owed |= OWED_BEAT;
        owed_send(manager);
        loop_timer_set(
                manager->rooms.loop, timer, time_add(time_now_ns(), manager->settings->watchdog_ns / 2));
}

static void extend_on_due(struct loop_timer *timer) {
        struct manager *manager = timer->owner;
        int64_t now_ns = time_now_ns();

        if (now_ns >= manager->extend_until_ns)
                return;
        manager->owed |= OWED_EXTEND;
        owed_send(manager);
        manager->extend_pause_ns *= 2;
        if (manager->extend_pause_ns > EXTEND_NS / 2)
                manager->extend_pause_ns = EXTEND_NS / 2;
        loop_timer_set(manager->rooms.loop, timer, time_add(now_ns, manager->extend_pause_ns));
}

static const char *variable_get(const char *name) {
        const char *value = getenv(name);

        return value && value[0] ? value : NULL;
}

void manager_settings_read(struct manager_settings *out) {
        const char *usec = variable_get("WATCHDOG_USEC"), *pid = variable_get("WATCHDOG_PID");
        uint64_t number;

        *out = (struct manager_settings){.socket = variable_get("NOTIFY_SOCKET"), .stores = true};
        if (variable_get("FDSTORE"))
                out->stores = strcmp(variable_get("FDSTORE"), "0") != 0;
        if (variable_get("LISTEN_PID") && text_to_u64(variable_get("LISTEN_PID"), &number) &&
                number == (uint64_t)getpid())
                out->names = variable_get("LISTEN_FDNAMES");
        if (pid && (!text_to_u64(pid, &number) || number != (uint64_t)getpid()))
                return;
        if (usec && text_to_u64(usec, &number) && number < (uint64_t)(INT64_MAX / NS_PER_US))
                out->watchdog_ns = (int64_t)number * NS_PER_US;
}

void manager_open(struct manager *manager, const struct manager_rooms *rooms,
        const struct manager_settings *settings, const struct manager_service *service) {
        struct error error;

        manager->settings = settings;
        manager->rooms = *rooms;
        manager->service = *service;
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
        manager->retry = (struct loop_timer){.on_due = retry_on_due, .owner = manager};
        manager->extend = (struct loop_timer){.on_due = extend_on_due, .owner = manager};
        manager->beat = (struct loop_timer){.on_due = beat_on_due, .owner = manager};
        manager_store_open(manager);
        if (settings->watchdog_ns > 0)
                beat_on_due(&manager->beat);
}

void manager_reload_asked(struct manager *manager) {

        manager->is_reload_asked = true;
        manager->reload_ns = time_now_ns();
        manager->outcome[0] = '\0';
}

void manager_report(struct manager *manager, const struct fleet_action *action, const char *line,
        const char *load_error) {

        switch (action->report) {
        case FLEET_REPORT_LOAD_FAILED:
                snprintf(manager->outcome, sizeof manager->outcome, "%.240s%s%.240s", line,
                        *load_error ? ": " : "", load_error);
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
        case FLEET_REPORT_LOAD_CANCELLED:
        case FLEET_REPORT_EMPTIED:
        case FLEET_REPORT_QUEUE_TIMEOUT:
        case FLEET_REPORT_DRAINED:
        case FLEET_REPORT_DRAIN_TIMEOUT:
        case FLEET_REPORT_STOPPED:
                return;
        }
}

/* Ask for more time than the unit gives only where tacet itself has a limit: otherwise the unit's counts. */
static void extend_begin(struct manager *manager, int64_t until_ns) {

        manager->extend_until_ns = until_ns;
        if (manager->extend.is_set || time_now_ns() >= until_ns)
                return;
        manager->owed |= OWED_EXTEND;
        manager->extend_pause_ns = EXTEND_FIRST_NS;
        loop_timer_set(manager->rooms.loop, &manager->extend, time_add(time_now_ns(), EXTEND_FIRST_NS));
}

static void extend_end(struct manager *manager) {
        manager->owed &= ~(unsigned)OWED_EXTEND;
        loop_timer_clear(manager->rooms.loop, &manager->extend);
}

static int64_t change_limit_ns(const struct manager *manager) {
        int64_t ready_timeout_ns = manager->rooms.fleet->settings.ready_timeout_ns;

        return ready_timeout_ns == NS_FOREVER || ready_timeout_ns == 0 ? 0 : NS_FOREVER;
}

static int64_t stop_limit_ns(const struct manager *manager) {
        int64_t limit_ns = time_add(
                manager->rooms.fleet->settings.stop_timeout_ns, manager->service.remaining_timeout_ns);

        return limit_ns == NS_FOREVER ? 0 : time_add(time_now_ns(), time_add(limit_ns, STOP_SLACK_NS));
}

static void stopping_owe(struct manager *manager) {

        manager->is_stopping = true;
        manager->owed &= ~(unsigned)(OWED_RELOADING | OWED_READY);
        manager->owed |= OWED_STOPPING;
        extend_end(manager);
        extend_begin(manager, stop_limit_ns(manager));
}

static void reload_update(struct manager *manager, bool is_busy) {
        bool was_busy = manager->is_busy, is_asked = manager->is_reload_asked;

        if (is_busy && !was_busy && !is_asked)
                manager->reload_ns = time_now_ns();
        if (is_asked || (is_busy && !was_busy)) {
                manager->owed |= OWED_RELOADING;
                manager->owed &= ~(unsigned)OWED_READY;
        }
        if (is_busy) {
                extend_begin(manager, change_limit_ns(manager));
        } else if (was_busy || is_asked) {
                extend_end(manager);
                manager->owed |= OWED_READY;
        }
        manager->is_busy = is_busy;
}

/* Note what is owed for the fleet's present phase. */
static void state_update(struct manager *manager) {
        struct fleet_view view;

        fleet_look(manager->rooms.fleet, &view);
        if (view.phase == FLEET_PHASE_OVER || manager->is_stopping)
                return;
        if (view.phase == FLEET_PHASE_STOPPING) {
                stopping_owe(manager);
        } else if (manager->is_ready) {
                reload_update(manager, view.is_loading || view.phase == FLEET_PHASE_ROLLING ||
                                               view.phase == FLEET_PHASE_REVERTING);
        } else if (view.phase == FLEET_PHASE_IDLE || view.phase == FLEET_PHASE_ROLLING) {
                manager->is_ready = true;
                manager->owed |= OWED_READY;
                extend_end(manager);
        } else {
                extend_begin(manager, change_limit_ns(manager));
        }
        manager->is_reload_asked = false;
}

static void status_update(struct manager *manager) {
        char status[MANAGER_STATUS_BYTES];

        manager_status_format(manager, status);
        if (strcmp(status, manager->status) == 0)
                return;
        snprintf(manager->status, sizeof manager->status, "%s", status);
        manager->owed |= OWED_STATUS;
}

void manager_update(struct manager *manager) {
        if (manager->fd < 0)
                return;
        status_update(manager);
        state_update(manager);
        if (manager_store_has_changed(manager))
                manager->owed |= OWED_STORE;
        if (manager->owed && (manager->tries == 0 || !manager->retry.is_set))
                owed_send(manager);
}

void manager_ending(struct manager *manager, int exit_status) {
        manager->exit_status = exit_status;
        if (manager->fd < 0)
                return;
        status_update(manager);
        if (!manager->is_stopping)
                stopping_owe(manager);
        owed_send_last(manager);
}

void manager_close(struct manager *manager) {
        if (manager->fd < 0)
                return;
        owed_send_last(manager);
        loop_timer_clear(manager->rooms.loop, &manager->beat);
        loop_timer_clear(manager->rooms.loop, &manager->extend);
        loop_timer_clear(manager->rooms.loop, &manager->retry);
        fd_cleanup(&manager->fd);
}
