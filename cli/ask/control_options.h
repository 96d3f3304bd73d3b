#pragma once

/* The options that say which service is meant, and the connection to its control socket: what rotate and
 * status have in common. */

#include "cli/common/options.h"
#include "client/control_client.h"
#include "lib/error.h"

/* Where the socket is: --control PATH, or the [control] path of -c FILE. Borrowed from argv; exactly one of
 * the two has to be given. */
struct control_where {
        const char *path;
        const char *config;
};

/* Rows for the table of a verb that asks.
 * type, member   the verb's request, and the struct control_where in it */
#define OPTION_SPEC_CONTROL(type, member)                                                                    \
        {                                                                                                    \
                .name = "control", .value = "PATH", .help = "the control socket of the service",             \
                OPTION_KEEPS(type, member.path)                                                              \
        }
#define OPTION_SPEC_CONTROL_CONFIG(type, member)                                                             \
        {                                                                                                    \
                .letter = 'c', .name = "config", .value = "FILE",                                            \
                .help = "the configuration of the service, which names the socket",                          \
                OPTION_KEEPS(type, member.config)                                                            \
        }

/* Connect to the service that was named.
 * client   not open; static storage of the verb, it is large
 * table    the verb's, for the hint of a usage error
 * Returns 0: control_client_close() it; or -1 with error and nothing to close. The error carries its exit
 * status: EXIT_STATUS_USAGE for none or two places, EXIT_STATUS_CONFIG for a file that cannot be read or
 * names no socket, else as control_client_open(). */
int control_where_open(struct control_client *client, const struct option_table *table,
        const struct control_where *where, struct error *error);
