#pragma once

/* Replies of the control socket: JSON text with its NUL, ready to be sent. No value, no name of a secret can
 * get here.
 *
 * Each function writes to `out`, of `room` bytes, and returns how many, or 0 when the reply does not fit or
 * there is no memory: then `out` is not to be sent. */

#include <stddef.h>
#include <stdint.h>

#include "supervisor/control/request.h"
#include "supervisor/control/ticket.h"

struct control_rooms;

/* An error; `key` and `value` are its one parameter, or NULL. */
size_t control_reply_error(char *out, size_t room, const char *name, const char *key, const char *value);

/* A step of a rotation that was waited for; more replies follow. */
size_t control_reply_step(char *out, size_t room, const char *line, uint64_t generation, int64_t elapsed_ns,
        bool has_generation);

/* The end of a rotation, or of a way back. */
struct control_outcome {
        const char *result;
        uint64_t generation; /* 0: none */
        int64_t elapsed_ns;
        bool has_ended; /* an emergency was asked for */
        long ended;     /* processes that held the old values */
        size_t cut;     /* requests that were cut meanwhile */
};
size_t control_reply_result(char *out, size_t room, const struct control_outcome *outcome);

/* The request is done; no parameters. */
size_t control_reply_done(char *out, size_t room);

/* The state of the supervisor, its instances and listeners. */
size_t control_reply_status(char *out, size_t room, const struct control_rooms *rooms);

/* What this program is: vendor, product, version and interfaces. */
size_t control_reply_info(char *out, size_t room);

/* The description of `interface` in Varlink's language; an error reply when it is none of ours. */
size_t control_reply_interface(char *out, size_t room, const char *interface);
