#pragma once

/* The kinds of sources, by the scheme of their URI: the one list from which the loader's table, the checks of
 * the configuration and the texts are made. Pure. */

#include <stdbool.h>
#include <stddef.h>

enum source_flag {
        /* what stands behind the scheme is a path of a file or folder: it can be watched */
        SOURCE_IS_FILE = 1,
        SOURCE_IS_FOLDER = 2,   /* one file per variable */
        SOURCE_IS_AGE = 4,      /* needs a key */
        SOURCE_IS_DOCUMENT = 8, /* many variables in one text: has a dialect */
        SOURCE_IS_DOCKER = 16,  /* a document that is of docker's dialect unless another is given */
        /* what stands behind the scheme begins names of tacet's own environment: what they hold is kept for
         * later loads and wiped from there */
        SOURCE_IS_ENVIRONMENT = 32,
};

/* ROW(name, scheme, flags). To add one: a row here, its words in SOURCE_SCHEMES_TEXT, and name_gather() for
 * secrets/source/source.c in a file of that folder. A unit test compares rows and words. */
#define SOURCE_SCHEMES(ROW)                                                                                  \
        ROW(age, "age:", SOURCE_IS_FILE | SOURCE_IS_AGE | SOURCE_IS_DOCUMENT)                                \
        ROW(age_dir, "age-dir:", SOURCE_IS_FILE | SOURCE_IS_FOLDER | SOURCE_IS_AGE)                          \
        ROW(dir, "dir:", SOURCE_IS_FILE | SOURCE_IS_FOLDER)                                                  \
        ROW(env_file, "env-file:", SOURCE_IS_FILE | SOURCE_IS_DOCUMENT | SOURCE_IS_DOCKER)                   \
        ROW(unix, "unix:", SOURCE_IS_DOCUMENT)                                                               \
        ROW(environment, "env:", SOURCE_IS_ENVIRONMENT)

/* As people are told of them; BREAK is what parts the lines. */
#define SOURCE_SCHEMES_TEXT(BREAK)                                                                           \
        "age:PATH, age-dir:PATH, dir:PATH," BREAK "env-file:PATH, unix:PATH or env:PREFIX"

struct source_scheme {
        const char *scheme; /* with its colon */
        unsigned flags;     /* enum source_flag */
};

/* The scheme of a URI, and in *out_rest what stands behind it; NULL when there is none. */
const struct source_scheme *source_scheme_of(const char *uri, const char **out_rest);

/* Index of that scheme in SOURCE_SCHEMES. */
size_t source_scheme_index(const struct source_scheme *scheme);

/* The scheme that was probably meant; NULL when nothing comes near. */
const char *source_scheme_suggest(const char *uri);

/* Does the URI name a file or a folder? False when its scheme is not known. */
bool source_uri_is_file(const char *uri);
