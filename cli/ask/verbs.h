#pragma once

/* The verbs that ask a running supervisor, for main's table.
 *
 * argc, argv   argv[0] is the verb's own name ("status"), argv[argc] is NULL
 * Each returns the exit status; what went wrong has been printed. main gives the process back the signal mask
 * that it was started with: Ctrl-C ends the asking, not what was asked for. */

/* Have the secrets loaded again. */
int verb_rotate(int argc, char **argv);
/* Go back to the secrets before. */
int verb_rollback(int argc, char **argv);
/* What the service does. */
int verb_status(int argc, char **argv);
