#pragma once

/* Gates that cannot work, refused before anything is started. */

#include <stdbool.h>

#include "lib/error.h"

#include "supervisor/gate/readiness.h"

/* The settings that a gate depends on; all borrowed. */
struct gate_subject {
        const struct readiness_settings *readiness;
        const struct health_settings *health;
        const struct socket_settings *sockets;
        const struct socket_rules *rules;
};

/* Check that there is something to probe, that only the new instance can answer, and that the wanted sign can
 * be seen. knows_sockets: sockets of a service manager are among the declared ones already; else what depends
 * on them is not checked. Returns 0, or -1 with error (status 78). */
int gate_check(const struct gate_subject *subject, bool knows_sockets, struct error *error);

/* Log a warning about a gate that works, but does not prove much. */
void gate_advise(const struct gate_subject *subject);
