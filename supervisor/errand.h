#pragma once

/* A short errand in a process of its own: for what may hold up whoever does it. An app, or a stranger, can make a page of memory, a
 * file or a connection whose read or close(2) takes as long as they like; the supervisor must not be the one that waits.
 *
 * The child has nothing open but what it was given, says its answer once, and ends when the supervisor has heard it. One that
 * never comes back holds its place until it is reaped: each owner has a bound. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "supervisor/core/fleet.h"

struct supervisor;

#define ERRANDS_MAX      (2 * FLEET_INSTANCES_MAX + 64)
#define ERRAND_BYTES_MAX 2048

/* In the child: do it with `fd`, and write the answer to `out`. Returns its length, above 0; or 0, and there is none. */
typedef size_t errand_work(const void *context, int fd, void *out, size_t room);

/* In the supervisor: the answer. NULL: the child ended without one. */
typedef void errand_handler(void *owner, const void *answer, size_t bytes);

struct errand {
        bool is_used;
        pid_t pid; /* 0: reaped */
        struct supervisor *supervisor;
        struct loop_source source; /* fd -1: heard, or called off */
        errand_handler *on_done;
        void *owner;
};

struct errands {
        struct errand list[ERRANDS_MAX];
};

/* Begin one. `fd` is all that stays open in the child; -1: nothing. on_done is called once, from the loop, unless it is called off.
 * Returns 0, or -1 with error. */
int errand_start(struct supervisor *supervisor, errand_work *work, const void *context, int fd,
        errand_handler *on_done, void *owner, struct error *error);

/* How many of this owner's have not ended yet. */
size_t errands_of(const struct supervisor *supervisor, const void *owner);

/* End what runs for this owner: its handler is not called any more. */
void errands_call_off(struct supervisor *supervisor, const void *owner);

/* Was that one? Then it is over. */
bool errand_reaped(struct supervisor *supervisor, pid_t pid);
