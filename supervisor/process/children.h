#pragma once

/* The children of this process: one list, one waitpid(2).
 *
 * Who starts a process puts a struct child of its own into the list and is told what becomes of it; a process
 * that is in nobody's list is an orphan, which is reaped and forgotten. A number in the list is certainly the
 * child's own: it leaves the list in the moment in which it is reaped. */

#include <stdbool.h>
#include <sys/types.h>

struct child;

/* `wait_status` as waitpid(2) gives it. on_ended: the child is in no list any more, child->pid is 0. */
typedef void child_handler(struct child *child, int wait_status);

/* Embedded in what it belongs to; all zero: no process. */
struct child {
        pid_t pid; /* 0: none, or reaped */
        child_handler *on_ended;
        child_handler *on_stopped; /* it was stopped, or goes on; NULL: nobody cares */
        void *owner;
        struct child *next, *previous;
};

struct children {
        struct child *first;
        bool is_due;    /* more may be waiting than one turn reaps: come back at once */
        bool has_none;  /* the last waitpid(2) said ECHILD */
        bool is_chatty; /* settings: a warning for each orphan that ended */
};

/* A process was started: `child` has its handlers and owner, and stays where it is until on_ended. */
void children_add(struct children *children, struct child *child, pid_t pid);

/* Nobody wants to hear of it any more; it is reaped as an orphan is. Idempotent. */
void children_remove(struct children *children, struct child *child);

/* Is that a process that somebody has put into the list? */
bool children_have(const struct children *children, pid_t pid);

/* Does this process have no child at all, reaped ones left out? What the kernel says now. */
bool children_are_none(void);

/* Reap and tell, until the kernel has nothing more to say, or a turn's share is done (is_due). */
void children_reap(struct children *children);
