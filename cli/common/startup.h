#pragma once

/* What the process was started with, kept by main before anything changes it. */

#include "shim/launch.h"

/* The blocked mask, SIGCHLD's disposition, the core limit; for the app. Valid after startup_capture(). */
const struct launch_inheritance *startup_inheritance(void);

/* Block every signal, look at the rest, put /dev/null where a standard stream is closed. The first thing main
 * does: PID 1 must not lose a signal that it could have kept. */
void startup_capture(void);

/* True when standard stream 0, 1 or 2 was closed, and is /dev/null now. */
bool startup_had_closed(int stream);

/* Give the mask back, for verbs that should simply die of Ctrl-C. */
void startup_restore_signals(void);

/* Print what kept run, exec or an init from starting. Returns its exit status; EXIT_STATUS_SUPERVISOR when it
 * has none or when it is no fault of what was asked for: no memory, no descriptor, no process. */
int startup_error_exit(const struct error *error);

/* Core files off, the former limit kept for the app; for processes that come near secrets. */
void startup_harden(void);
