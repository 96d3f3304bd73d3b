#pragma once

/* Replace a file so that, whatever happens at whatever instant, its name stands for the old bytes or for
 * the new ones.
 *
 * Lock, write a nameless temporary file in the same directory, fsync it, give it owner and mode of the old
 * one, rename, fsync the directory. A symbolic link is followed and its target replaced. The lock is an
 * flock(2) on the file itself, taken again when the name has got a new file meanwhile, so two programs
 * that read, change and write one after the other both land, and no lock file is left behind. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/bytes.h"
#include "lib/error.h"

struct atomic_file {
        int directory; /* -1: not open */
        int target;    /* the locked old file, open for reading; -1: there is none */
        struct stat was;
        char path[PATH_MAX]; /* symbolic links resolved; for messages and for the directory */
        const char *name;    /* the last part of `path` */
};

#define ATOMIC_FILE_NEW  1 /* there is no such file (nothing is locked then) */
#define ATOMIC_FILE_BUSY 2 /* another process held the lock for all of `wait_ns` */
#define ATOMIC_FILE_EXISTS                                                                                   \
        3 /* the file has come into being since atomic_file_open() said that there was none */

/* Find and lock what `path` names. Returns 0, ATOMIC_FILE_NEW, ATOMIC_FILE_BUSY, or -1 with error (no such
 * directory, not a regular file, a link to nothing, not readable). `*file` may be closed in every case. */
int atomic_file_open(struct atomic_file *file, const char *path, int64_t wait_ns, struct error *error);

/* Put `content` in place of the file and keep the lock. `new_mode` is for a file that did not exist; an
 * old one's owner, mode and access control list are kept, or nothing is replaced. Signals that would end
 * the process are held back until no temporary file is left.
 * Returns 0; ATOMIC_FILE_EXISTS (the file was new: open again and start over); -1 with error: the old file
 * stands. */
int atomic_file_replace(struct atomic_file *file, struct bytes content, mode_t new_mode, struct error *error);

/* True when the name still stands for the file that was opened: no program without our lock has replaced
 * it. */
bool atomic_file_is_current(const struct atomic_file *file);

/* Unlock and close. Idempotent; safe on ATOMIC_FILE_INIT. */
void atomic_file_close(struct atomic_file *file);

#define ATOMIC_FILE_INIT    ((struct atomic_file){.directory = -1, .target = -1})
#define CLEANUP_ATOMIC_FILE __attribute__((cleanup(atomic_file_close)))
