/* Durations, sizes and the monotonic clock: see duration.h. */

#include "lib/duration.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/bytes.h"

static const struct {
        const char *name;
        int64_t ns;
} duration_units[] = {
        {"us", NS_PER_US},
        {"ms", NS_PER_MS},
        {"s", NS_PER_S},
        {"min", 60 * NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
        {"d", 86400 * NS_PER_S},
        {"w", 7 * 86400 * NS_PER_S},
};

static int64_t unit_ns(const char *text, size_t length) {
        for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++)
                if (strlen(duration_units[i].name) == length &&
                        memcmp(duration_units[i].name, text, length) == 0)
                        return duration_units[i].ns;
        return 0;
}

bool duration_parse(const char *text, int64_t *out_ns) {
        const char *start = text;
        int64_t total = 0;

        if (strcmp(text, "infinity") == 0) {
                *out_ns = NS_FOREVER;
                return true;
        }
        if (!*text)
                return false;
        while (*text) {
                size_t digits = strspn(text, "0123456789");
                size_t letters = strspn(text + digits, "abcdefghijklmnopqrstuvwxyz");
                int64_t unit = letters ? unit_ns(text + digits, letters) : NS_PER_S;
                uint64_t number;
                int64_t part;

                if (unit == 0 || !bytes_to_u64(text, digits, &number))
                        return false;
                if (letters == 0 && (text != start || text[digits])) /* a bare number stands alone */
                        return false;
                if (__builtin_mul_overflow(number, unit, &part) ||
                        __builtin_add_overflow(total, part, &total))
                        return false;
                text += digits + letters;
        }
        *out_ns = total;
        return true;
}

bool size_parse(const char *text, uint64_t *out_bytes) {
        static const char suffixes[] = "KMG";
        size_t digits = strspn(text, "0123456789");
        const char *suffix;
        uint64_t number;

        if (strcmp(text, "infinity") == 0) {
                *out_bytes = UINT64_MAX;
                return true;
        }
        if (!bytes_to_u64(text, digits, &number))
                return false;
        if (text[digits]) {
                suffix = strchr(suffixes, text[digits]);
                if (!suffix || text[digits + 1])
                        return false;
                for (ptrdiff_t i = 0; i <= suffix - suffixes; i++)
                        if (__builtin_mul_overflow(number, (uint64_t)1024, &number))
                                return false;
        }
        *out_bytes = number;
        return true;
}

const char *duration_format(int64_t ns, char out[static 32]) {
        int64_t seconds = ns / NS_PER_S, ms = ns / NS_PER_MS;

        if (ns == NS_FOREVER)
                snprintf(out, 32, "infinity");
        else if (ns < NS_PER_MS)
                snprintf(out, 32, "%" PRId64 "us", ns / NS_PER_US);
        else if (ns < 10 * NS_PER_S && ms % 1000)
                ms < 1000 ? snprintf(out, 32, "%" PRId64 "ms", ms)
                          : snprintf(out, 32, "%" PRId64 ".%01" PRId64 "s", seconds, ms % 1000 / 100);
        else if (seconds < 120)
                snprintf(out, 32, "%" PRId64 "s", seconds);
        else if (seconds < 7200)
                snprintf(out, 32, "%" PRId64 "m%" PRId64 "s", seconds / 60, seconds % 60);
        else if (seconds < 172800)
                snprintf(out, 32, "%" PRId64 "h%" PRId64 "m", seconds / 3600, seconds / 60 % 60);
        else
                snprintf(out, 32, "%" PRId64 "d%" PRId64 "h", seconds / 86400, seconds / 3600 % 24);
        return out;
}

int64_t time_now_ns(void) {
        struct timespec now = {0};

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t time_add(int64_t time_ns, int64_t delay_ns) {
        int64_t sum;

        if (time_ns == NS_FOREVER || delay_ns == NS_FOREVER ||
                __builtin_add_overflow(time_ns, delay_ns, &sum))
                return NS_FOREVER;
        return sum;
}
