#pragma once

/* Values made up from the kernel's random numbers, so that nobody has to think of one, type it or paste it:
 * base64url:N and hex:N (N random bytes, encoded), alnum:N (N letters and digits, each equally likely). */

#include "lib/error.h"
#include "lib/secret_memory.h"

#define GENERATE_FORMS     "base64url:N, hex:N or alnum:N"
#define GENERATE_COUNT_MAX 4096

/* Make a value.
 * form   one of GENERATE_FORMS with N from 1 to GENERATE_COUNT_MAX
 * out    lies in `arena`
 * Returns 0; or -1 with error: a form that is none (EXIT_STATUS_USAGE; the message does not repeat it, it may
 * be a value at the wrong place), or no room in the arena. */
int value_generate(const char *form, struct arena *arena, struct secret_bytes *out, struct error *error);
