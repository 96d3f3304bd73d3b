#pragma once

/* How much memory this process may use before the kernel ends it: the limit of its control group.
 *
 * For who is about to allocate by the order of foreign bytes (scrypt's work factor): beyond the limit a
 * process is not told "no" but killed. Reads a few files below /proc and /sys (some ten microseconds): ask
 * only when it matters. */

#include <stdint.h>

/* The smallest limit on the way from this process's group to the root, of control groups version 2 and 1, in
 * bytes. 0: none, or none can be known (no /proc, no control groups). root   "" for the machine itself; a
 * folder that holds `proc/self/...` and the mount points, for tests */
uint64_t memory_limit_bytes(const char *root);
