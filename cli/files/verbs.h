#pragma once

/* The verbs of the secret files, for main's table.
 *
 * Each is one command of the program, run by an ordinary process that a person or a script started.
 * argc, argv   argv[0] is the verb's own name ("set"), argv[argc] is NULL. The strings are those of the
 *              process's own argument area, so a verb can wipe what must not stay in /proc/PID/cmdline.
 * Returns the exit status (EXIT_STATUS_... of lib/error.h); what went wrong has been printed.
 * main gives the process back the signal mask that it was started with: Ctrl-C ends these verbs. */

/* Make an identity, or print the recipient of one. */
int verb_keygen(int argc, char **argv);
/* Whole files, as age(1) does it. */
int verb_encrypt(int argc, char **argv);
int verb_decrypt(int argc, char **argv);
/* One variable of a secret file; several to remove. */
int verb_set(int argc, char **argv);
int verb_unset(int argc, char **argv);
/* Names, sizes and fingerprints of what a secret file holds. */
int verb_list(int argc, char **argv);
/* A whole document in an editor. */
int verb_edit(int argc, char **argv);
/* The same content for other recipients. */
int verb_rekey(int argc, char **argv);
