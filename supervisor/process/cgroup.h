#pragma once

/* Cgroups of version 2 below our own: cgroups(7), Documentation/admin-guide/cgroup-v2.rst. No controller is
 * ever enabled, so tacet itself may stay where it is ("no internal processes" binds only a cgroup that
 * distributes controllers). */

#include <stdbool.h>

#include "lib/error.h"

/* Our own cgroup's directory, if others may be made in it and processes moved there. In a cgroup that systemd
 * manages only when it has been delegated (Delegate=yes). Returns a descriptor, or -1 with the reason in
 * `error`. */
int cgroup_open_own(struct error *error);

/* Make `name` in `base_fd`. Returns a descriptor of its cgroup.procs for writing, or -1. */
int cgroup_make(int base_fd, const char *name, struct error *error);

/* A process is in it or below it; false also when it is gone. Without a descriptor or memory to look with:
 * true. */
bool cgroup_is_populated(int base_fd, const char *name);

/* To every process in it; KILL also below it, and to those that are being forked. */
void cgroup_signal(int base_fd, const char *name, int number);

/* Returns false when somebody is still there. */
bool cgroup_remove(int base_fd, const char *name);
