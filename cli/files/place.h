#pragma once

/* A folder in memory for one plaintext file: seen by nobody else where the kernel allows it. */

#include <limits.h>
#include <stdbool.h>

#include "lib/error.h"

#define PLACE_PATH_BYTES 256

/* The folder, as made by place_make(). */
struct place {
        int folder;                  /* open on it; -1: none */
        bool is_private;             /* a file system of this process's own mount namespace */
        char path[PLACE_PATH_BYTES]; /* as the editor sees it */
};

/* Make the folder, for this process and its children.
 * place        overwritten; place_remove() it in every case
 * is_private   true: seen by them alone. The calling process leaves its mount namespace for good (as an
 *              ordinary user also its user namespace), even when this fails; it must hold no secret yet,
 *              because it is made readable to its own user.
 *              false: a folder in memory that all processes of this user see, for an editor that hands the
 *              file to an open window, or where there are no namespaces
 * Returns 0 or -1 with error. */
int place_make(struct place *place, bool is_private, struct error *error);

/* Remove the folder and what is in it. A private one is gone with the last process that sees it; a visible
 * one is overwritten, emptied and removed. Errors are not reported: nobody is left to read them. */
void place_remove(struct place *place);
