#pragma once

/* The life of the loader process. Internal to secrets/. */

#include <stdnoreturn.h>
#include <sys/types.h>

#include "secrets/load.h"

/* trial.h: the byte that is shared with the parent, and what earlier loaders have died of. */
struct loader_trial {
        volatile uint8_t *page;
        unsigned missing;
};

/* Be the loader: called in the child right after fork(2), never returns. `parent` is the pid of the process
 * that forked. */
noreturn void loader_run(
        const struct load_request *request, int channel, pid_t parent, const struct loader_trial *trial);

/* How long this load may take. */
static inline int64_t load_deadline_ns(const struct load_request *request) {
        return request->deadline_ns > 0 ? request->deadline_ns : LOAD_DEADLINE_NS_DEFAULT;
}
