#pragma once

/* Signals as the kernel knows them: numbers 1 to 64 and 64-bit masks.
 *
 * The C libraries keep two or three real-time signals to themselves and leave them out of sigfillset(3); a
 * program that forwards *every* signal and restores *exactly* the mask it was started with must talk to the
 * kernel. */

#include <stdbool.h>
#include <stdint.h>

#define SIGNAL_MAX       64
#define SIGNAL_REALTIME  32 /* the kernel's SIGRTMIN; numbers from here on queue and carry a value */
#define SIGNAL_MASK_NONE UINT64_C(0)
#define SIGNAL_MASK_ALL  UINT64_MAX /* the kernel itself leaves out SIGKILL and SIGSTOP */

#define SIGNAL_NAME_BYTES 16

static inline uint64_t signal_bit(int number) {
        return UINT64_C(1) << (number - 1);
}

/* Set the blocked mask of this process; the former one goes to *out_former when given. Cannot fail. */
void signals_set_mask(uint64_t mask, uint64_t *out_former);

/* A signalfd(2) for `mask`, close-on-exec and non-blocking. Returns the descriptor or -1 with errno. */
int signals_open(uint64_t mask);

/* "TERM", "SIGTERM", "RTMIN+3", "RTMAX-1" (as kill(1) of a glibc system counts them: RTMIN is 34), or a
 * number 1 to 64. Upper or lower case. Returns 0 for anything else. */
int signal_parse(const char *text);

/* The name without "SIG": "TERM", "RTMIN+3". Writes to `out` and returns it. */
const char *signal_name(int number, char out[static SIGNAL_NAME_BYTES]);
