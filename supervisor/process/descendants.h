#pragma once

/* All descendants of this process, by /proc. For a supervisor that is not PID 1 and so cannot use
 * kill(-1). */

#include <stdbool.h>
#include <sys/types.h>

/* Where a process belongs. */
struct descendant {
        pid_t parent, group, session;
};

/* Read where process `pid` belongs. Returns false when it is gone, or /proc is of another pid namespace. The
 * answer may be out of date when it is used. */
bool descendant_look(pid_t pid, struct descendant *out);

/* Send signal `number` to every descendant; a pid that has become another process's meanwhile gets none.
 * Returns false when /proc cannot be read: nothing was sent. */
bool descendants_signal(int number);

/* The same for the tree of one child of ours: itself, if `is_alive`, and what it has started, as far as the
 * chain of parents, the session or the process group shows. Signal 0 only counts. Returns how many there are,
 * without zombies, and at least 1 when not all could be read for want of descriptors or memory; -1 when /proc
 * cannot be read. */
long descendants_signal_tree(pid_t root, bool is_alive, int number);
