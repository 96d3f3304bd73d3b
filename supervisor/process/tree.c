/* The trees of processes that instances make: see tree.h.
 *
 * Called by instance/ in the supervisor. Nothing here waits: a timer looks again for the processes that an
 * instance left behind, as long as there are some. */

#include "supervisor/process/tree.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/process/cgroup.h"
#include "supervisor/process/descendants.h"

#define PAUSE_FIRST_NS (10 * NS_PER_MS)
#define PAUSE_MAX_NS   (5 * NS_PER_S)
#define KILL_TRIES     10 /* a process that survives them is in uninterruptible sleep */
#define REMOVE_TRIES   10 /* of a cgroup that has no process any more */

/* Not in struct trees: with other kill modes its pages are never touched. */
static struct tree_rest all_rests[FLEET_INSTANCES_MAX];

static const char *tree_name(uint64_t number, char out[static TREE_NAME_BYTES]) {
        snprintf(out, TREE_NAME_BYTES, "tacet.%d.%llu", (int)getpid(), (unsigned long long)number);
        return out;
}

void trees_open(struct trees *trees, struct loop *loop, struct instances *instances,
        const struct tree_settings *settings) {
        struct error error;

        trees->loop = loop;
        trees->instances = instances;
        trees->settings = *settings;
        trees->base_fd = -1;
        trees->rests = all_rests;
        if (!settings->is_on)
                return;
        trees->base_fd = cgroup_open_own(&error);
        if (trees->base_fd < 0)
                log_write(LOG_INFO, "kill_mode = tree goes by descent: %s", error.text);
}

int tree_prepare(const struct trees *trees, uint64_t number) {
        char name[TREE_NAME_BYTES];
        struct error error;
        int fd;

        if (trees->base_fd < 0)
                return 0;
        fd = cgroup_make(trees->base_fd, tree_name(number, name), &error);
        if (fd < 0)
                log_error(LOG_WARNING, &error);
        return fd < 0 ? 0 : fd;
}

void tree_dismiss(const struct trees *trees, uint64_t number) {
        char name[TREE_NAME_BYTES];

        if (trees->base_fd >= 0)
                (void)cgroup_remove(trees->base_fd, tree_name(number, name));
}

/* True when a later instance has the pid that instance `number` had. */
static bool pid_is_taken(const struct trees *trees, pid_t pid, uint64_t number) {
        const struct instance *other = instance_by_pid(trees->instances, pid);

        return other && other->number != number;
}

/* Signal the tree; 0 only counts. Returns how many processes there are, as far as can be seen. */
static long cgroup_tree_signal(const struct trees *trees, uint64_t number, int signal) {
        char name[TREE_NAME_BYTES];

        tree_name(number, name);
        if (signal)
                cgroup_signal(trees->base_fd, name, signal);
        return cgroup_is_populated(trees->base_fd, name);
}

static long descent_signal(const struct trees *trees, pid_t pid, uint64_t number, bool is_alive, int signal) {
        long found;

        if (pid_is_taken(trees, pid, number))
                return 0;
        found = descendants_signal_tree(pid, is_alive, signal);
        if (found < 0) /* no /proc: at least the process group */
                found = trees->settings.has_groups && kill(-pid, signal) == 0;
        return found;
}

void tree_kill(const struct trees *trees, const struct instance *instance) {
        if (!trees->settings.is_on)
                return;
        if (instance->has_cgroup)
                (void)cgroup_tree_signal(trees, instance->number, SIGKILL);
        else
                (void)descent_signal(trees, instance->pid, instance->number, true, SIGKILL);
}

static long rest_signal(const struct tree_rest *rest, int signal) {
        if (rest->has_cgroup)
                return cgroup_tree_signal(rest->trees, rest->number, signal);
        return descent_signal(rest->trees, rest->pid, rest->number, false, signal);
}

static bool rest_remove(const struct tree_rest *rest) {
        char name[TREE_NAME_BYTES];

        return !rest->has_cgroup || cgroup_remove(rest->trees->base_fd, tree_name(rest->number, name));
}

static void rest_forget(struct tree_rest *rest) {
        loop_timer_clear(rest->trees->loop, &rest->timer);
        rest->is_used = false;
}

static void rest_wait(struct tree_rest *rest, int64_t now_ns) {
        const int64_t next_ns = time_add(now_ns, rest->pause_ns);

        rest->pause_ns = rest->pause_ns * 2 < PAUSE_MAX_NS ? rest->pause_ns * 2 : PAUSE_MAX_NS;
        loop_timer_set(rest->trees->loop, &rest->timer,
                rest->kill_ns > now_ns && rest->kill_ns < next_ns ? rest->kill_ns : next_ns);
}

/* No process is left: remove the cgroup, and forget it. */
static void rest_end(struct tree_rest *rest, int64_t now_ns) {
        if (rest_remove(rest)) {
                rest_forget(rest);
        } else if (rest->removals++ == REMOVE_TRIES) {
                log_write(LOG_WARNING, "the cgroup tacet.%d.%llu cannot be removed: %s", (int)getpid(),
                        (unsigned long long)rest->number, strerror(errno));
                rest_forget(rest);
        } else {
                rest_wait(rest, now_ns);
        }
}

static void rest_log(const struct tree_rest *rest, enum log_level level, const char *what) {
        if (rest->trees->settings.has_replicas)
                log_write(level, "processes that replica %u left behind %s", rest->slot, what);
        else
                log_write(level, "processes that the app left behind %s", what);
}

static void rest_check(struct tree_rest *rest) {
        const int64_t now_ns = time_now_ns();

        if (rest_signal(rest, 0) <= 0) {
                rest_end(rest, now_ns);
                return;
        }
        if (!rest->was_told) {
                rest_log(rest, LOG_INFO, "are told to end");
                rest->was_told = true;
                rest->kill_ns = time_add(now_ns, rest->trees->settings.remaining_timeout_ns);
                (void)rest_signal(rest, SIGTERM);
                (void)rest_signal(rest, SIGCONT);
        } else if (now_ns >= rest->kill_ns) {
                if (rest->kills == KILL_TRIES) {
                        rest_log(rest, LOG_ERROR, "do not die of SIGKILL");
                        rest_forget(rest);
                        return;
                }
                if (rest->kills++ == 0) {
                        rest_log(rest, LOG_WARNING, "did not end: killing them");
                        rest->pause_ns = PAUSE_FIRST_NS;
                }
                (void)rest_signal(rest, SIGKILL);
        }
        rest_wait(rest, now_ns);
}

static void rest_on_due(struct loop_timer *timer) {
        rest_check(timer->owner);
}

void tree_ended(struct trees *trees, const struct instance *instance) {
        struct tree_rest *rest = NULL;

        if (!trees->settings.is_on)
                return;
        for (size_t i = 0; !rest && i < FLEET_INSTANCES_MAX; i++)
                if (!trees->rests[i].is_used)
                        rest = &trees->rests[i];
        if (!rest) { /* the table is full: no time for SIGTERM */
                tree_kill(trees, instance);
                return;
        }
        *rest = (struct tree_rest){
                .is_used = true,
                .trees = trees,
                .has_cgroup = instance->has_cgroup,
                .pid = instance->pid,
                .number = instance->number,
                .slot = instance->slot,
                .pause_ns = PAUSE_FIRST_NS,
                .timer = {.on_due = rest_on_due, .owner = rest},
        };
        rest_check(rest);
}

void trees_close(struct trees *trees) {
        if (!trees->settings.is_on)
                return;
        for (size_t i = 0; i < FLEET_INSTANCES_MAX; i++)
                if (trees->rests[i].is_used && !rest_remove(&trees->rests[i]))
                        log_write(LOG_DEBUG, "a cgroup is still in use");
}
