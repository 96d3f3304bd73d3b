#pragma once

/* The cage around a process that parses foreign bytes. Internal to secrets/. */

#include "lib/error.h"

/* Give up, for ever, every capability, every file, every socket, every program and every process: afterwards
 * this process can compute, allocate memory that is not executable, use the descriptors it holds, send its
 * message and exit. Any other system call kills it. Where the kernel has no landlock the seccomp filter
 * stands alone; without seccomp: -1. */
int confine_self(struct error *error);

/* The part of it that landlock does: no file, tcp port, abstract socket or signal. Needs no_new_privs; does
 * nothing where the kernel has no landlock. */
int confine_files(struct error *error);
