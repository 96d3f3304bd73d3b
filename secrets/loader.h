#pragma once

/* The life of the loader process. Internal to secrets/. */

#include <stdnoreturn.h>
#include <sys/types.h>

#include "secrets/load.h"

/* Run the loader: called in the child right after fork(2), never returns. `parent` is the pid of the process
 * that forked. */
noreturn void loader_run(const struct load_request *request, int channel, pid_t parent);

/* How long this load may take. */
static inline int64_t load_deadline_ns(const struct load_request *request) {
        return request->deadline_ns > 0 ? request->deadline_ns : LOAD_DEADLINE_NS_DEFAULT;
}
