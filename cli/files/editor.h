#pragma once

/* An editor on a plaintext that nobody else sees: a guard process keeps the private folder and runs the
 * editor in it. The order of calls: start, put, then run and get as often as it takes, stop. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cli/files/keys.h"
#include "cli/files/place.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/secret_memory.h"

/* The verb's side of it. Begin with EDITOR_INIT. */
struct editor {
        struct place place; /* its folder is open in this process too */
        int channel;        /* to the guard; -1: none */
        pid_t guard;
};

#define EDITOR_INIT ((struct editor){.place = {.folder = -1}, .channel = -1})

/* Fork the guard and let it make the folder; when a private one cannot be had, a warning is printed and a
 * visible one is made. Call it before any secret is in memory: the guard keeps a copy of that memory.
 * wants_visible   a folder that this user's other programs see, from the beginning
 * keys            its `env:` identities are removed from the editor's environment
 * Returns 0 or -1 with error; editor_stop() it in both cases. */
int editor_start(
        struct editor *editor, bool wants_visible, const struct key_options *keys, struct error *error);

/* Write `text` as the new file `name` (without a folder) in the folder. Returns 0 or -1 with error. */
int editor_put(struct editor *editor, const char *name, struct bytes text, struct error *error);

/* Run $VISUAL or $EDITOR on the file `name` and wait as long as it takes; ^C is the editor's meanwhile.
 * Returns 0 when it ended with status 0, else -1 with error: it cannot be started, a signal or a status ended
 * it, the guard is gone. */
int editor_run(struct editor *editor, const char *name, struct error *error);

/* Read the file back: the one that has the name now, since many editors write a new one.
 * bytes_max   a larger one is an error
 * out         in `arena`
 * Returns 0 or -1 with error. */
int editor_get(struct editor *editor, const char *name, size_t bytes_max, struct arena *arena,
        struct secret_bytes *out, struct error *error);

/* End the guard and wait until the folder is gone. Idempotent. */
void editor_stop(struct editor *editor);
#define CLEANUP_EDITOR __attribute__((cleanup(editor_stop)))
