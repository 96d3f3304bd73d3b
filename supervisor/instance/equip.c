/* What one start of the app is given, beside its secrets and what notify/ and gate/ add: its sockets,
 * and the variables that say which instance it is. Called by spawn.c before each start, in the supervisor;
 * opens nothing itself. */

#include <assert.h>
#include <unistd.h>

#include "lib/fd.h"
#include "supervisor/process/descendants.h"
#include "supervisor/instance/launcher.h"

static_assert(LISTENERS_MAX + LAUNCH_LISTEN_MAX < LAUNCH_DESCRIPTORS_MAX, "sockets, and some more");

/* Listeners in their order, and between them the passed descriptors that are none, each at its position. */
static int sockets_equip(
        struct launcher *launcher, const struct instance *instance, struct gear *gear, struct error *error) {
        const struct launcher_settings *settings = &launcher->settings;
        const struct seat seat = instance_seat(instance);
        struct launch_descriptor listening[LISTENERS_MAX];
        size_t count, next = 0;

        if (listeners_descriptors(launcher->rooms.listeners, &seat, listening, &count, error) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                for (; next < settings->passed_count && settings->passed[next].position <= i; next++)
                        gear_descriptor(gear, settings->passed[next].descriptor);
                gear_descriptor(gear, listening[i]);
        }
        for (; next < settings->passed_count; next++)
                gear_descriptor(gear, settings->passed[next].descriptor);
        return 0;
}

/* Variables with the numbers of the instance. Only where there may be others: a plain init adds nothing. */
static void numbers_equip(struct launcher *launcher, const struct instance *instance, struct gear *gear) {
        const struct launcher_settings *settings = &launcher->settings;

        if (settings->has_generations)
                gear_text(gear, "TACET_GENERATION=%llu", (unsigned long long)instance->generation);
        if (settings->has_generations || settings->has_replicas)
                gear_text(gear, "TACET_REPLICA=%u", instance->slot);
        if (!gear->descriptor_count)
                return;
        if (settings->launch->protocols & LAUNCH_SERVER_STARTER)
                gear_text(
                        gear, "SERVER_STARTER_GENERATION=%llu", (unsigned long long)++launcher->start_count);
        if (settings->launch->protocols & LAUNCH_EINHORN) {
                gear_text(gear, "EINHORN_MASTER_PID=%d", (int)getpid());
                gear_text(gear, "EINHORN_CHILD_INDEX=%u", instance->slot);
        }
}

int launcher_equip(
        struct launcher *launcher, const struct instance *instance, struct gear *gear, struct error *error) {
        if (sockets_equip(launcher, instance, gear, error) < 0)
                return -1;
        numbers_equip(launcher, instance, gear);
        return 0;
}

int launcher_gear(
        struct launcher *launcher, struct instance *instance, struct gear *gear, struct error *error) {
        if (launcher_equip(launcher, instance, gear, error) < 0)
                return -1;
        notify_equip(launcher->rooms.notify, instance, gear);
        return readiness_equip(launcher->rooms.gate, instance, gear, error);
}

/* A plain init needs no page of its own for it. */
static volatile uint8_t *progress_prepare(
        struct launcher *launcher, const struct instance *instance, bool is_suspended) {
        const size_t place = instance_place(instance);
        volatile uint8_t *byte = NULL;

        if (!is_suspended && !launcher->shared_progress)
                launcher->shared_progress = progress_new(FLEET_INSTANCES_MAX);
        if (is_suspended)
                byte = &launcher->own_progress[place];
        else if (launcher->shared_progress)
                byte = &launcher->shared_progress[place];
        if (byte)
                *byte = PROGRESS_NONE;
        return launcher->progress[place] = byte;
}

int launcher_spec(struct launcher *launcher, const struct instance *instance, const struct gear *gear,
        struct launch_spec *spec, struct error *error) {
        const struct launcher_rooms *rooms = &launcher->rooms;

        *spec = *launcher->settings.launch;
        spec->expansion.generation = instance->generation;
        spec->expansion.replica = instance->slot;
        spec->descriptors = gear->descriptors;
        spec->descriptor_count = gear->descriptor_count;
        spec->variables = gear->variable_count ? gear->variables : NULL;
        spec->suspends_parent &= !gear->descriptor_count && !gear->variable_count;
        spec->progress = progress_prepare(launcher, instance, spec->suspends_parent);
        spec->secrets = generations_bundle(rooms->generations, instance->generation);
        spec->terminal = spec->wants_terminal && terminal_is_ours(rooms->terminal) ? rooms->terminal->fd : -1;
        spec->cgroup_fd = tree_prepare(rooms->trees, instance->number);
        return adopt_prepare(rooms->adopt, instance, &spec->adopt_fd, error);
}

void launcher_spec_release(struct launch_spec *spec) {
        fd_cleanup(&spec->adopt_fd);
        if (spec->cgroup_fd)
                fd_close(spec->cgroup_fd);
}

void launcher_instance_init(struct launcher *launcher, struct instance *instance, uint32_t slot,
        uint64_t number, uint64_t generation) {
        *instance = (struct instance){
                .instances = launcher->rooms.instances,
                .number = number,
                .slot = slot,
                .generation = generation,
                .started_ticks = descendants_now_ticks(),
                .child = {.owner = launcher},
                .status = {.fd = -1, .owner = launcher},
        };
}
