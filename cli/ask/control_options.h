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

enum { OPTION_CONTROL = 0x200, OPTION_CONTROL_CONFIG };

/* clang-format off */
#define OPTION_SPEC_CONTROL                                                                                  \
        { .id = OPTION_CONTROL, .name = "control", .value = "PATH",                                          \
          .help = "the control socket of the service" }
#define OPTION_SPEC_CONTROL_CONFIG                                                                           \
        { .id = OPTION_CONTROL_CONFIG, .letter = 'c', .name = "config", .value = "FILE",                     \
          .help = "the configuration of the service, which names the socket" }
/* clang-format on */

/* An option that is neither one of the two nor --help. */
typedef void control_option_handler(void *context, int id);

/* Read the options of a verb that asks a supervisor and takes no operand. Returns 0; 1 when the help was
 * printed, with *out_status; -1 with error. */
int control_options_read(const struct option_table *table, char **argv, struct control_where *where,
        control_option_handler *on_option, void *context, int *out_status, struct error *error);

/* Connect to the service that was named.
 * client   not open; static storage of the verb, it is large
 * table    the verb's, for the hint of a usage error
 * Returns 0: control_client_close() it; or -1 with error and nothing to close. The error carries its exit
 * status: EXIT_STATUS_USAGE for none or two places, EXIT_STATUS_CONFIG for a file that cannot be read or
 * names no socket, else as control_client_open(). */
int control_where_open(struct control_client *client, const struct option_table *table,
        const struct control_where *where, struct error *error);
