#pragma once

/* The verbs that start a service or say whether it could be started, for main's table.
 *
 * argc, argv   argv[0] is the verb's own name ("run"), argv[argc] is NULL
 * Each returns the exit status; what went wrong has been printed. run and exec are called with every signal
 * blocked, since they may be PID 1; check with the mask that the process was started with. */

/* Start a command with secrets and stay as its supervisor; returns when all is over. */
int verb_run(int argc, char **argv);
/* Become a command with secrets; returns only when that failed. */
int verb_exec(int argc, char **argv);
/* Read the configuration and load every source; start nothing. */
int verb_check(int argc, char **argv);
