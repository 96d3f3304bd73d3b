#pragma once

/* What the verbs of the secret files have in common: how they start, and what must not stay in
 * /proc/PID/cmdline. */

#include <stdbool.h>

#include "cli/common/options.h"
#include "lib/duration.h"
#include "lib/error.h"
#include "lib/secret_memory.h"
#include "secrets/age/age.h"

/* How long a verb waits for another one that is changing the same file. */
#define LOCK_WAIT_NS (60 * NS_PER_S)
/* What encrypt and decrypt take, in bytes. Everything is verified, in memory, before the first byte is given
 * out; a torn or forged file must not have half of its content used already. */
#define CRYPT_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Bytes of an identity, recipients or passphrase file: far more than any has, and little to hold. */
#define KEY_FILE_BYTES_MAX ((size_t)1024 * 1024)

/* What an age file may ask of these verbs: its size, and the memory and work of a passphrase.
 * verb_carry_out() sets the memory to what the cgroup, or the machine, has. */
extern struct age_limits verb_limits;

/* A verb's own work: 0 or another exit status, or -1 with error. */
typedef int verb_function(char **argv, struct error *error);

/* All that a verb_NAME() does. Before the work: no core file, no reading by others, no SIGPIPE (writing to
 * a closed pipe is an error like any other), descriptors 0 to 2 are never a file of ours, libsodium is
 * ready. Afterwards: print the error.
 * Returns the exit status. */
int verb_carry_out(char **argv, verb_function *work);

/* True when standard output was closed when the verb began. /dev/null holds its number since, so that no file
 * of ours gets it; writing there would succeed and lose what was asked for. */
bool verb_output_is_closed(void);

/* True for NAME=..., whatever follows: what a person types who means to give a value. */
bool argument_is_assignment(const char *argument);

/* Overwrite one argument of argv, from its byte number `from` on; /proc/PID/cmdline shows it no more. */
void argument_wipe(char *argument, size_t from);

/* Overwrite everything behind argv[0]: a value may be anywhere in a command line that cannot be
 * understood. */
void arguments_wipe(char **argv);

/* Refuse NAME=VALUE: wipe the value in `argument` (part of argv) and set an error with what to do instead
 * (EXIT_STATUS_USAGE). The name stays, the message quotes it. Returns -1. */
int argument_refuse_assignment(char *argument, struct error *error);

/* The error of a verb that waited LOCK_WAIT_NS for the lock of `path` in vain. Returns -1. */
int verb_error_busy(const char *path, struct error *error);
