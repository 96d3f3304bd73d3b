/* Building the app's environment: see environment.h.
 *
 * Runs between fork and exec (or in `tacet exec`), with the sealed secrets mapped. It moves pointers and
 * never copies a value: the strings execve(2) reads are the sealed ones. */

#include "shim/environment.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STRING_BYTES_MAX   ((size_t)131071) /* MAX_ARG_STRLEN less the NUL: execve(2) */
#define ARGV_SECRET_LENGTH ((size_t)8)      /* shorter values are in arguments by accident */

/* Mostly the list of pointers fits in here. In a shim the heap would be another four pages that have to be
 * copied or made before the app can start. For one environment at a time: a second one is on the heap. */
#define ROOM_USUAL ((size_t)256)
static char *room_usual[ROOM_USUAL];
static bool room_is_taken;

static char **room_take(size_t count) {
        if (count > ROOM_USUAL || room_is_taken)
                return calloc(count, sizeof(char *));
        room_is_taken = true;
        return room_usual;
}

static void room_give(char **room) {
        if (room == room_usual)
                room_is_taken = false;
        else
                free(room);
}

size_t environment_name_length(const char *string) {
        return strcspn(string, "=");
}

static bool string_has_name(const char *string, const char *name, size_t name_length) {
        return strncmp(string, name, name_length) == 0 && string[name_length] == '=';
}

static size_t list_find(char *const *strings, size_t count, const char *name, size_t name_length) {
        for (size_t i = 0; i < count; i++)
                if (string_has_name(strings[i], name, name_length))
                        return i;
        return count;
}

char *environment_find(char *const *strings, const char *name, size_t name_length) {
        for (; strings && *strings; strings++)
                if (string_has_name(*strings, name, name_length))
                        return *strings;
        return NULL;
}

static bool patterns_match(char *const *patterns, const char *string) {
        for (char *const *pattern = patterns; *pattern; pattern++) {
                size_t length = strlen(*pattern);

                if (length && (*pattern)[length - 1] == '*' && strncmp(string, *pattern, length - 1) == 0)
                        return true;
                if (string_has_name(string, *pattern, length))
                        return true;
        }
        return false;
}

static bool string_passes(const struct environment_spec *spec, const char *string) {
        if (spec->removed && patterns_match(spec->removed, string))
                return false;
        return !spec->pass_patterns || patterns_match(spec->pass_patterns, string);
}

static size_t list_length(char *const *strings) {
        size_t count = 0;

        while (strings && strings[count])
                count++;
        return count;
}

/* A list may hold a name twice, and programs differ in which of the two they take: what replaces one replaces
 * all. */
static void later_drop(struct environment *out, size_t at) {
        size_t length = environment_name_length(out->strings[at]), kept = at + 1;

        for (size_t i = at + 1; i < out->count; i++)
                if (!string_has_name(out->strings[i], out->strings[at], length))
                        out->strings[kept++] = out->strings[i];
        out->count = kept;
}

static void secret_put(struct environment *out, char *string, enum environment_conflict on_conflict) {
        size_t at = list_find(out->strings, out->count, string, environment_name_length(string));

        if (at == out->count) {
                out->strings[out->count++] = string;
                return;
        }
        if (out->conflict_count < ENVIRONMENT_CONFLICTS_MAX)
                out->conflicts[out->conflict_count] = string;
        out->conflict_count++;
        if (on_conflict == ENVIRONMENT_REPLACE) {
                out->strings[at] = string;
                later_drop(out, at);
        }
}

/* In the place of every one of that name, or behind the others. There is room. */
static void string_put(struct environment *out, char *string) {
        size_t at = list_find(out->strings, out->count, string, environment_name_length(string));

        out->strings[at] = string;
        if (at == out->count)
                out->count++;
        else
                later_drop(out, at);
}

int environment_build(const struct environment_spec *spec, const struct bundle_view *secrets,
        struct environment *out, struct error *error) {
        size_t room = list_length(spec->inherited) + list_length(spec->person) + list_length(spec->settings) +
                      (secrets ? secrets->count : 0) + spec->spare;
        char *string;

        *out = (struct environment){.strings = room_take(room + 1), .room = room};
        if (!out->strings)
                return error_set(error, ENOMEM, "make room for %zu environment variables", room);
        for (char *const *at = spec->inherited; at && *at; at++)
                if (string_passes(spec, *at))
                        out->strings[out->count++] = *at;
        for (char *const *at = spec->person; at && *at; at++)
                if (strchr(*at, '='))
                        string_put(out, *at);
                else
                        environment_remove(out, *at);
        for (char *const *at = spec->settings; at && *at; at++)
                string_put(out, *at);
        string = secrets ? secrets->strings : NULL;
        for (uint32_t i = 0; secrets && i < secrets->count; i++, string += strlen(string) + 1)
                secret_put(out, string, spec->on_conflict);
        out->strings[out->count] = NULL;
        return 0;
}

void environment_put(struct environment *environment, char *string) {
        assert(environment->count < environment->room ||
                environment_find(environment->strings, string, environment_name_length(string)));
        string_put(environment, string);
        environment->strings[environment->count] = NULL;
}

void environment_remove(struct environment *environment, const char *name) {
        size_t length = strlen(name), kept = 0;

        for (size_t i = 0; i < environment->count; i++)
                if (!string_has_name(environment->strings[i], name, length))
                        environment->strings[kept++] = environment->strings[i];
        environment->strings[environment->count = kept] = NULL;
}

void environment_deinit(struct environment *environment) {
        room_give(environment->strings);
        *environment = (struct environment){0};
}

const char *environment_longest_refused(const struct environment *environment) {
        for (size_t i = 0; i < environment->count; i++)
                if (strlen(environment->strings[i]) > STRING_BYTES_MAX)
                        return environment->strings[i];
        return NULL;
}

const char *environment_largest(const struct environment *environment, size_t *out_total_bytes) {
        const char *largest = NULL;
        size_t largest_length = 0;

        *out_total_bytes = 0;
        for (size_t i = 0; i < environment->count; i++) {
                size_t length = strlen(environment->strings[i]);

                *out_total_bytes += length + 1 + sizeof(char *);
                if (!largest || length > largest_length) {
                        largest = environment->strings[i];
                        largest_length = length;
                }
        }
        return largest;
}

size_t environment_bytes(char *const *strings) {
        size_t bytes = 0;

        for (; strings && *strings; strings++)
                bytes += strlen(*strings) + 1 + sizeof(char *);
        return bytes;
}

size_t environment_bytes_passing(const struct environment_spec *spec) {
        size_t bytes = environment_bytes(spec->settings) + environment_bytes(spec->person);

        for (char *const *at = spec->inherited; at && *at; at++)
                if (string_passes(spec, *at))
                        bytes += strlen(*at) + 1 + sizeof(char *);
        return bytes;
}

const char *environment_find_in_arguments(
        const struct bundle_view *secrets, char *const *argv, size_t *out_index) {
        const char *string = secrets->strings;

        for (uint32_t i = 0; i < secrets->count; i++, string += strlen(string) + 1) {
                const char *value = string + environment_name_length(string) + 1;

                if (strlen(value) < ARGV_SECRET_LENGTH)
                        continue;
                for (size_t n = 0; argv[n]; n++)
                        if (strstr(argv[n], value)) {
                                *out_index = n;
                                return string;
                        }
        }
        return NULL;
}
