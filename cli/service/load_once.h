#pragma once

/* One load that is waited for, as exec and check do; the supervisor, which has other things to do meanwhile,
 * does not. */

#include <sys/types.h>

#include "lib/error.h"
#include "secrets/load.h"

/* Start the loader, wait for its answer at most as long as the request allows and a second more, take it,
 * reap the loader. SIGCHLD must not be ignored: there would be nothing to reap.
 * request   complete, see config_request_make(); borrowed
 * out       the values stay in the sealed descriptor of out->bundle; this process reads none of them
 * Returns 0 with *out (load_result_deinit() it), or -1 with error. */
int load_once(const struct load_request *request, struct load_result *out, struct error *error);

/* The same, but the loader, which has been killed, is still to be reaped when this returns 0: *out_loader. */
int load_once_unreaped(
        const struct load_request *request, struct load_result *out, pid_t *out_loader, struct error *error);
