#pragma once

/* Who goes first when memory runs out. Internal to secrets/. */

#include <stddef.h>

/* Up to so much in its arena a loader is one small process among others, of which the kernel has no use. */
#define YIELD_BYTES ((size_t)256 * 1024)

/* Let the kernel end this process before any other of its control group, from now on. Before the confinement;
 * calls after the first do nothing. */
void memory_yield(void);
