/* After the app's end, called by run.c: processes that it left behind get TERM and CONT, time to end, then
 * KILL.
 *
 * When PID 1 of a container exits, the kernel kills the rest of the namespace at once (pid_namespaces(7)):
 * only here can they end in order. kill(-1) is used only as PID 1: elsewhere it would reach processes that
 * are none of ours. */

#include <signal.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/control/server.h"
#include "supervisor/process/descendants.h"
#include "supervisor/state.h"

#define KILL_AGAIN_NS (100 * NS_PER_MS) /* a process may fork while it is being killed: kill again */
#define KILL_TRIES    20                /* a process that survives them is in uninterruptible sleep */

static void groups_signal(const struct supervisor *supervisor, int number) {
        for (size_t i = 0; i < FLEET_REPLICAS_MAX; i++)
                if (supervisor->launcher.last_groups[i] > 0)
                        (void)kill(-supervisor->launcher.last_groups[i], number);
}

static void remaining_signal(const struct supervisor *supervisor, int number) {
        if (getpid() == 1)
                (void)kill(-1, number);
        else if (!descendants_signal(number))
                groups_signal(supervisor, number);
}

/* Turn the loop until no child is left, the deadline has passed, or (`until_told`) a stop signal comes. */
static void remaining_wait(struct supervisor *supervisor, int64_t deadline_ns, bool until_told) {
        children_reap(&supervisor->children);
        while (!supervisor->children.has_none && time_now_ns() < deadline_ns &&
                !(until_told && supervisor->is_told_to_stop)) {
                loop_wait(&supervisor->loop, supervisor->children.is_due ? 0 : deadline_ns);
                facts_forget(&supervisor->facts); /* the fleet is over */
                while (control_serve())
                        facts_forget(&supervisor->facts);
                children_reap(&supervisor->children);
        }
}

/* exit_when = all. With secrets it is worth knowing that this was their last generation. */
static void all_wait(struct supervisor *supervisor) {
        children_reap(&supervisor->children);
        if (supervisor->children.has_none)
                return;
        log_write(supervisor->settings->load ? LOG_NOTICE : LOG_INFO,
                "the app's main process has ended; what it started goes on, and cannot be rotated: "
                "tacet waits for its end (exit_when = all)");
        remaining_wait(supervisor, NS_FOREVER, true);
}

void remaining_end(struct supervisor *supervisor) {
        const struct supervisor_settings *settings = supervisor->settings;

        supervisor->is_told_to_stop = false;
        if (settings->ends_group)
                groups_signal(supervisor, SIGTERM);
        if (settings->waits_for_all)
                all_wait(supervisor);
        control_close();
        manager_ending(&supervisor->manager, supervisor->exit_status);
        children_reap(&supervisor->children);
        if (supervisor->children.has_none)
                return;
        log_write(LOG_INFO, "the app has ended; ending what it left behind");
        remaining_signal(supervisor, SIGTERM);
        remaining_signal(supervisor, SIGCONT);
        supervisor->is_told_to_stop = false;
        remaining_wait(supervisor, time_add(time_now_ns(), settings->remaining_timeout_ns), true);
        for (int try = 0; try < KILL_TRIES && !supervisor->children.has_none; try++) {
                if (try == 0)
                        log_write(
                                LOG_WARNING, "processes that the app left behind did not end: killing them");
                remaining_signal(supervisor, SIGKILL);
                remaining_wait(supervisor, time_add(time_now_ns(), KILL_AGAIN_NS), false);
        }
}
