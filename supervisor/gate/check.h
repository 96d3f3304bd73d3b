#pragma once

/* Gates that cannot work, refused before anything is started. */

#include <stdbool.h>

#include "lib/error.h"

#include "supervisor/gate/readiness.h"

/* What a gate is made of; all borrowed. */
struct gate_subject {
        const struct readiness_settings *readiness;
        const struct health_settings *health;
        const struct socket_settings *sockets;
        const struct socket_rules *rules;
};

/* Is there something to probe, and can the answer come from nobody else; can the wanted sign ever be seen.
 * knows_sockets: those of a service manager are among the listeners already; else what they might
 * change is not looked at. Returns 0, or -1 with error (status 78). */
int gate_check(const struct gate_subject *subject, bool knows_sockets, struct error *error);

/* Say in the log what the operator should know of a gate that works, but not well. */
void gate_advise(const struct gate_subject *subject);
