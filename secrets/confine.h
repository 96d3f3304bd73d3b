#pragma once

/* Confining a process that parses foreign bytes. Internal to secrets/. */

#include "lib/error.h"

/* Give up, for ever, every capability, every file, every socket, every program and every process: afterwards
 * this process can compute, allocate memory that is not executable, use the descriptors it holds, send its
 * message and exit. Any other system call kills it. Where the kernel has no landlock, only the seccomp filter
 * is installed. Returns 0, or -1 with error: without seccomp. */
int confine_self(struct error *error);

/* The part that landlock does: no file, tcp port, abstract socket or signal. Needs no_new_privs; does nothing
 * where the kernel has no landlock. Returns 0, or -1 with error. */
int confine_files(struct error *error);
