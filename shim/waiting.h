#pragma once

/* A shim that is forked while the loader still works: it has everything for its start but the secrets, and
 * waits for those. What it is given then is the sealed generation's descriptor, never a value; until then it
 * holds no generation, so that none outlives its drop because of it. */

#include "lib/error.h"
#include "shim/launch.h"

struct launch_waiting {
        struct launch_process process; /* status_fd: as of launch_start() */
        int channel;                   /* on which it waits; ends it when it is closed */
};

#define LAUNCH_WAITING_NONE ((struct launch_waiting){.process = {.status_fd = -1}, .channel = -1})

/* Fork it. spec->secrets is not looked at. Returns 0, or -1 with error when it cannot be had. */
int launch_waiting_start(const struct launch_spec *spec, const struct launch_forgotten *forgotten,
        struct launch_waiting *out, struct error *error);

/* Let it go on with these secrets (NULL: none). *waiting is over, but for its process, which is the caller's
 * from here on. Returns 0, or -1 with errno when it has gone meanwhile: call launch_waiting_end(). */
int launch_waiting_release(struct launch_waiting *waiting, const struct bundle *secrets);

/* It is not wanted: end it. The caller reaps it. Idempotent. */
void launch_waiting_end(struct launch_waiting *waiting);
