#pragma once

/* Every process below this one, by /proc. For a supervisor that is not PID 1 and so cannot say kill(-1). */

#include <stdbool.h>
#include <sys/types.h>

/* Where a process belongs. */
struct descendant {
        pid_t parent, group, session;
};

/* Look at any process; false when it is gone or /proc cannot tell. The answer may be old by the time it is
 * used. */
bool descendant_look(pid_t pid, struct descendant *out);

/* Send `number` to every descendant. A number that could have become another process's in between is checked
 * again behind a pidfd. Returns false when /proc cannot be read: nothing was sent. */
bool descendants_signal(int number);

/* The same for the tree of one child of ours: itself, if it is still alive, and what it has started, as far
 * as the chain of parents, the session or the process group says so. `number` 0 only counts. Returns how many
 * there are, zombies left out, and at least 1 when there was no descriptor or memory to look at all of them
 * with; -1 when /proc cannot be read. */
long descendants_signal_tree(pid_t root, bool is_alive, int number);
