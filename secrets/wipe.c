/* Wiping what keys and sources named out of this process's own environment: see wipe.h. In the supervisor, or
 * in a verb that has loaded, once the first load has succeeded; in a shim that was forked before that. */

#include "secrets/wipe.h"

#include <string.h>
#include <unistd.h>

#include "lib/secret_memory.h"
#include "secrets/source/gather.h"

static bool string_is_named(const struct load_request *request, const char *string) {
        const char *text;

        for (size_t i = 0; i < request->key_count; i++)
                if (key_is_environment(&request->keys[i], &text) &&
                        strncmp(string, text, strlen(text)) == 0 && string[strlen(text)] == '=')
                        return true;
        for (size_t i = 0; i < request->source_count; i++)
                if (source_is_environment(&request->sources[i], &text) &&
                        strncmp(string, text, strlen(text)) == 0)
                        return true;
        return false;
}

void load_environment_wipe(const struct load_request *request) {
        char **kept = environ;

        if (!environ)
                return;
        for (char **string = environ; *string; string++) {
                if (string_is_named(request, *string)) {
                        secret_wipe(*string, strlen(*string));
                        environment_wiped_note();
                } else {
                        if (kept != string) /* as a rule nothing is written, and no page copied for it */
                                *kept = *string;
                        kept++;
                }
        }
        if (*kept)
                *kept = NULL;
}
