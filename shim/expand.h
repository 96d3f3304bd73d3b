#pragma once

/* %g, %r and %% in what an app is started with: its generation, its replica, a %. Runs in the shim, which has
 * a heap of its own; never in a vfork. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is expanded, and the numbers of this start. All zero: nothing is. */
struct launch_expansion {
        size_t arguments, settings; /* the first so many of argv, and of environment.settings */
        bool has_directory;
        uint64_t generation;
        uint32_t replica;
};

/* Is anything? */
static inline bool expansion_is_wanted(const struct launch_expansion *expansion) {
        return expansion->arguments || expansion->settings || expansion->has_directory;
}

/* The text with its numbers, on the heap; another letter behind a % stays as it is, conf/expand.c has refused
 * it. NULL: no memory. */
char *expand_text(const char *text, const struct launch_expansion *expansion);

/* A NULL-terminated list whose first `count` texts are expanded, the others borrowed; on the heap. NULL: no
 * memory. */
char **expand_list(char *const *list, size_t count, const struct launch_expansion *expansion);
