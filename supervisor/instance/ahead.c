/* Starting ahead of the core: see launcher.h. Runs in the supervisor.
 *
 * While a loader works there is nothing else to do, and what it brings is most often spawned at once: so
 * that start is made ready meanwhile, its sockets, its environment, and a shim that only waits for its
 * secrets (shim/waiting.h). The core knows nothing of it. When the spawn comes and is the one that was
 * foreseen, the shim gets the generation; else all of it is taken back: nobody has seen it, and it has
 * never had a secret. */

#include <errno.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/instance/launcher.h"

/* It was killed, or is what launcher_call_off() has ended. */
static void ahead_on_ended(struct child *child, int wait_status) {
        (void)wait_status;
        launcher_call_off(child->owner);
}

static int ahead_start(struct launcher *launcher, struct instance *instance, struct error *error) {
        int held[FLEET_GENERATIONS_MAX];
        const struct launch_forgotten forgotten = {held,
                generations_descriptors(launcher->rooms.generations, held),
                launcher->rooms.generations->request};
        struct gear gear = {0};
        struct launch_spec spec;
        int result = launcher_gear(launcher, instance, &gear, error);

        if (result == 0) {
                result = launcher_spec(launcher, instance, &gear, &spec, error);
                if (result == 0)
                        result = launch_waiting_start(&spec, &forgotten, &launcher->ahead.waiting, error);
                instance->has_cgroup = spec.cgroup_fd > 0;
                launcher_spec_release(&spec);
        }
        gear_release(&gear);
        return result;
}

void launcher_prepare(struct launcher *launcher, uint32_t slot, uint64_t number, uint64_t generation) {
        const struct launch_spec *launch = launcher->settings.launch;
        struct instance *instance = instance_unused(launcher->rooms.instances);
        struct error error;

        if (!instance || launcher->ahead.instance || launcher->early.pid ||
                (launch->wants_terminal && launcher->rooms.terminal->fd >= 0))
                return;
        launcher_instance_init(launcher, instance, slot, number, generation);
        instance->is_prepared = true;
        instance->child.on_ended = ahead_on_ended;
        launcher->ahead = (struct launcher_ahead){.instance = instance, .waiting = LAUNCH_WAITING_NONE};
        if (ahead_start(launcher, instance, &error) < 0) {
                log_write(LOG_DEBUG, "not prepared: %s", error.text);
                launcher_call_off(launcher);
                return;
        }
        instance->pid = launcher->ahead.waiting.process.pid;
        children_add(launcher->rooms.children, &instance->child, instance->pid);
}

static bool is_foreseen(const struct instance *instance, const struct fleet_action *action) {
        return instance->number == action->instance && instance->slot == action->slot &&
               instance->generation == action->generation;
}

struct instance *launcher_take_ahead(struct launcher *launcher, const struct fleet_action *action) {
        struct launcher_ahead *ahead = &launcher->ahead;
        struct instance *instance = ahead->instance;

        if (!instance)
                return NULL;
        if (!is_foreseen(instance, action) ||
                launch_waiting_release(&ahead->waiting,
                        generations_bundle(launcher->rooms.generations, action->generation)) < 0) {
                launcher_call_off(launcher);
                return NULL;
        }
        /* instance_enroll() adds it as its own */
        children_remove(launcher->rooms.children, &instance->child);
        instance->status.fd = ahead->waiting.process.status_fd;
        instance->is_prepared = false;
        *ahead = (struct launcher_ahead){.waiting = LAUNCH_WAITING_NONE};
        return instance;
}

void launcher_call_off(struct launcher *launcher) {
        struct launcher_ahead *ahead = &launcher->ahead;
        struct instance *instance = ahead->instance;

        if (!instance)
                return;
        launch_waiting_end(&ahead->waiting);
        children_remove(launcher->rooms.children, &instance->child);
        readiness_ended(launcher->rooms.gate, instance);
        tree_dismiss(launcher->rooms.trees, instance->number);
        instance->is_prepared = false;
        ahead->instance = NULL;
}
