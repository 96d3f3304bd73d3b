#pragma once

/* Durations and sizes as people write them in configuration: `30s 5m 1h30m 500ms 7d`, `64K 1M`. */

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_US  INT64_C(1000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_S   INT64_C(1000000000)
#define NS_FOREVER INT64_MAX

/* Parse a duration: one or more NUMBER UNIT pairs without blanks, units us ms s m min h d w; a bare number is
 * seconds; `infinity` gives NS_FOREVER. A fraction is written in the next smaller unit, not with a point.
 * Returns false for anything else, or on overflow; *out_ns is then untouched. Spelling follows
 * systemd.time(7). */
bool duration_parse(const char *text, int64_t *out_ns);

/* Parse a size in bytes: NUMBER with an optional suffix K, M or G (powers of 1024). `infinity` gives
 * UINT64_MAX. */
bool size_parse(const char *text, uint64_t *out_bytes);

/* Write `ns` the way a person reads it (`250ms`, `1.5s`, `2m5s`, `infinity`) into `out`, which it returns. */
const char *duration_format(int64_t ns, char out[static 32]);

/* CLOCK_MONOTONIC, in ns: the clock of every deadline in the program. Jumps of the wall clock do not move
 * it. */
int64_t time_now_ns(void);

/* Add, with NS_FOREVER absorbing: a deadline that does not exist stays so. */
int64_t time_add(int64_t time_ns, int64_t delay_ns);
