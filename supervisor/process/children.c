/* Reaping, called by the supervisor's loop. The only waitpid(2) of the supervisor: two would take each
 * other's statuses.
 *
 * One SIGCHLD may stand for several children, and comes for stopped children and from kill(1) as well, so it
 * only means that there may be something: waitpid(2) is called until it has no more (signal(7)). */

#include "supervisor/process/children.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "lib/log.h"

#define REAPED_PER_TURN 2048 /* then signals and deadlines get their turn */

void children_add(struct children *children, struct child *child, pid_t pid) {
        child->pid = pid;
        child->previous = NULL;
        child->next = children->first;
        if (children->first)
                children->first->previous = child;
        children->first = child;
        children->has_none = false;
}

void children_remove(struct children *children, struct child *child) {
        if (child->pid == 0)
                return;
        if (child->next)
                child->next->previous = child->previous;
        if (child->previous)
                child->previous->next = child->next;
        else
                children->first = child->next;
        child->next = child->previous = NULL;
        child->pid = 0;
}

static struct child *child_find(const struct children *children, pid_t pid) {
        for (struct child *child = children->first; child; child = child->next)
                if (child->pid == pid)
                        return child;
        return NULL;
}

bool children_have(const struct children *children, pid_t pid) {
        return child_find(children, pid) != NULL;
}

bool children_are_none(void) {
        siginfo_t unused;

        return waitid(P_ALL, 0, &unused, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static void child_changed(struct children *children, pid_t pid, int wait_status) {
        struct child *child = child_find(children, pid);

        if (WIFSTOPPED(wait_status) || WIFCONTINUED(wait_status)) {
                if (child && child->on_stopped)
                        child->on_stopped(child, wait_status);
                return;
        }
        if (!child) {
                log_write(children->is_chatty ? LOG_WARNING : LOG_DEBUG, "Reaped zombie process with pid=%d",
                        (int)pid);
                return;
        }
        children_remove(children, child);
        child->on_ended(child, wait_status);
}

void children_reap(struct children *children) {
        children->is_due = false;
        for (int turn = 0; turn < REAPED_PER_TURN; turn++) {
                int wait_status;
                pid_t pid = waitpid(-1, &wait_status, WNOHANG | WUNTRACED | WCONTINUED);

                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid <= 0) {
                        children->has_none = pid < 0;
                        return;
                }
                child_changed(children, pid, wait_status);
        }
        children->is_due = true;
}
