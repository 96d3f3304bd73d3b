#pragma once

/* Job control: which process group has the terminal's foreground (termios(3), credentials(7), "process groups
 * and sessions").
 *
 * The app runs in a process group of its own and gets the foreground only if tacet had it; tacet takes it
 * back when the app stops or ends, and stops itself with the app, so that its shell sees a stopped job. */

#include <stdbool.h>
#include <sys/types.h>

struct terminal {
        int fd; /* the controlling terminal, or -1 */
};

/* Find the controlling terminal: /dev/tty, else one of the standard streams. Never fails: no terminal is fd
 * -1. */
void terminal_open(struct terminal *terminal);

/* True when tacet's own process group is in the foreground. */
bool terminal_is_ours(const struct terminal *terminal);

/* Give the foreground to `group` if it is ours; SIGTTOU must be blocked. */
void terminal_give(const struct terminal *terminal, pid_t group);

/* Take the foreground back from `group`, if that has it. */
void terminal_take_back(const struct terminal *terminal, pid_t group);

/* Stop this process group as Ctrl-Z would, and return when it goes on. In an orphaned process group (a
 * container's first process, a script without job control) the kernel discards the stop and this returns at
 * once. All signals are blocked before and after. */
void terminal_suspend_self(void);
