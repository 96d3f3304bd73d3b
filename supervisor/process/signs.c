/* Collecting signs of readiness: see signs.h. Runs in the supervisor. */

#include "supervisor/process/signs.h"

#include "lib/log.h"
#include "supervisor/process/instances.h"

static const char *const sign_names[] = {
        [READINESS_AUTO] = "auto",
        [READINESS_EXEC] = "exec",
        [READINESS_LISTEN] = "listen",
        [READINESS_NOTIFY] = "notify",
        [READINESS_FD] = "fd",
        [READINESS_PROBE] = "probe",
        [READINESS_DELAY] = "delay",
};

static void signs_complete(struct instance *instance) {
        const struct instances *instances = instance->instances;
        struct signs *signs = &instance->signs;

        if (!signs->is_running || signs->is_complete || (signs->wanted & ~signs->seen))
                return;
        signs->is_complete = true;
        if (instances->on_complete)
                instances->on_complete(instances->owner, instance);
}

void signs_note(struct instance *instance, enum readiness sign) {
        struct signs *signs = &instance->signs;

        if (signs->seen & sign_bit(sign))
                return;
        signs->seen |= sign_bit(sign);
        log_write(LOG_DEBUG, "process %d: sign of readiness: %s", (int)instance->pid, sign_names[sign]);
        signs_complete(instance);
}

void signs_begin(struct instance *instance) {
        instance->signs.is_running = true;
        signs_complete(instance);
}
