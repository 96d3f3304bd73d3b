#pragma once

/* Values made up from the kernel's random numbers: base64url:N and hex:N (N random bytes, encoded),
 * alnum:N (N letters and digits). */

#include "lib/error.h"
#include "lib/secret_memory.h"

#define GENERATE_FORMS     "base64url:N, hex:N or alnum:N"
#define GENERATE_COUNT_MAX 4096

/* Make a value as `form` says. Returns 0 or -1 with a usage error. */
int value_generate(const char *form, struct arena *arena, struct secret_bytes *out, struct error *error);
