#pragma once

/* `tacet -- CMD`: a perfect init without any configuration; and tacet under the names of other inits. */

#include <stdbool.h>

/* argv[0] is "--"; the command follows. Returns the exit status. */
int init_run(int argc, char **argv);

/* True when `name` (the last part of argv[0], or the value of --personality) is an init that tacet can stand
 * in for. */
bool personality_is_known(const char *name);

/* Be that init: take its options and environment variables. argv[0] is the name. Returns the exit status. */
int personality_run(const char *name, int argc, char **argv);
