/* Starting ahead of the core: see launcher.h. Runs in the supervisor.
 *
 * While a loader works there is nothing else to do, and its result is most often spawned at once. So that
 * start is prepared meanwhile: its sockets, its environment, and a shim that only waits for its secrets
 * (shim/waiting.h). The core does not know of it. When the expected SPAWN comes, the shim gets the
 * generation; else it is ended, and never had a secret. */

#include <errno.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/instance/launcher.h"

/* The shim that waits was killed by somebody, or could not go on. */
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

static bool instance_is_expected(const struct instance *instance, const struct fleet_action *action) {
        return instance->number == action->instance && instance->slot == action->slot &&
               instance->generation == action->generation;
}

struct instance *launcher_take_ahead(struct launcher *launcher, const struct fleet_action *action) {
        struct launcher_ahead *ahead = &launcher->ahead;
        struct instance *instance = ahead->instance;

        if (!instance)
                return NULL;
        if (!instance_is_expected(instance, action) ||
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
