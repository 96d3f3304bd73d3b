#pragma once

/* `tacet -- CMD`: a perfect init without any configuration; and tacet under the names of other inits. */

#include <stdbool.h>

/* Start the command and be its init until it ends. Called with every signal blocked, in PID 1 as a rule.
 * argv   argv[0] is "--"; the command follows
 * Returns the exit status of tacet: the command's own, 128+N when signal N ended it. */
int init_run(int argc, char **argv);

/* True when `name` (the last part of argv[0], or the value of --personality) is an init that tacet can stand
 * in for. */
bool personality_is_known(const char *name);

/* Be that init: take its options and environment variables, behave as it does. Called as init_run() is.
 * name   one that personality_is_known()
 * argv   argv[0] is the name; that init's own command line follows
 * Returns the exit status; a wrong command line is 1, as theirs is. */
int personality_run(const char *name, int argc, char **argv);
