#pragma once

/* %g and %r in what a file says of the app's start: the generation and the replica, so that pid files, lock
 * files and folders can differ between instances. Each start puts in its own numbers (shim/expand.h); here is
 * only said where, and what may not stand there. */

#include "conf/config.h"
#include "lib/error.h"

/* May this text be expanded? Returns 0, or -1 with error, which names `what` ("word 2 of command") and
 * repeats nothing of the text. */
int expand_check(const char *text, const char *what, struct error *error);

/* The words of a list from `from` on, which it calls words of `name`: the whole list is expanded now. Returns
 * as above. */
int expand_words(struct config_words *words, size_t from, const char *name, struct error *error);

/* --expand: what the command line says of command, environment and directory is expanded as well. After the
 * options, and after config_set_command(). Returns 0 or -1 with error (status 64). */
int config_expand_options(struct config *config, struct error *error);

/* Is service.directory to be expanded? Of lists config_words.expanded tells it. */
bool config_directory_is_expanded(const struct config *config);
