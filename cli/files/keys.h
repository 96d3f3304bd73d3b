#pragma once

/* What opens an age file, as the person gave it: identities, a passphrase file, or a passphrase typed at
 * the terminal. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/common/options.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

/* Rows for the table of a verb that opens files.
 * type, member   the verb's request, and the struct key_options in it */
#define OPTION_SPEC_IDENTITY(type, member)                                                                   \
        {                                                                                                    \
                .letter = 'i', .name = "identity", .value = "FILE", .is_repeatable = true,                   \
                .help = "open with the identities in FILE, or - (standard input), fd:N,\n"                   \
                        "env:NAME, credential:NAME; or with passphrase-file:FILE,\n"                         \
                        "passphrase-fd:N (repeatable)",                                                      \
                .take = key_options_take_identity, .offset = OPTION_MEMBER(type, member, struct key_options) \
        }
#define OPTION_SPEC_PASSPHRASE_FILE(type, member)                                                            \
        {                                                                                                    \
                .name = "passphrase-file", .value = "FILE",                                                  \
                .help = "read the passphrase from FILE (a final line end is left out)",                      \
                OPTION_KEEPS(type, member.passphrase_file)                                                   \
        }

#define KEYS_NOTES                                                                                           \
        "Without -i the identity is $TACET_IDENTITY, else tacet/identity.txt in\n"                           \
        "$XDG_CONFIG_HOME or ~/.config. A passphrase is asked for at the terminal."

#define IDENTITY_OPTIONS_MAX 64 /* -i on one command line */

/* What the command line says of keys; strings of argv. Zero-initialise. */
struct key_options {
        const char *identities[IDENTITY_OPTIONS_MAX]; /* the values of -i, as they were given */
        size_t identity_count;
        const char *passphrase_file; /* --passphrase-file; NULL: not given */
};

/* The taker of -i: notes it in a struct key_options; nothing is opened yet. -1: too many. */
int key_options_take_identity(void *member, const struct option_reader *reader, struct error *error);

/* Remove the variables that `env:NAME` identities name from this process's environment, values wiped: for a
 * process that goes on to run somebody else's program. Variables that are not there are no error. */
void key_options_forget_environment(const struct key_options *options);

/* Everything that may open a file. The keys lie in the arena that they were loaded into. */
struct key_ring {
        struct age_keys keys;
        struct secret_bytes passphrase; /* the last one in `keys` */
        bool has_passphrase;
        bool has_given, has_identities; /* collected already: a ring can go from file to file */
};

/* Collect what can open `path`: every passphrase and identity that was given, else the default identity; a
 * passphrase is asked for at the terminal where the file needs one and none was given. Nothing is opened with
 * them yet.
 * ring    zero-initialised, or as an earlier file left it: what it has is not read again, since a descriptor
 *         gives a key once; its keys lie in `arena`
 * file    what is known of it without a key: decides whether a passphrase is asked for
 * path    for messages and the prompt
 * Returns 0 or -1 with error: nothing was given (the hint says how, EXIT_STATUS_USAGE), a key file that is
 * none, no terminal to ask at. Sources are read once: fd:N and `-` are at their end afterwards, env:NAME is
 * wiped. */
int key_ring_load(struct key_ring *ring, const struct key_options *options,
        const struct age_description *file, const char *path, struct arena *arena, struct error *error);

/* Read a passphrase file: all of it but one final line end. An empty one is an error, because an empty
 * passphrase would lock nothing. *out lies in `arena`. Returns 0 or -1 with error. */
int passphrase_read_file(
        const char *path, struct arena *arena, struct secret_bytes *out, struct error *error);

/* The identities that a person has beside the passphrase that opens a file: every -i that names one, else the
 * default one; none is no error. Adds them to `keys`. Returns 0 or -1 with error. */
int identities_add_beside_passphrase(
        struct age_keys *keys, const struct key_options *options, struct arena *arena, struct error *error);

/* Identities alone: every -i, else the default one. --passphrase-file is not looked at; a -i that names a
 * passphrase opens identity files.
 * Returns 0 with the keys in `arena`, 1 when there is none at all, or -1 with error. */
int identities_load(
        struct age_keys *keys, const struct key_options *options, struct arena *arena, struct error *error);
