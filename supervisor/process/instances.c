/* The table of instances: see instances.h. Filled by instance/, read by every room, in the supervisor. */

#include "supervisor/process/instances.h"

struct instance *instance_from(struct instances *instances, size_t place) {
        for (; place < instances->places; place++)
                if (instances->list[place].is_used)
                        return &instances->list[place];
        return NULL;
}

struct instance *instance_by_pid(struct instances *instances, pid_t pid) {
        for (size_t i = 0; i < instances->places; i++)
                if (instances->list[i].is_used && instances->list[i].pid == pid)
                        return &instances->list[i];
        return NULL;
}

struct instance *instance_by_number(struct instances *instances, uint64_t number) {
        for (size_t i = 0; i < instances->places; i++)
                if (instances->list[i].is_used && instances->list[i].number == number)
                        return &instances->list[i];
        return NULL;
}

struct instance *instance_unused(struct instances *instances) {
        for (size_t i = 0; i < instances->places; i++)
                if (!instances->list[i].is_used && !instances->list[i].is_prepared)
                        return &instances->list[i];
        if (instances->places == FLEET_INSTANCES_MAX)
                return NULL;
        return &instances->list[instances->places++];
}

size_t instance_place(const struct instance *instance) {
        return (size_t)(instance - instance->instances->list);
}

static bool is_there(const struct instance *instance) {
        return instance->is_used || instance->is_prepared;
}

bool instances_have(const struct instances *instances, uint64_t generation) {
        for (size_t i = 0; i < instances->places; i++)
                if (is_there(&instances->list[i]) && instances->list[i].generation == generation)
                        return true;
        return false;
}

bool instances_have_seat(const struct instances *instances, const struct seat *seat) {
        for (size_t i = 0; i < instances->places; i++) {
                const struct seat own = instance_seat(&instances->list[i]);

                if (is_there(&instances->list[i]) && seat_is(&own, seat))
                        return true;
        }
        return false;
}

bool instance_is_emptying(struct instances *instances, uint64_t number) {
        const struct instance *instance = instance_by_number(instances, number);

        return instance && instance->is_emptying && !instance->is_ending;
}
