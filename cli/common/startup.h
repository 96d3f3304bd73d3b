#pragma once

/* What the process was started with, kept by main before anything changes it: the app gets it back, whatever
 * tacet needed for itself in between. One per process, in static memory. */

#include "shim/launch.h"

/* The blocked mask, SIGCHLD's disposition, the core limit; for the app. Valid after startup_capture(). */
const struct launch_inheritance *startup_inheritance(void);

/* No core file and no reading by others of the same user (process_harden()); the former core limit is kept
 * for the app. The very first thing main does, whatever the verb: who opens /proc/PID/mem of a process while
 * it may be read keeps it open, and reads later (proc(5)). What lies before main is the matter of the
 * program's mode: docs/SECURITY.md. */
void startup_harden(void);

/* Take startup_harden() back, for a process that never holds a secret. An undumpable one belongs to root in
 * /proc, whoever runs it (proc(5)), and then an app that is not root cannot open /proc/1/fd/1, as cron lines
 * and log scripts do in containers. Whether the program file may be read makes no difference after it. */
void startup_hold_no_secret(void);

/* Block every signal, look at the rest, put /dev/null where a standard stream is closed. What main does next:
 * the kernel drops a signal to PID 1 that is neither blocked nor handled (pid_namespaces(7)), and the next
 * open(2) would take a closed stream's number. Cannot fail. */
void startup_capture(void);

/* True when standard stream 0, 1 or 2 was closed, and is /dev/null now. */
bool startup_had_closed(int stream);

/* Give the mask back, for verbs that should simply die of Ctrl-C. */
void startup_restore_signals(void);

/* Print what kept run, exec or an init from starting. Returns its exit status; EXIT_STATUS_SUPERVISOR when it
 * has none or when it is no fault of what was asked for: no memory, no descriptor, no process. */
int startup_error_exit(const struct error *error);
