#pragma once

/* A secret document in its age file: opened, changed in memory, checked, and put back. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/files/keys.h"
#include "lib/atomic_file.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"
#include "secrets/document/document.h"

#define SECRET_FILE_BYTES_MAX ((size_t)8 * 1024 * 1024) /* of the age file */
/* Bytes of address space for the text, its sealed form, the changed text, what parsing them takes, and keys.
 * Only what is used becomes memory. */
#define SECRET_FILE_ARENA_BYTES ((size_t)256 * 1024 * 1024)

/* One file through prepare, lock, save, close. Begin with SECRET_FILE_INIT; all bytes lie in the arena that
 * the calls are given, which must be the same one. */
struct secret_file {
        const char *path; /* borrowed */
        /* open and locked from secret_file_lock() on */
        struct atomic_file file;
        struct bytes sealed; /* as it lies on disk */
        struct age_description description;
        struct key_ring ring;
        struct secret_bytes text; /* what it holds; empty when it is new */
        const struct dialect *dialect;
        bool is_new;
};

#define SECRET_FILE_NEW 1 /* there is no such file */

/* Look at the file and collect the keys, asking for passphrases where needed; nothing is locked while a
 * person types. Keys that file->ring has of an earlier file stay in it. For a file that does not exist only
 * keys that were given by an option are collected.
 * Returns 0, SECRET_FILE_NEW, or -1. Close it in every case. */
int secret_file_prepare(struct secret_file *file, const char *path, const struct key_options *options,
        struct arena *arena, struct error *error);

/* Decrypt what secret_file_prepare() read, into file->text; for verbs that change nothing and take no lock.
 * Returns 0 or -1 with error. */
int secret_file_decrypt(struct secret_file *file, struct arena *arena, struct error *error);

/* Lock the file, read it again and decrypt it: what was read before the lock may be old. Waits at most
 * LOCK_WAIT_NS, and says so when that takes longer than a moment. May be called again; gives up an earlier
 * lock.
 * Returns 0; SECRET_FILE_NEW, with an empty text; or -1 with error. */
int secret_file_lock(struct secret_file *file, struct arena *arena, struct error *error);

/* Parse `text` as the loader would: what cannot be loaded must not be saved. What parsing takes in the arena
 * is given back. Returns 0 or -1 with error, which names the line. */
int secret_file_check(
        const struct secret_file *file, struct bytes text, struct arena *arena, struct error *error);

/* After secret_file_check(): a text without a single name in the place of one that had some is refused unless
 * may_be_empty, since most often a program failed or a hand slipped; at a terminal it is asked. Returns 0 or
 * -1 with error. */
int secret_file_check_names(const struct secret_file *file, struct bytes text, bool may_be_empty,
        struct arena *arena, struct error *error);

/* Encrypt `text`, armored as the old file was, and replace the locked file, which keeps its mode and owner; a
 * new one gets 0600.
 * Returns 0; ATOMIC_FILE_EXISTS: somebody made the file meanwhile, start again from secret_file_lock(); or -1
 * with error: the old file stands. */
int secret_file_save(struct secret_file *file, const struct age_recipients *recipients, struct bytes text,
        struct error *error);

/* Give up the lock. Idempotent, and safe on SECRET_FILE_INIT. What lies in the arena is the arena's. */
void secret_file_close(struct secret_file *file);
#define CLEANUP_SECRET_FILE __attribute__((cleanup(secret_file_close)))
#define SECRET_FILE_INIT    ((struct secret_file){.file = ATOMIC_FILE_INIT})
