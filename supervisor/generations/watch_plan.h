#pragma once

/* Which directory entries decide what a path leads to: what must be watched so that no change of it is
 * missed.
 *
 * The path is walked as the kernel does (path_resolution(7)), one component at a time, with the file system
 * behind two functions, so that tests need none. A component is watched before it is looked at, so that no
 * change in between is missed. */

#include <limits.h>

/* What stands at a path; a link is not followed. */
enum watch_found { WATCH_MISSING, WATCH_FILE, WATCH_DIRECTORY, WATCH_LINK };

/* What is watched of a directory. */
enum watch_what {
        WATCH_SELF,  /* that it is moved, deleted, or its rights change; `name` is NULL */
        WATCH_ENTRY, /* that its entry `name` comes, goes, changes, or is written */
        WATCH_ALL,   /* the same of all its entries; `name` is NULL */
};

enum watch_kind {
        WATCH_KIND_FILE,
        WATCH_KIND_DIRECTORY, /* all entries, and those of its ..data link (a Kubernetes volume) */
};

#define WATCH_PLANNED  0
#define WATCH_UNSTEADY 1 /* the path changed under the walk: walk again, soon */

struct watch_walk {
        void *context;
        /* What is at `path`? A link's target goes to `target`, cut when it is too long. */
        enum watch_found (*look)(void *context, const char *path, char target[static PATH_MAX]);
        /* Watch a directory. Returns 0, WATCH_UNSTEADY when there is no such directory (any more), -1 when it
         * cannot be watched. */
        int (*see)(void *context, const char *directory, enum watch_what what, const char *name);
};

/* Walk `path`, and have all watched that matters. Returns WATCH_PLANNED, WATCH_UNSTEADY, or -1: something
 * cannot be watched (see() knows what), or the path is too long or leads through more than 40 links. The rest
 * is watched in any case. */
int watch_plan(const char *path, enum watch_kind kind, const struct watch_walk *walk);
