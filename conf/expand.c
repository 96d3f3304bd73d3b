/* Which texts of a configuration have %g and %r: see expand.h. Used by config.c for what a file says, and by
 * the verbs that start an app; nothing is expanded here. */

#include "conf/expand.h"

#include <stdio.h>
#include <string.h>

#include "conf/schema.h"

int expand_check(const char *text, const char *what, struct error *error) {
        for (const char *at = strchr(text, '%'); at; at = strchr(at + 2, '%')) {
                if (at[1] == 'g' || at[1] == 'r' || at[1] == '%')
                        continue;
                error_set(error, 0, "%s has a %% that is neither %%g, %%r nor %%%%", what);
                return error_hint(
                        error, "%%g is the generation, %%r the replica; write %%%% for a %% itself");
        }
        return 0;
}

int expand_words(struct config_words *words, size_t from, const char *name, struct error *error) {
        char what[64];

        for (size_t i = from; i < words->count; i++) {
                snprintf(what, sizeof what, "word %zu of %s", i - from + 1, name);
                if (expand_check(words->at[i], what, error) < 0)
                        return -1;
        }
        words->expanded = words->count;
        return 0;
}

int config_expand_options(struct config *config, struct error *error) {
        struct config_service *service = &config->service;
        const char *directory = service->directory ? service->directory : "";

        config->expands_options = true;
        if (expand_words(&service->command, service->command.expanded, "the command", error) == 0 &&
                expand_words(&service->environment, service->environment.expanded, "--env", error) == 0 &&
                expand_check(directory, "directory", error) == 0)
                return 0;
        error_wrap(error, "--expand");
        return error_status(error, EXIT_STATUS_USAGE);
}

bool config_directory_is_expanded(const struct config *config) {
        const size_t row = (size_t)(schema_find("service", "directory") - schema_rows);

        for (size_t i = config->given_count; i > 0; i--)
                if (config->given[i - 1].row == row)
                        return config->given[i - 1].line != 0 || config->expands_options;
        return false;
}
