#pragma once

/* Descriptors that the app gets on purpose: which number each one has, and putting them there. Runs in the
 * shim. */

#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"
#include "shim/launch.h"

/* Write the number that each descriptor gets in the app: the one that it wants, or the next one from 3 on.
 * Pure. Returns 0, or -1 with error when two want the same number, or there are too many. */
int descriptors_number(const struct launch_descriptor *wanted, size_t count,
        int out_numbers[static LAUNCH_DESCRIPTORS_MAX], struct error *error);

/* Put the descriptors at their numbers, without close-on-exec, and set that flag on all others from 3 on. A
 * descriptor that is in the way is replaced, as the app does not get it; one of `kept` (pointers to
 * descriptors that this process still needs; -1: none) is moved, and the number behind the pointer is
 * changed. No flag of an open file is changed: O_NONBLOCK is shared with all processes that have it. Returns
 * 0 or -1 with error. */
int descriptors_place(const struct launch_descriptor *wanted, size_t count, int *const kept[],
        size_t kept_count, struct error *error);

/* Give the pipes among the standard streams to the user that the app becomes, so that it can open
 * /proc/self/fd/2 and /dev/stderr anew as a process that has them from its own user can. What has a name in a
 * file system, a terminal, a socket and the null device stay whose they are. Best effort, while this process
 * still may. */
void descriptors_give_pipes(uid_t user, gid_t group);
