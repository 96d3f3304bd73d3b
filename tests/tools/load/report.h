#pragma once

/* What the load generator knows at its end, and the JSON it makes of it: see tests/tools/load.c for the
 * members. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outcome { OUTCOME_PENDING, OUTCOME_OK, REFUSED, RESET, CUT, TIMEOUT, STATUS, LOCAL, OUTCOMES };

struct request {
        int64_t due_ns, done_ns;
        uint8_t outcome;
        bool is_slow;
};

/* One process that answered, as it named itself. */
struct answerer {
        long generation, pid;
        char label[32];
        uint32_t count;
        int64_t first_ns, last_ns;
};

struct report {
        const struct request *requests;
        const struct answerer *answerers;
        const int64_t *marks;
        size_t request_count, answerer_count, mark_count;
        int64_t begin_ns, stall_ns, window_ns;
};

/* Print it on standard output. Returns 0, or -1 when there is no memory. */
int report_print(const struct report *report);
