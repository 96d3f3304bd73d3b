#pragma once

/* Which step a shim takes, in a byte that its parent sees.
 *
 * A filter of somebody else's (SystemCallFilter= of systemd.exec(5), a container's profile) may answer a call
 * with SIGSYS instead of an error (SECCOMP_RET_KILL_PROCESS, seccomp(2)), and then there is nobody left to
 * say which. So the shim notes each step of enum launch_stage before it takes it, with every signal blocked:
 * a SIGSYS that ends it there comes from a filter and from nobody else (secrets/trial.h). The byte is over
 * with the last call that is made with all signals blocked, and the app never has it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/launch.h"

#define PROGRESS_NONE 0
#define PROGRESS_OVER UINT8_MAX

/* `count` such bytes, shared with the children that are forked from now on; NULL when memory is short, and
 * then nothing is noted. Those of a shim that suspends its parent need not be: it runs in its memory. */
volatile uint8_t *progress_new(size_t count);

/* In the shim. `byte` NULL: nothing. */
static inline void progress_note(volatile uint8_t *byte, unsigned stage) {
        if (byte)
                *byte = (uint8_t)(stage + 1);
}

static inline void progress_end(volatile uint8_t *byte) {
        if (byte)
                *byte = PROGRESS_OVER;
}

/* In the parent, when the status pipe has ended without a failure: true when the shim has not come to
 * execve(2), and so is dead or about to be; false for an app that runs, and without a byte. */
bool progress_is_cut(const volatile uint8_t *byte);

/* In the parent, when the shim has been reaped: has a filter ended it in one of its steps? Then *out is
 * LAUNCH_FILTERED with that step, for launch_failure_describe(). */
bool progress_filtered(const volatile uint8_t *byte, int wait_status, struct launch_message *out);

/* The calls of that step, for a message and for SystemCallFilter=: "setgroups". Never NULL. */
const char *progress_calls(unsigned stage);
