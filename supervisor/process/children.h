#pragma once

/* The children of this process: one list, one waitpid(2).
 *
 * A room that starts a process puts a struct child of its own into the list and is told what becomes of it; a
 * process that is not in the list is an orphan, which is reaped and forgotten. A pid in the list is never
 * another process's: it leaves the list when it is reaped. */

#include <stdbool.h>
#include <sys/types.h>

struct child;

/* `wait_status` as waitpid(2) gives it. When on_ended is called, the child is off the list and child->pid is
 * 0. */
typedef void child_handler(struct child *child, int wait_status);

/* Embedded in what it belongs to; all zero: no process. */
struct child {
        pid_t pid; /* 0: none, or reaped */
        child_handler *on_ended;
        child_handler *on_stopped; /* it was stopped or continued; may be NULL */
        void *owner;
        struct child *next, *previous;
};

struct children {
        struct child *first;
        bool is_due;    /* children_reap() did its share, and more may be waiting: call it again at once */
        bool has_none;  /* the last waitpid(2) said ECHILD */
        bool is_chatty; /* settings: a warning for each orphan that ended */
};

/* Note the process that was started: `child` has its handlers and owner, is borrowed and stays in place until
 * on_ended. */
void children_add(struct children *children, struct child *child, pid_t pid);

/* Call no handler of `child` any more; its process is reaped as an orphan. Harmless for one that is not
 * listed. */
void children_remove(struct children *children, struct child *child);

/* Is that a process that somebody has put into the list? */
bool children_have(const struct children *children, pid_t pid);

/* Does this process have no child at all, reaped ones left out? What the kernel says now. */
bool children_are_none(void);

/* Reap and tell, until the kernel has nothing more to say, or a turn's share is done (is_due). */
void children_reap(struct children *children);
