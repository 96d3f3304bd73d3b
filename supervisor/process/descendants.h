#pragma once

/* All descendants of this process, by /proc. For a supervisor that is not PID 1 and so cannot use
 * kill(-1). */

#include <stdbool.h>
#include <stdint.h>
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

/* A child of ours whose number, group and session are given, and when it was started. */
struct descendant_orphan {
        pid_t pid, group, session;
        uint64_t started_ticks;
};

/* Does an orphan belong to the tree, although nothing that it has says so? Its descendants do as well. */
typedef bool descendant_claim(const void *owner, const struct descendant_orphan *orphan);

/* The tree of one child of ours. */
struct descendant_tree {
        pid_t root;
        bool is_alive;           /* the child itself: it and its descendants belong to the tree */
        descendant_claim *claim; /* NULL: nobody is claimed */
        const void *owner;       /* of claim */
};

/* The same for one tree: what has the session or the process group of its root, or descends from it or from
 * an orphan that is claimed. `number` 0 only counts. Returns how many there are, zombies left out, and at
 * least 1 when there was no descriptor or memory to look at all of them with; -1 when /proc cannot be
 * read. */
long descendants_signal_tree(const struct descendant_tree *tree, int number);

/* Now, in the clock ticks since boot in which /proc says when a process was started (proc(5), field 22). */
uint64_t descendants_now_ticks(void);
