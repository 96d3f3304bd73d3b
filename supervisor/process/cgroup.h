#pragma once

/* Cgroups of version 2 below our own: cgroups(7), Documentation/admin-guide/cgroup-v2.rst. No controller is
 * ever enabled, so tacet itself may stay where it is ("no internal processes" binds only a cgroup that
 * distributes controllers). */

#include <stdbool.h>

#include "lib/error.h"

/* Open our own cgroup's directory, if cgroups may be made in it and processes moved there. In a cgroup that
 * systemd manages only when it is delegated (Delegate=yes). Returns a descriptor that the caller closes, or
 * -1 with the reason in `error`. */
int cgroup_open_own(struct error *error);

/* Make the cgroup `name` in `base_fd`. Returns a descriptor of its cgroup.procs for writing, which the caller
 * closes, or -1 with error. */
int cgroup_make(int base_fd, const char *name, struct error *error);

/* True when a process is in the cgroup or below it, or when this cannot be read for want of descriptors or
 * memory; false also when the cgroup is gone. */
bool cgroup_is_populated(int base_fd, const char *name);

/* How many processes are in the cgroup itself; 0 also when that cannot be read. */
long cgroup_count(int base_fd, const char *name);

/* Send signal `number` to every process in the cgroup; SIGKILL also to those below it and those being
 * forked. */
void cgroup_signal(int base_fd, const char *name, int number);

/* Remove the cgroup. Returns false, with errno, when that failed: a process is still in it. */
bool cgroup_remove(int base_fd, const char *name);
