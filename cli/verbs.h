#pragma once

/* The verbs: one function each, called by main's table.
 *
 * argv[0] is the verb's own name ("set"), argv[argc] is NULL; the strings are those of the process's own
 * argument area, so a verb can wipe what must not stay in /proc/PID/cmdline. The return value is the exit
 * status; what went wrong has been printed. main calls a verb of the secret files with the signal mask and
 * the dispositions the process was started with. */

int verb_keygen(int argc, char **argv);
int verb_encrypt(int argc, char **argv);
int verb_decrypt(int argc, char **argv);
int verb_set(int argc, char **argv);
int verb_unset(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_edit(int argc, char **argv);
int verb_rekey(int argc, char **argv);

int verb_run(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_rotate(int argc, char **argv);
int verb_status(int argc, char **argv);
