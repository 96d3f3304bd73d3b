#pragma once

/* The app's environment: the only place in the program that builds an envp. Runs in the shim, never in PID
 * 1. */

#include <stddef.h>

#include "lib/error.h"
#include "secrets/bundle.h"

/* What happens when a secret's name also stands in the inherited environment or in `settings`. */
enum environment_conflict {
        ENVIRONMENT_REPLACE, /* the secret wins */
        ENVIRONMENT_KEEP,    /* the inherited value wins */
        ENVIRONMENT_REFUSE,  /* the app is not started */
};

struct environment_spec {
        /* NULL-terminated NAME=value strings: the environment tacet was started with */
        char *const *inherited;
        /* of the user that the app becomes, in place of inherited ones: NULL-terminated NAME=value strings,
         * or NAME alone for one that is taken out; NULL or empty: none */
        char *const *person;
        char *const *settings; /* NULL-terminated NAME=value strings from the configuration; may be NULL */
        /* NULL-terminated names, or prefixes ending in `*`, of inherited ones that pass; NULL: all */
        char *const *pass_patterns;
        char *const *removed; /* the same, of inherited ones that never pass; NULL: none */
        size_t spare;         /* how many strings environment_put() may add */
        enum environment_conflict on_conflict;
};

#define ENVIRONMENT_CONFLICTS_MAX 16

/* Strings are borrowed from the spec and the secrets' mapping; only the pointer array is owned. */
struct environment {
        char **strings;     /* NULL-terminated; heap */
        size_t count, room; /* of strings, without the NULL */
        /* `NAME=...` strings of secrets that met an inherited one */
        const char *conflicts[ENVIRONMENT_CONFLICTS_MAX];
        size_t conflict_count; /* may be larger than the array */
};

/* Build the environment: inherited (filtered), then the person's, settings, secrets, each name once. With
 * ENVIRONMENT_REFUSE a conflict is not an error here: the caller checks conflict_count. Returns 0, or -1 with
 * error: ENOMEM only. */
int environment_build(const struct environment_spec *spec, const struct bundle_view *secrets,
        struct environment *out, struct error *error);

/* Free the array; the strings are borrowed. */
void environment_deinit(struct environment *environment);

/* Put a `NAME=value` string, borrowed, in the place of every one of that name, or behind the others. */
void environment_put(struct environment *environment, char *string);

/* Remove every string of that name. */
void environment_remove(struct environment *environment, const char *name);

/* Length of the NAME of a `NAME=value` string. */
size_t environment_name_length(const char *string);

/* Find NAME in a NULL-terminated list; returns the whole string or NULL. */
char *environment_find(char *const *strings, const char *name, size_t name_length);

/* The first string longer than execve(2) takes (131,071 bytes without its NUL), or NULL. */
const char *environment_longest_refused(const struct environment *environment);

/* Returns the longest string; *out_total_bytes: what execve(2) counts for all (strings, NULs and
 * pointers). */
const char *environment_largest(const struct environment *environment, size_t *out_total_bytes);

/* The bytes that execve(2) counts for a NULL-terminated list (strings, NULs, pointers). */
size_t environment_bytes(char *const *strings);

/* The same for a spec's settings and those of its inherited strings that pass. An upper bound: a name that is
 * in both is counted twice. */
size_t environment_bytes_passing(const struct environment_spec *spec);

/* The first secret whose value (of 8 bytes or more) is part of an argument, as its `NAME=value` string;
 * *out_index is the argument's. NULL when there is none. */
const char *environment_find_in_arguments(
        const struct bundle_view *secrets, char *const *argv, size_t *out_index);
