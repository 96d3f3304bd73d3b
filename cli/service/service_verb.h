#pragma once

/* What `tacet run` and `tacet exec` have in common: from the command line to settings that are ready to
 * use. */

#include "cli/service/config_options.h"
#include "cli/service/service.h"

/* Not an exit status: go on. */
#define SERVICE_VERB_READY (-1)

/* Large: one per program, static. */
struct service_verb {
        struct config_options options;
        struct config config;
        struct load_request request;
        struct service service;
        bool has_sources;
        int verbosity;
        bool watches; /* --watch */
};

/* Read options and file, set up the log, look up users, make the load request. `command` and `notes` are for
 * --help; `place` is SCHEMA_ON_RUN or SCHEMA_ON_EXEC. Returns SERVICE_VERB_READY, or the exit status after
 * help or a printed error. */
int service_verb_prepare(
        struct service_verb *verb, char **argv, const char *command, const char *notes, unsigned place);

void service_verb_deinit(struct service_verb *verb);
