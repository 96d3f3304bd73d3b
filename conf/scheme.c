/* The table of source schemes: see scheme.h. For the checks of the configuration, for the loader and its
 * parent. */

#include "conf/scheme.h"

#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"

#define SCHEME_BYTES_MAX 32
#define TYPOS_MAX        2

#define SCHEME_ROW(name, scheme, flags) {scheme, flags},
static const struct source_scheme source_schemes[] = {SOURCE_SCHEMES(SCHEME_ROW)};
#undef SCHEME_ROW

#define SOURCE_SCHEME_COUNT (sizeof source_schemes / sizeof *source_schemes)

const struct source_scheme *source_scheme_of(const char *uri, const char **out_rest) {
        for (size_t i = 0; i < SOURCE_SCHEME_COUNT; i++)
                if (text_after(uri, source_schemes[i].scheme, out_rest))
                        return &source_schemes[i];
        return NULL;
}

size_t source_scheme_index(const struct source_scheme *scheme) {
        return (size_t)(scheme - source_schemes);
}

const char *source_scheme_suggest(const char *uri) {
        const char *best = NULL;
        unsigned least = TYPOS_MAX + 1;
        char scheme[SCHEME_BYTES_MAX];

        snprintf(scheme, sizeof scheme, "%.*s:", (int)strcspn(uri, ":"), uri);
        for (size_t i = 0; i < SOURCE_SCHEME_COUNT; i++) {
                unsigned distance = text_distance(scheme, source_schemes[i].scheme, TYPOS_MAX);

                if (distance < least) {
                        least = distance;
                        best = source_schemes[i].scheme;
                }
        }
        return best;
}

bool source_uri_is_file(const char *uri) {
        const char *rest;
        const struct source_scheme *scheme = source_scheme_of(uri, &rest);

        return scheme && (scheme->flags & SOURCE_IS_FILE);
}
