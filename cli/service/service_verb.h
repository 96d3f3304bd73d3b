#pragma once

/* What `tacet run` and `tacet exec` have in common: from the command line to settings that are ready to
 * use. */

#include "cli/service/config_options.h"
#include "cli/service/service.h"

/* service_verb_prepare() returns it in place of an exit status, of which none is negative: go on. */
#define SERVICE_VERB_READY (-1)

/* All that the settings point into. Large: one per program, static. */
struct service_verb {
        struct config_options options;
        struct config config;
        struct load_request request;
        struct service service;
        bool has_sources;
        int verbosity; /* how often -v was given: levels of the log above the configured one */
        bool watches;  /* --watch */
        bool expands;  /* --expand */
};

/* Read options and file, set up the log, look up users, make the load request. Nothing is started or loaded.
 * verb             zeroed; service_verb_deinit() it in every case
 * argv             its strings are borrowed by *verb: the command is part of it
 * command, notes   for --help and messages
 * place            SCHEMA_ON_RUN or SCHEMA_ON_EXEC: which options there are
 * Returns SERVICE_VERB_READY, or the exit status after help or a printed error. */
int service_verb_prepare(
        struct service_verb *verb, char **argv, const char *command, const char *notes, unsigned place);

/* Free the configuration. Idempotent; the settings of verb->service point to nothing afterwards. */
void service_verb_deinit(struct service_verb *verb);
