#pragma once

/* How the app learns of the sockets that it is given: the environment variables of three protocols. Runs in
 * the shim. */

#include "lib/error.h"
#include "shim/environment.h"
#include "shim/launch.h"

/* How many variables handover_variables() may add. */
#define HANDOVER_VARIABLES_MAX (8 + LAUNCH_DESCRIPTORS_MAX)

/* Put the variables for the counted descriptors of `spec` (number 0), which are in their places already, into
 * the environment: LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)), SERVER_STARTER_PORT
 * (Server::Starter), EINHORN_FD_COUNT, EINHORN_FD_0..., EINHORN_FDS (einhorn), as spec->protocols says.
 * Without any such descriptor there are none. The strings are heap memory that lives until execve(2). Returns
 * 0, or -1 with error (no memory). */
int handover_variables(const struct launch_spec *spec, struct environment *environment, struct error *error);
