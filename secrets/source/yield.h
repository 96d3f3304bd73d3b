#pragma once

/* Which process the kernel ends first when memory runs out. Internal to secrets/. */

#include <stddef.h>

/* With at most so much in its arena, ending a loader would free too little memory to matter. */
#define YIELD_BYTES ((size_t)256 * 1024)

/* Let the kernel end this process before any other of its control group, from now on. Before the confinement;
 * calls after the first do nothing. */
void memory_yield(void);
