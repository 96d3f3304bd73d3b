#pragma once

/* How much memory this process may use before the kernel ends it: the limit of its control group.
 *
 * Asked before foreign bytes decide how much is allocated (scrypt's work factor): beyond the limit an
 * allocation does not fail, but the process is killed. Reads a few files below /proc and /sys (some ten
 * microseconds). */

#include <stdint.h>

/* The smallest limit on the way from this process's group to the root, of control groups version 2 and 1, in
 * bytes. 0: there is none, or it cannot be read (no /proc, no control groups). `root` is "", or for tests a
 * folder that has `proc/self/...` and the mount points. */
uint64_t memory_limit_bytes(const char *root);
