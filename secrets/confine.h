#pragma once

/* Confining a process that parses foreign bytes. Internal to secrets/. */

#include "lib/error.h"

/* Give up, for ever, every capability, every file, every socket, every program and every process: afterwards
 * this process can compute, allocate memory that is not executable, use the descriptors it holds, send its
 * message and exit. Any other system call kills it. Where landlock is not to be had the seccomp filter stands
 * alone, also where capset(2) is refused; without seccomp: -1.
 * missing   a set of TRIAL_BIT()s: what is not to be called, because a filter would end this process */
int confine_self(unsigned missing, struct error *error);

/* The part that landlock does: no file, tcp port, abstract socket or signal. Needs no_new_privs; does nothing
 * where the kernel has no landlock. Returns 0, or -1 with error. */
int confine_files(struct error *error);
