#pragma once

/* Every process below this one, by /proc. For a supervisor that is not PID 1 and so cannot say kill(-1). */

#include <stdbool.h>
#include <sys/types.h>

/* Where a process belongs. */
struct descendant {
        pid_t parent, group, session;
};

/* Look at any process; false when it is gone or /proc cannot tell. The answer may be old by the time it is used. */
bool descendant_look(pid_t pid, struct descendant *out);

/* Send `number` to every descendant. A number that could have become another process's in between is checked again behind a
 * pidfd. Returns false when /proc cannot be read: nothing was sent. */
bool descendants_signal(int number);
