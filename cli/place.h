#pragma once

/* A folder in memory for one plaintext file: seen by nobody else where the kernel allows it. */

#include <limits.h>
#include <stdbool.h>

#include "lib/error.h"

#define PLACE_PATH_BYTES 256

struct place {
        int folder;                  /* open on it; -1: none */
        bool is_private;             /* a file system of this process's own mount namespace */
        char path[PLACE_PATH_BYTES]; /* as the editor sees it */
        char warning[160];           /* why it is not private; empty when it is, or when that was asked for */
};

/* Make the folder, for this process and its children. The calling process changes its mount namespace for
 * good (as an ordinary user also its user namespace) and must hold no secret yet: it is made readable to
 * its own user for a moment.
 * wants_visible    make it a folder that other processes of this user see, for an editor that hands the
 * file to a window                  which is already open
 * Returns 0 or -1 with error: neither a mount namespace nor a folder in memory can be had. */
int place_make(struct place *place, bool wants_visible, struct error *error);

/* Remove the folder and what is in it. A private one is gone with the last process that sees it; a visible
 * one is overwritten, emptied and removed. Errors are not reported: nobody is left to read them. */
void place_remove(struct place *place);
