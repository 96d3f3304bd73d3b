#pragma once

/* Talking to a running supervisor over its control socket: the client side of docs/PROTOCOL.md. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/common/options.h"
#include "lib/error.h"

#define CONTROL_REPLY_BYTES_MAX ((size_t)256 * 1024)

/* Where the socket is: --control PATH, or the [control] path of -c FILE. */
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

/* A connection; `fd` -1 when there is none. Large: one per program, static. */
struct control_client {
        int fd;
        size_t used, consumed;
        char buffer[CONTROL_REPLY_BYTES_MAX];
};

/* Returns 0, or -1 with error: EXIT_STATUS_UNAVAILABLE when nobody answers there, EXIT_STATUS_PERMISSION,
 * EXIT_STATUS_CONFIG. */
int control_client_open(struct control_client *client, const struct option_table *table,
        const struct control_where *where, struct error *error);
void control_client_close(struct control_client *client);

/* Send one call. `take_parameters` is consumed, and may be NULL. */
int control_client_call(struct control_client *client, const char *method, json_t *take_parameters,
        bool is_more, struct error *error);

/* Wait for the next reply, at most `timeout_ns` (NS_FOREVER: as long as it takes). out_parameters   the
 * caller's to json_decref() Returns 0 for the last one, CONTROL_CLIENT_MORE when others follow, -1 with
 * error: EXIT_STATUS_UNAVAILABLE when the supervisor went away, EXIT_STATUS_PERMISSION, or EXIT_STATUS_FAILED
 * with the error that it replied. */
#define CONTROL_CLIENT_MORE 1
int control_client_reply(
        struct control_client *client, int64_t timeout_ns, json_t **out_parameters, struct error *error);

/* A text that came over the socket, ready for a terminal. Returns `out`. */
const char *control_text(const json_t *object, const char *key, char *out, size_t room);

#define CLEANUP_JSON __attribute__((cleanup(control_json_cleanup)))
void control_json_cleanup(json_t **json);
