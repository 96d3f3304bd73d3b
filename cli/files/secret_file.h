#pragma once

/* A secret document in its age file: opened, changed in memory, checked, and put back. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/files/keys.h"
#include "cli/files/recipients.h"
#include "lib/atomic_file.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"
#include "secrets/document/document.h"

#define SECRET_FILE_BYTES_MAX ((size_t)8 * 1024 * 1024)
/* The text, its sealed form, the changed text, what parsing them takes, and keys. */
#define SECRET_FILE_ARENA_BYTES ((size_t)256 * 1024 * 1024)

struct secret_file {
        const char *path;
        struct atomic_file file;
        struct bytes sealed; /* as it lies on disk */
        struct age_description description;
        struct key_ring ring;
        struct secret_bytes text; /* what it holds; empty when it is new */
        enum document_dialect dialect;
        bool is_new;
};

#define SECRET_FILE_NEW 1 /* there is no such file */

/* Look at the file and collect the keys, asking for passphrases where needed; nothing is locked while a
 * person types. For a file that does not exist only keys that were given by an option are collected.
 * Returns 0, SECRET_FILE_NEW, or -1. Close it in every case. */
int secret_file_prepare(struct secret_file *file, const char *path, const struct key_options *options,
        struct arena *arena, struct error *error);

/* Decrypt what was read; for verbs that change nothing. */
int secret_file_decrypt(struct secret_file *file, struct arena *arena, struct error *error);

/* Lock the file, read it again and decrypt it. Returns 0, SECRET_FILE_NEW, or -1. */
int secret_file_lock(struct secret_file *file, struct arena *arena, struct error *error);

/* The text must be a document that can be loaded. */
int secret_file_check(
        const struct secret_file *file, struct bytes text, struct arena *arena, struct error *error);

/* Encrypt `text`, armored as the old file was, and replace the locked file. Returns 0; ATOMIC_FILE_EXISTS:
 * start again from secret_file_lock(); -1: the old file stands. */
int secret_file_save(struct secret_file *file, const struct age_recipients *recipients, struct bytes text,
        struct error *error);

void secret_file_close(struct secret_file *file);
#define CLEANUP_SECRET_FILE __attribute__((cleanup(secret_file_close)))
#define SECRET_FILE_INIT    ((struct secret_file){.file = ATOMIC_FILE_INIT})
