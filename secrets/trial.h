#pragma once

/* Protections that a system call filter ends, found out before the first foreign byte. Internal to secrets/.
 *
 * A filter of somebody else's (SystemCallFilter= of systemd.exec(5), a container's profile) may answer a call
 * with SIGSYS instead of an error (SECCOMP_RET_KILL_PROCESS, seccomp(2)), and then there is nobody left to do
 * without. So the loader makes each such call once for nothing, first of all, and notes before which one it
 * is in a byte that its parent sees. A loader that dies in it is started again without that call. */

#include <stdint.h>

#include <sys/syscall.h>

#include "lib/error.h"

/* The same on every architecture; musl's headers and older ones lack them. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#define LANDLOCK_VERSION 1U /* LANDLOCK_CREATE_RULESET_VERSION */

enum trial_call {
        TRIAL_NONE, /* before, between */
        TRIAL_CAPSET,
        TRIAL_LANDLOCK,
        TRIAL_SECRET_MEMORY,
        TRIAL_OVER, /* foreign bytes from here on: nothing is believed any more */
};

/* In a set of calls. */
#define TRIAL_BIT(call) (1U << (unsigned)(call))

/* The byte, shared with the children that are forked from now on; NULL with error when memory is short. */
volatile uint8_t *trial_page_new(struct error *error);

/* Unmap it; NULL is nothing. */
void trial_page_drop(volatile uint8_t *page);

/* Try every call that is not in the set `missing`, then unmap the byte, so that nobody who takes this process
 * over can write it. In the loader, with every signal blocked: then SIGSYS comes from a filter and from
 * nobody else, since only the kernel can force a blocked one (force_sig_seccomp(), kernel/signal.c). What is
 * answered with an error is no matter: the real call gets the same. */
void trial_run(volatile uint8_t *page, unsigned missing);

/* In the parent: the call in which a loader died, that SIGSYS has ended; TRIAL_NONE when the byte names
 * none. */
enum trial_call trial_fatal(const volatile uint8_t *page);

/* What is missing without it, as a sentence for the log. */
const char *trial_text(enum trial_call call);
