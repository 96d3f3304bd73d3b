/* The trees of processes that instances make: see tree.h.
 *
 * Called by instance/ in the supervisor. Nothing here waits: what is left of an instance is looked
 * at again by a timer, which runs only as long as something is left. The other instances go on meanwhile. */

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

#define PAUSE_FIRST_NS   (10 * NS_PER_MS)
#define PAUSE_MAX_NS     (5 * NS_PER_S)
#define PAUSE_AWAITED_NS (100 * NS_PER_MS) /* a successor waits */
#define KILL_TRIES       10                /* what does not die of this sits in the kernel */
#define REMOVE_TRIES     10                /* of a cgroup in which nobody is */

/* Apart from the supervisor's other tables: most have no use for it. */
#define SWEEP_PLACE FLEET_INSTANCES_MAX /* of the one that no instance has left */
#define PID_NONE    (-1)                /* no process's, group's or session's */
static struct tree_rest all_rests[TREE_RESTS_MAX];

static const char *tree_name(uint64_t number, char out[static TREE_NAME_BYTES]) {
        snprintf(out, TREE_NAME_BYTES, "tacet.%d.%llu", (int)getpid(), (unsigned long long)number);
        return out;
}

void trees_open(struct trees *trees, const struct tree_rooms *rooms, const struct tree_settings *settings) {
        struct error error;

        trees->rooms = *rooms;
        trees->settings = *settings;
        trees->base_fd = -1;
        trees->rests = all_rests;
        trees->ended = 0;
        trees->ended_for = 0;
        if (!settings->kills)
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

/* ---- whose a process is ---- */

static bool is_of_another(const struct tree_rest *rest, const struct instance *other, pid_t leader) {
        return other->number != rest->number && other->pid == leader;
}

/* Has an instance that lives, or another one's rest, the process's group or session? */
static bool is_marked_of_another(const struct tree_rest *rest, const struct descendant_orphan *orphan) {
        const struct trees *trees = rest->trees;

        for (struct instance *other = instance_from(trees->rooms.instances, 0); other;
                other = instance_from(trees->rooms.instances, instance_place(other) + 1))
                if (is_of_another(rest, other, orphan->group) || is_of_another(rest, other, orphan->session))
                        return true;
        for (size_t i = 0; i < FLEET_INSTANCES_MAX; i++) {
                const struct tree_rest *other = &trees->rests[i];

                if (other->is_used && other != rest &&
                        (other->pid == orphan->group || other->pid == orphan->session))
                        return true;
        }
        return false;
}

static bool is_sweep(const struct tree_rest *rest) {
        return rest == &rest->trees->rests[SWEEP_PLACE];
}

/* Can an instance that lives have started it? In an emergency only one of the new generation counts: what the
 * older ones started has the old values. */
static bool may_be_of_another(const struct tree_rest *rest, const struct descendant_orphan *orphan) {
        struct instances *instances = rest->trees->rooms.instances;
        struct fleet_view view;

        fleet_look(rest->trees->rooms.fleet, &view);
        for (struct instance *other = instance_from(instances, 0); other;
                other = instance_from(instances, instance_place(other) + 1))
                if (other->number != rest->number && other->started_ticks <= orphan->started_ticks &&
                        (!rest->is_of_emergency || (is_sweep(rest) ? other->generation >= rest->generation
                                                                   : other->generation == view.target)))
                        return true;
        return false;
}

/* An orphan that has left session and group: it is this instance's when nobody else's. */
static bool rest_claims(const void *owner, const struct descendant_orphan *orphan) {
        const struct tree_rest *rest = owner;

        return !children_have(rest->trees->rooms.children, orphan->pid) &&
               (rest->is_of_emergency || orphan->started_ticks >= rest->started_ticks) &&
               !is_marked_of_another(rest, orphan) && !may_be_of_another(rest, orphan);
}

/* What is looked for in what an instance left behind: see tree_is_detached(). */
struct detachment {
        struct tree_rest rest;
        bool is_found;
};

static bool detachment_look(const void *owner, const struct descendant_orphan *orphan) {
        struct detachment *detachment = (void *)(uintptr_t)owner; // NOLINT: made by tree_is_detached()

        if (!rest_claims(&detachment->rest, orphan))
                return false;
        detachment->is_found |= orphan->session != getsid(0);
        return true;
}

bool tree_is_detached(const struct trees *trees, const struct instance *instance, bool is_daemon) {
        struct detachment detachment = {
                .rest = {.trees = (struct trees *)(uintptr_t)trees, // NOLINT: only read
                        .pid = instance->pid,
                        .number = instance->number,
                        .started_ticks = instance->started_ticks}};
        const struct descendant_tree tree = {
                .root = instance->pid, .claim = detachment_look, .owner = &detachment};

        if (children_are_none())
                return false; /* nearly always, and it saves the walk through /proc */
        /* A daemon's second fork(2) may fall into the first look: who has forked is a zombie then, and the
         * child was not there yet. */
        if (descendants_signal_tree(&tree, 0) <= 0 && (!is_daemon || descendants_signal_tree(&tree, 0) <= 0))
                return false;
        return is_daemon || detachment.is_found;
}

/* Is the number that the instance had another one's by now? */
static bool pid_is_taken(const struct trees *trees, pid_t pid, uint64_t number) {
        const struct instance *other = instance_by_pid(trees->rooms.instances, pid);

        return other && other->number != number;
}

/* ---- signals ---- */

static long cgroup_tree_signal(const struct trees *trees, uint64_t number, int signal) {
        char name[TREE_NAME_BYTES];

        long count;

        tree_name(number, name);
        if (signal)
                cgroup_signal(trees->base_fd, name, signal);
        if (!cgroup_is_populated(trees->base_fd, name))
                return 0;
        count = cgroup_count(trees->base_fd, name);
        return count > 0 ? count : 1; /* or below it */
}

static long descent_signal(
        const struct trees *trees, const struct descendant_tree *tree, uint64_t number, int signal) {
        long found;

        if (pid_is_taken(trees, tree->root, number))
                return 0;
        found = descendants_signal_tree(tree, signal);
        if (found < 0) /* no /proc: the group at least */
                found = trees->settings.has_groups && tree->root > 0 && kill(-tree->root, signal) == 0;
        return found;
}

void tree_kill(const struct trees *trees, const struct instance *instance) {
        const struct descendant_tree tree = {.root = instance->pid, .is_alive = true};

        if (!trees->settings.kills)
                return;
        if (instance->has_cgroup)
                (void)cgroup_tree_signal(trees, instance->number, SIGKILL);
        else
                (void)descent_signal(trees, &tree, instance->number, SIGKILL);
}

/* Signal what is left; 0 only counts. Returns how many there are, at least as far as can be seen.
 *
 * Who is killed is stopped before, all of them: a child that one forks between the look and its end would be
 * an orphan that nobody can tell from those of other instances. fork(2) does not return with a child while a
 * signal is pending (copy_process(), kernel/fork.c), so the second look sees the last one. */
static long rest_signal(const struct tree_rest *rest, int signal) {
        const struct descendant_tree tree = {.root = rest->pid, .claim = rest_claims, .owner = rest};

        if (rest->has_cgroup)
                return cgroup_tree_signal(rest->trees, rest->number, signal);
        if (signal == SIGKILL)
                (void)descent_signal(rest->trees, &tree, rest->number, SIGSTOP);
        return descent_signal(rest->trees, &tree, rest->number, signal);
}

static bool rest_remove(const struct tree_rest *rest) {
        char name[TREE_NAME_BYTES];

        return !rest->has_cgroup || cgroup_remove(rest->trees->base_fd, tree_name(rest->number, name));
}

/* ---- what is left ---- */

static void rest_forget(struct tree_rest *rest) {
        loop_timer_clear(rest->trees->rooms.loop, &rest->timer);
        rest->is_used = false;
        if (is_sweep(rest))
                facts_push(rest->trees->rooms.facts, time_now_ns(),
                        (struct fleet_event){.kind = FLEET_SWEPT, .generation = rest->generation});
        else if (rest->is_awaited)
                facts_push(rest->trees->rooms.facts, time_now_ns(),
                        (struct fleet_event){.kind = FLEET_CLEARED, .instance = rest->number});
}

static void rest_wait(struct tree_rest *rest, int64_t now_ns) {
        const int64_t next_ns = time_add(now_ns, rest->pause_ns);
        const int64_t max_ns = rest->is_awaited ? PAUSE_AWAITED_NS : PAUSE_MAX_NS;

        rest->pause_ns = rest->pause_ns * 2 < max_ns ? rest->pause_ns * 2 : max_ns;
        loop_timer_set(rest->trees->rooms.loop, &rest->timer,
                rest->kill_ns > now_ns && rest->kill_ns < next_ns ? rest->kill_ns : next_ns);
}

/* In an emergency, so many processes with old values have been ended. */
static void ended_note(struct trees *trees, const struct fleet_view *view, long count) {
        if (!view->is_emergency)
                return;
        if (trees->ended_for != view->target)
                trees->ended = 0;
        trees->ended_for = view->target;
        trees->ended += count;
}

/* Nobody is there any more. */
static void rest_end(struct tree_rest *rest, int64_t now_ns) {
        struct fleet_view view;

        fleet_look(rest->trees->rooms.fleet, &view);
        ended_note(rest->trees, &view, rest->most);
        rest->most = 0;
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

/* "3 processes that replica 1 left behind": of a cgroup it is not known how many. */
static void rest_say(const struct tree_rest *rest, enum log_level level, const char *what) {
        char number[24] = "", who[24] = "the app";

        if (!rest->has_cgroup)
                snprintf(number, sizeof number, "%ld ", rest->count);
        if (is_sweep(rest))
                snprintf(who, sizeof who, "former instances");
        else if (rest->trees->settings.has_replicas)
                snprintf(who, sizeof who, "replica %u", rest->slot);
        log_write(level, "%sprocess%s that %s left behind %s", number,
                rest->count == 1 && !rest->has_cgroup ? "" : "es", who, what);
}

static void rest_tell(struct tree_rest *rest, int64_t now_ns) {
        rest_say(rest, rest->is_of_the_end ? LOG_INFO : LOG_NOTICE,
                rest->count == 1 && !rest->has_cgroup ? "is told to end" : "are told to end");
        rest->was_told = true;
        rest->kill_ns = time_add(now_ns, rest->patience_ns);
        (void)rest_signal(rest, SIGTERM);
        (void)rest_signal(rest, SIGCONT);
}

/* Returns false when it is given up. */
static bool rest_force(struct tree_rest *rest) {
        if (rest->kills == KILL_TRIES) {
                rest_say(rest, LOG_ERROR, "cannot be killed (SIGKILL): going on without waiting for it");
                return false;
        }
        if (rest->kills++ == 0) {
                rest_say(rest, LOG_WARNING,
                        rest->count == 1 && !rest->has_cgroup ? "did not end: killing it"
                                                              : "did not end: killing them");
                rest->pause_ns = PAUSE_FIRST_NS;
        }
        (void)rest_signal(rest, SIGKILL);
        return true;
}

static void rest_look(struct tree_rest *rest) {
        const int64_t now_ns = time_now_ns();

        rest->count = rest_signal(rest, 0);
        if (rest->count > rest->most)
                rest->most = rest->count;
        if (rest->count <= 0) {
                rest_end(rest, now_ns);
                return;
        }
        if (!rest->was_told)
                rest_tell(rest, now_ns);
        else if (now_ns >= rest->kill_ns && !rest_force(rest)) {
                rest_forget(rest);
                return;
        }
        rest_wait(rest, now_ns);
}

static void rest_on_due(struct loop_timer *timer) {
        rest_look(timer->owner);
}

static struct tree_rest *rest_of(const struct trees *trees, uint64_t number) {
        for (size_t i = 0; i < FLEET_INSTANCES_MAX; i++)
                if (trees->rests[i].is_used && trees->rests[i].number == number)
                        return &trees->rests[i];
        return NULL;
}

static struct tree_rest *rest_unused(const struct trees *trees) {
        for (size_t i = 0; i < FLEET_INSTANCES_MAX; i++)
                if (!trees->rests[i].is_used)
                        return &trees->rests[i];
        return NULL;
}

bool tree_ended(struct trees *trees, const struct instance *instance) {
        struct tree_rest *rest = rest_unused(trees);
        struct fleet_view view;

        fleet_look(trees->rooms.fleet, &view);
        ended_note(trees, &view, instance->generation != view.target);
        if (!trees->settings.kills && !trees->settings.ends_leftovers && !view.is_emergency)
                return false;
        if (!instance->has_cgroup && children_are_none())
                return false; /* nearly always, and it saves the walk through /proc */
        if (!rest) {          /* so many at a time do not end in peace */
                tree_kill(trees, instance);
                return false;
        }
        *rest = (struct tree_rest){
                .is_used = true,
                .is_of_emergency = view.is_emergency,
                .is_of_the_end = view.phase == FLEET_PHASE_STOPPING,
                .trees = trees,
                .has_cgroup = instance->has_cgroup,
                .pid = instance->pid,
                .number = instance->number,
                .slot = instance->slot,
                .started_ticks = instance->started_ticks,
                .pause_ns = PAUSE_FIRST_NS,
                .patience_ns = trees->settings.remaining_timeout_ns,
                .timer = {.on_due = rest_on_due, .owner = rest},
        };
        rest_look(rest);
        rest->is_awaited = rest->is_used;
        return rest->is_used;
}

void tree_sweep(struct trees *trees, uint64_t generation, int64_t delay_ns) {
        const int64_t patience_ns = trees->settings.remaining_timeout_ns;
        struct tree_rest *rest = &trees->rests[SWEEP_PLACE];

        /* One that runs goes on for the newer emergency: who was told was told. */
        if (!rest->is_used)
                *rest = (struct tree_rest){.is_used = true,
                        .is_of_emergency = true,
                        .trees = trees,
                        .pid = PID_NONE,
                        .pause_ns = PAUSE_FIRST_NS,
                        .patience_ns = delay_ns < patience_ns ? delay_ns : patience_ns,
                        .timer = {.on_due = rest_on_due, .owner = rest}};
        rest->is_awaited = true;
        rest->generation = generation;
        if (children_are_none())
                rest_end(rest, time_now_ns());
        else
                rest_look(rest);
}

long tree_sweep_count(const struct trees *trees) {
        const struct tree_rest *rest = &trees->rests[SWEEP_PLACE];

        return rest->is_used ? rest->count : 0;
}

long trees_ended(const struct trees *trees, uint64_t generation) {
        return trees->ended_for == generation ? trees->ended : 0;
}

void tree_rest_kill(struct trees *trees, uint64_t number) {
        struct tree_rest *rest = rest_of(trees, number);

        if (!rest)
                return;
        rest->kill_ns = time_now_ns();
        rest_look(rest);
}

long tree_rest_count(const struct trees *trees, uint64_t number) {
        const struct tree_rest *rest = rest_of(trees, number);

        return rest ? rest->count : 0;
}

void trees_close(struct trees *trees) {
        for (size_t i = 0; i < TREE_RESTS_MAX; i++)
                if (trees->rests[i].is_used && !rest_remove(&trees->rests[i]))
                        log_write(LOG_DEBUG, "a cgroup is still in use");
}
