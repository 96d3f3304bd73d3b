#pragma once

/* What the loader has read when it confines itself: the raw bytes of every source and key, not parsed yet.
 * Internal to secrets/. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/source/request.h"
#include "secrets/source/read.h"

enum material_kind {
        MATERIAL_DOCUMENT,   /* many variables, in the source's dialect */
        MATERIAL_FILE_VALUE, /* one value; a final line feed is not part of it */
        MATERIAL_VALUE,      /* one value, all of it */
};

struct material {
        enum material_kind kind;
        bool is_age;       /* encrypted */
        uint16_t source;   /* index into request->sources */
        const char *label; /* how messages call it; in the arena */
        const char *name;  /* of the one variable, or NULL */
        struct secret_bytes bytes;
};

/* Which file it is, whatever its name: what fstat(2) says. All zero is none. */
struct file_mark {
        dev_t device;
        ino_t number;
};

struct key_material {
        const char *label;
        const char *path; /* NULL: it came in no named file */
        bool is_passphrase;
        struct secret_bytes bytes;
        struct file_mark read; /* the file that the bytes are from */
        struct file_mark now;  /* what `path` led to at the last key_files_look() */
};

struct gathered {
        const struct load_request *request;
        struct read_bounds bounds;
        struct material *at; /* in the arena */
        size_t count;
        size_t room;
        struct key_material keys[LOAD_KEYS_MAX];
        size_t key_count;
        /* NAME=value strings of `env:` sources, from an earlier load or from now */
        struct secret_bytes captured;
        bool has_new_capture;
        char warning[256];
        char note[256];
};

/* Append one material of source `index`. */
int gathered_add(struct gathered *gathered, struct material material, struct error *error);

/* Remember a warning; several are joined as far as they fit. */
void gathered_warn(struct gathered *gathered, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for what is as it should be and yet has to be known. */
void gathered_note(struct gathered *gathered, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* printf into the arena. */
const char *gathered_text(struct gathered *gathered, struct error *error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* source.c: read every source. Opens files and sockets; before confinement. */
int sources_gather(struct gathered *gathered, struct error *error);

/* Check the source's URI without opening anything. Returns 0, or -1 with error. */
int source_check(const struct load_source *source, struct error *error);

/* The dialect of the source's document `text`: the configured one, else the one that its scheme or text
 * implies. */
const struct dialect *source_dialect(const struct load_source *source, struct bytes text);

/* True when the source's scheme says that its bytes are encrypted. */
bool source_is_age(const struct load_source *source);

/* Say in *error which source it was; returns -1. */
int source_wrap(const struct load_source *source, struct error *error);

/* directory.c: one file per variable. */
int directory_gather(
        struct gathered *gathered, uint16_t index, const char *path, bool is_age, struct error *error);

/* key.c: read every key. Must come first: it may read inherited descriptors. */
int keys_gather(struct gathered *gathered, struct error *error);

/* Check the key's form without opening anything. Returns 0, or -1 with error. */
int key_check(const struct load_key *key, struct error *error);

/* Fails when a key is a descriptor that is not open: called before another file could get its number. */
int key_check_open(const struct load_key *key, struct error *error);

/* True for a key `env:NAME`; *name is that variable's. */
bool key_is_environment(const struct load_key *key, const char **name);

/* key_file.c: files that are keys of this load, however they are named (links, hard links, descriptors). */
struct file_mark file_mark_of(const struct stat *status);
/* Look where the paths of the keys lead now: a folder that is replaced as a whole has other files since. */
void key_files_look(struct gathered *gathered);
/* Whether a key was read from the open file `fd`, or a key's path leads to it: 1, 0, or -1 with error. */
int key_file_is_in_use(const struct gathered *gathered, int fd, struct error *error);
/* True when a key of the request is the variable `env:NAME` of this name. */
bool key_variable_is_in_use(const struct load_request *request, const char *name, size_t length);

/* True for a source `env:PREFIX`; *prefix is what its variables begin with. */
bool source_is_environment(const struct load_source *source, const char **prefix);

/* environment.c: the variables that begin with `prefix`, from the capture of an earlier load or from our
 * own. */
int environment_gather(struct gathered *gathered, uint16_t index, const char *prefix, struct error *error);

/* True after environment_wiped_note(). */
bool environment_was_wiped(void);

/* Note that variables were wiped from the environment (wipe.h): the error for a missing one says so. */
void environment_wiped_note(void);

/* The key under which captured values are sealed where memfd_secret cannot be had: derived from the parent's
 * key, so that the parent needs to keep nothing but the descriptor. */
void capture_key(const struct load_request *request, uint8_t out[static 32]);
