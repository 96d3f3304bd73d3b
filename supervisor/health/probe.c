/* One health check: see probe.h. Runs in the supervisor.
 *
 * TCP needs no child: nothing is read. The kernel completes a connection before the app accepts it, so the
 * check goes on until it has left the accept queue. HTTP forks a child that reads the answer (http_child.c).
 * EXEC goes through the shim, as the app does, with the app's user, directory, limits and settings, without
 * its secrets. A child whose time is over is killed with its group; until it is reaped no other check of that
 * instance begins. */

#include "supervisor/health/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/signals.h"
#include "supervisor/health/health.h"

#define ACCEPT_PAUSE_NS     (2 * NS_PER_MS)
#define ACCEPT_PAUSE_NS_MAX (50 * NS_PER_MS)

/* Close the descriptors of the check, the connection in order. */
static void descriptors_release(struct health_watch *watch) {
        struct health *health = watch->health;
        struct probe *probe = &watch->probe;

        leaving_begin(&health->leaving, health->rooms.loop, fd_take(&probe->connection));
        fd_cleanup(&probe->fd);
}

/* End the check with its answer. A child that is not reaped yet keeps it running. */
static void probe_finish(struct health_watch *watch, bool is_well, const char *reason) {
        struct probe *probe = &watch->probe;

        loop_timer_clear(watch->health->rooms.loop, &probe->timer);
        descriptors_release(watch);
        if (probe->child.pid == 0)
                probe->is_running = false;
        probe->on_done(watch, is_well, reason);
}

static void child_kill(const struct probe *probe) {
        if (probe->child.pid == 0)
                return;
        if (probe->has_group)
                (void)kill(-probe->child.pid, SIGKILL);
        (void)kill(probe->child.pid, SIGKILL);
}

static void probe_finish_late(struct health_watch *watch) {
        struct probe *probe = &watch->probe;
        char reason[PROBE_REASON_BYTES], duration[32];

        snprintf(reason, sizeof reason, "no answer within %s",
                duration_format(probe->settings->timeout_ns, duration));
        child_kill(probe);
        probe->is_late = true;
        probe_finish(watch, false, reason);
}

static void child_on_due(struct loop_timer *timer) {
        probe_finish_late(timer->owner);
}

/* ---- TCP ---- */

/* The number of connections in the accept queues that this check's connection may be in. */
static long queue_length(const struct health_watch *watch, const char *name) {
        const struct seat seat = instance_seat(watch->instance);
        struct listener_view view;
        long sum = 0;

        for (size_t i = 0; listeners_look(watch->health->rooms.listeners, i, &view); i++) {
                if (name && strcmp(view.name, name) != 0)
                        continue;
                for (size_t k = 0; k < view.member_count; k++)
                        if (view.members[k].waiting > 0 &&
                                (view.why_shared || seat_is(&view.members[k].seat, &seat)))
                                sum += view.members[k].waiting;
        }
        return sum;
}

/* Was a connection accepted? Then the queue is empty, or shorter than before (clients may wait in it,
 * too). */
static bool queue_has_moved(struct health_watch *watch) {
        struct probe *probe = &watch->probe;
        long before = probe->waiting, now = queue_length(watch, probe->settings->listener);

        probe->waiting = now;
        return now == 0 || (before > 0 && now < before);
}

static void accept_on_due(struct loop_timer *timer) {
        struct health_watch *watch = timer->owner;
        struct probe *probe = &watch->probe;
        char reason[PROBE_REASON_BYTES];
        int state = probe_connection_state(probe->connection);

        if (state < 0) {
                snprintf(reason, sizeof reason, "no connection: %s", strerror(errno));
                probe_finish(watch, false, reason);
                return;
        }
        /* Only in the turn after it is connected: until then it may be on its way into the queue. */
        if (state > 0 && (probe->waiting == -2 || (probe->is_connected && queue_has_moved(watch)))) {
                probe_finish(watch, true, "connection taken");
                return;
        }
        probe->is_connected = state > 0;
        if (time_now_ns() >= probe->deadline_ns) {
                probe_finish_late(watch);
                return;
        }
        probe->pause_ns =
                probe->pause_ns * 2 > ACCEPT_PAUSE_NS_MAX ? ACCEPT_PAUSE_NS_MAX : probe->pause_ns * 2;
        loop_timer_set(watch->health->rooms.loop, timer, time_now_ns() + probe->pause_ns);
}

static void tcp_begin(struct health_watch *watch, bool counts) {
        struct probe *probe = &watch->probe;

        probe->waiting = counts ? -1 : -2;
        probe->pause_ns = ACCEPT_PAUSE_NS;
        probe->timer.on_due = accept_on_due;
        loop_timer_set(watch->health->rooms.loop, &probe->timer, time_now_ns() + ACCEPT_PAUSE_NS);
}

/* ---- HTTP ---- */

static int http_begin(struct probe *probe, pid_t *out_pid, struct error *error) {
        CLEANUP_FD int reader = -1;
        CLEANUP_FD int writer = -1;
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_set(error, errno, "no pipe for the check");
        reader = ends[0];
        writer = ends[1];
        pid = fork();
        if (pid == 0)
                probe_child_http(probe->connection, writer, probe->settings->request, probe->deadline_ns);
        if (pid < 0)
                return error_set(error, errno, "no process for the check");
        *out_pid = pid;
        probe->fd = fd_take(&reader);
        return 0;
}

static bool status_is_wanted(const struct probe_settings *settings, int32_t status) {
        for (size_t i = 0; i < settings->status_count; i++)
                if (status >= settings->statuses[i].first && status <= settings->statuses[i].last)
                        return true;
        return false;
}

static bool http_end(struct probe *probe, char reason[static PROBE_REASON_BYTES]) {
        struct probe_answer answer = {.kind = PROBE_ANSWER_NONE};

        if (read(probe->fd, &answer, sizeof answer) != sizeof answer)
                answer = (struct probe_answer){.kind = PROBE_ANSWER_NONE};
        switch ((enum probe_answer_kind)answer.kind) {
        case PROBE_ANSWER_NO_CONNECT:
                snprintf(reason, PROBE_REASON_BYTES, "no connection: %s", strerror(answer.code));
                return false;
        case PROBE_ANSWER_BROKEN:
                snprintf(reason, PROBE_REASON_BYTES, "connection closed without an answer%s%s",
                        answer.code ? ": " : "", answer.code ? strerror(answer.code) : "");
                return false;
        case PROBE_ANSWER_NO_HTTP:
                snprintf(reason, PROBE_REASON_BYTES, "the answer is not HTTP/1");
                return false;
        case PROBE_ANSWER_STATUS:
                snprintf(reason, PROBE_REASON_BYTES, "HTTP status %d", answer.code);
                return status_is_wanted(probe->settings, answer.code);
        case PROBE_ANSWER_NONE:
                break;
        }
        snprintf(reason, PROBE_REASON_BYTES, "the check's own process was ended");
        return false;
}

/* ---- EXEC ---- */

static int exec_begin(struct health_watch *watch, pid_t *out_pid, struct error *error) {
        struct launch_spec spec = *watch->health->rooms.launch;
        const struct instance *instance = watch->instance;
        struct probe *probe = &watch->probe;
        struct launch_process process;
        char pid[48], generation[48], replica[48];
        char *variables[] = {pid, generation, replica, NULL};

        snprintf(pid, sizeof pid, "TACET_INSTANCE_PID=%d", (int)instance->pid);
        snprintf(generation, sizeof generation, "TACET_GENERATION=%llu",
                (unsigned long long)instance->generation);
        snprintf(replica, sizeof replica, "TACET_REPLICA=%u", instance->slot);
        spec.argv = probe->settings->argv;
        spec.secrets = NULL;
        spec.terminal = -1;
        spec.adopt_fd = -1;
        spec.listen_count = 0;
        spec.descriptor_count = 0;
        spec.variables = variables;
        spec.hides_input = true;
        spec.session = LAUNCH_OWN_GROUP;
        spec.parent_death_signal = SIGKILL;
        spec.suspends_parent = false;
        if (launch_start(&spec, &process, error) < 0)
                return -1;
        *out_pid = process.pid;
        probe->has_group = true;
        probe->fd = process.status_fd;
        return 0;
}

static bool exec_end(struct health_watch *watch, int wait_status, char reason[static PROBE_REASON_BYTES]) {
        struct launch_spec spec = *watch->health->rooms.launch;
        const struct probe *probe = &watch->probe;
        struct launch_message message;
        char name[SIGNAL_NAME_BYTES];
        struct error error;

        while (launch_read(probe->fd, &message) == 0) {
                if (message.kind != LAUNCH_FAILED)
                        continue;
                spec.argv = probe->settings->argv;
                launch_failure_describe(&message, &spec, &error);
                snprintf(reason, PROBE_REASON_BYTES, "%.*s", PROBE_REASON_BYTES - 1, error.text);
                return false;
        }
        if (WIFSIGNALED(wait_status))
                snprintf(reason, PROBE_REASON_BYTES, "the command was killed by SIG%s",
                        signal_name(WTERMSIG(wait_status), name));
        else
                snprintf(reason, PROBE_REASON_BYTES, "the command ended with status %d",
                        WEXITSTATUS(wait_status));
        return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

/* ---- all ---- */

static void child_on_ended(struct child *child, int wait_status) {
        struct health_watch *watch = child->owner;
        struct probe *probe = &watch->probe;
        char reason[PROBE_REASON_BYTES];
        bool is_well;

        if (probe->is_late) {
                probe->is_running = false;
                return;
        }
        is_well = probe->settings->kind == PROBE_EXEC ? exec_end(watch, wait_status, reason)
                                                      : http_end(probe, reason);
        probe_finish(watch, is_well, reason);
}

static int child_begin(struct health_watch *watch, struct error *error) {
        struct probe *probe = &watch->probe;
        pid_t pid;
        int result = probe->settings->kind == PROBE_EXEC ? exec_begin(watch, &pid, error)
                                                         : http_begin(probe, &pid, error);

        if (result < 0)
                return -1;
        probe->child.on_ended = child_on_ended;
        probe->child.owner = watch;
        children_add(watch->health->rooms.children, &probe->child, pid);
        probe->timer.on_due = child_on_due;
        loop_timer_set(watch->health->rooms.loop, &probe->timer, probe->deadline_ns);
        return 0;
}

int probe_start(struct health_watch *watch, const struct probe_settings *settings, probe_handler *on_done,
        struct error *error) {
        struct probe *probe = &watch->probe;
        bool counts = false;
        int result = 0;

        if (probe->is_running)
                return PROBE_LATER;
        *probe = (struct probe){
                .connection = -1,
                .fd = -1,
                .settings = settings,
                .on_done = on_done,
                .deadline_ns = time_add(time_now_ns(), settings->timeout_ns),
                .timer = {.owner = watch},
        };
        if (settings->kind != PROBE_EXEC)
                result = probe_reach(watch, settings, &probe->connection, &counts, error);
        if (result != 0)
                return result;
        if (settings->kind == PROBE_TCP)
                tcp_begin(watch, counts);
        else
                result = child_begin(watch, error);
        probe->is_running = result == 0;
        if (result < 0)
                descriptors_release(watch);
        return result;
}

void probe_end(struct health_watch *watch) {
        struct probe *probe = &watch->probe;

        if (!probe->is_running)
                return;
        child_kill(probe);
        children_remove(watch->health->rooms.children, &probe->child);
        loop_timer_clear(watch->health->rooms.loop, &probe->timer);
        descriptors_release(watch);
        *probe = (struct probe){.connection = -1, .fd = -1};
}
