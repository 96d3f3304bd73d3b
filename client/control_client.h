#pragma once

/* Talking to a running supervisor over its control socket: the client side of docs/PROTOCOL.md.
 *
 * For whatever asks: the verbs of the command line, and programs beside it. Nothing here prints, ends the
 * process or knows an option; every call waits for the supervisor, at most as long as it is told to. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* A longer reply is an error. Four times what a supervisor has room for in its answers to one client. */
#define CONTROL_REPLY_BYTES_MAX ((size_t)256 * 1024)

/* A connection. Large: one per program, static. Filled by control_client_open(). */
struct control_client {
        int fd;          /* the stream socket */
        size_t used;     /* bytes that were read and are in `buffer` */
        size_t consumed; /* of them, those of the message given out last */
        char buffer[CONTROL_REPLY_BYTES_MAX];
};

/* Connect to the control socket at `path`, a unix stream socket.
 * Returns 0: control_client_close() it; or -1 with error and nothing to close. The error carries its exit
 * status: EXIT_STATUS_USAGE when the path is longer than an address may be (unix(7)),
 * EXIT_STATUS_UNAVAILABLE when nobody answers there, EXIT_STATUS_PERMISSION. */
int control_client_open(struct control_client *client, const char *path, struct error *error);

/* Close the connection. Idempotent, once it was open. */
void control_client_close(struct control_client *client);

/* Send one call; the replies are read by control_client_reply().
 * method            "io.tacet.Status", ...: docs/PROTOCOL.md
 * take_parameters   consumed, also on failure; an object, or NULL for none
 * is_more           several replies are welcome: those before the last one tell of progress
 * SIGPIPE has to be blocked or ignored. Returns 0 or -1 with error. A supervisor that has hung up in the
 * meantime is no error yet: it may have written why. */
int control_client_call(struct control_client *client, const char *method, json_t *take_parameters,
        bool is_more, struct error *error);

/* control_client_reply(): other replies follow to the same call. */
#define CONTROL_CLIENT_MORE 1

/* Wait for the next reply.
 * timeout_ns       at most so long; NS_FOREVER: as long as it takes
 * out_parameters   the caller's to json_decref(); an object; set only on 0 and CONTROL_CLIENT_MORE
 * Returns 0 for the last one, CONTROL_CLIENT_MORE, or -1 with error: EXIT_STATUS_UNAVAILABLE when the
 * supervisor went away or does not answer, EXIT_STATUS_PERMISSION, or without a status of its own for an
 * error that the supervisor replied, and for what no supervisor of tacet would say. */
int control_client_reply(
        struct control_client *client, int64_t timeout_ns, json_t **out_parameters, struct error *error);

/* A member of a reply as text for people. Some texts are the app's own (its status, names of sockets), so
 * what would move a terminal's cursor is replaced.
 * object   borrowed; NULL or without the member: an empty text
 * out      gets at most `room` bytes with the NUL, cut where it is longer
 * Returns `out`. */
const char *control_text(const json_t *object, const char *key, char *out, size_t room);

/* Give up a reply at the end of its scope. *json may be NULL. */
#define CLEANUP_JSON __attribute__((cleanup(control_json_cleanup)))
void control_json_cleanup(json_t **json);
