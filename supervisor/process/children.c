/* Reaping. The only waitpid(2) of the supervisor: two reapers would steal each other's statuses.
 *
 * SIGCHLD coalesces and comes for stopped children and from kill(1) as well, so it only means "look": the
 * loop goes on until the kernel has nothing more to say (signal(7), waitpid(2)). */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "supervisor/state.h"

#define REAPED_PER_TURN 2048 /* then signals and deadlines get their turn */

/* The app was stopped. One that is to end goes on at once: its stop signal waits for that. Stopped from its
 * terminal (Ctrl-Z, or reading in the background) it takes us along, so that the shell above takes the
 * terminal and shows a stopped job; when the shell lets us go on, the app goes on. */
static void app_stopped(struct supervisor *supervisor, struct app *app, int number) {
        bool is_job_control = number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;

        app->is_stopped = true;
        if (app->is_ending) {
                app_signal(supervisor, app, SIGCONT, NULL);
                return;
        }
        if (!is_job_control || supervisor->terminal.fd < 0 ||
                supervisor->settings->launch.session != LAUNCH_OWN_GROUP)
                return;
        terminal_take_back(&supervisor->terminal, app->pid);
        terminal_suspend_self();
        terminal_give(&supervisor->terminal, app->pid);
        (void)kill(-app->pid, SIGCONT);
}

static void child_changed(struct supervisor *supervisor, pid_t pid, int wait_status) {
        struct app *app = app_by_pid(supervisor, pid);

        if (WIFSTOPPED(wait_status) || WIFCONTINUED(wait_status)) {
                if (app && WIFSTOPPED(wait_status))
                        app_stopped(supervisor, app, WSTOPSIG(wait_status));
                else if (app)
                        app->is_stopped = false;
                return;
        }
        if (app)
                app_ended(supervisor, app, wait_status);
        else if (pid == supervisor->load.pid)
                supervisor->load.pid = 0; /* reaped: the number is no longer the loader's */
        else if (health_reaped(supervisor, pid, wait_status) || errand_reaped(supervisor, pid))
                return;
        else
                log_write(supervisor->settings->reports_reaped ? LOG_WARNING : LOG_DEBUG,
                        "Reaped zombie process with pid=%d", (int)pid);
}

void children_reap(struct supervisor *supervisor) {
        supervisor->is_reaping_due = false;
        for (int turn = 0; turn < REAPED_PER_TURN; turn++) {
                int wait_status;
                pid_t pid = waitpid(-1, &wait_status, WNOHANG | WUNTRACED | WCONTINUED);

                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid <= 0) {
                        supervisor->has_no_children = pid < 0;
                        return;
                }
                child_changed(supervisor, pid, wait_status);
        }
        supervisor->is_reaping_due = true;
}
