#pragma once

/* What became of what was asked of a supervisor: waited for, printed, and told by the exit status. What
 * rotate and rollback have in common. */

#include <stdbool.h>
#include <stddef.h>

#include "client/control_client.h"
#include "lib/error.h"

/* What a final reply says, and what it means for a script. */
struct outcome {
        const char *result; /* the supervisor's word */
        int status;         /* exit status */
        /* may have one %lld: the generation; without one, what stands before a colon is printed */
        const char *text;
        const char *next; /* what to know or do about it, on a line of its own; NULL: nothing */
};

/* How it is waited for. */
struct outcome_wait {
        bool waits;       /* for the end; else for the reply that it was asked for */
        bool shows_steps; /* and prints each as it comes */
        bool is_json;     /* prints the reply as it is instead of words */
};

/* Read the replies to a call that was sent.
 * outcomes   the verb's table; a result that is not in it is an error, never a success
 * Returns the exit status, or -1 with error. */
int outcome_await(struct control_client *client, const struct outcome_wait *wait,
        const struct outcome *outcomes, size_t count, struct error *error);
