/* Secrets and keys that arrive in tacet's own environment: the sources `env:PREFIX` and the keys `env:NAME`.
 *
 * The loader (a fork) reads its inherited copy before it confines itself; the parent then wipes its own, so
 * that /proc/PID/environ of the supervisor shows nothing and no app inherits it. Since they are gone after
 * that, the values of sources come back sealed from the first load and are handed to every later one. A
 * variable keeps its name: what was DB_PASSWORD for tacet is DB_PASSWORD for the app. */

#include "secrets/source/gather.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "conf/scheme.h"

static bool is_wiped;

bool environment_was_wiped(void) {
        return is_wiped;
}

void environment_wiped_note(void) {
        is_wiped = true;
}

/* `env:` alone takes nothing: it names no variable. */
bool source_is_environment(const struct load_source *source, const char **prefix) {
        const struct source_scheme *scheme = source_scheme_of(source->uri, prefix);

        return scheme && (scheme->flags & SOURCE_IS_ENVIRONMENT) && **prefix;
}

/* True when this source has the name already. Programs differ in which of two they take, so there is no right
 * one. */
static bool is_gathered(
        const struct gathered *gathered, uint16_t index, const char *name, size_t name_length) {
        for (size_t i = 0; i < gathered->count; i++)
                if (gathered->at[i].source == index && strlen(gathered->at[i].name) == name_length &&
                        memcmp(gathered->at[i].name, name, name_length) == 0)
                        return true;
        return false;
}

/* Add "NAME=value" when its name begins with `prefix`. */
static int string_gather(struct gathered *gathered, uint16_t index, const char *prefix, const char *string,
        size_t length, struct error *error) {
        const char *equals = memchr(string, '=', length);
        struct material material = {.kind = MATERIAL_VALUE, .source = index, .label = "environment"};
        size_t name_length;

        if (!equals || strncmp(string, prefix, strlen(prefix)) != 0)
                return 0;
        name_length = (size_t)(equals - string);
        if (!secret_name_is_valid(string, name_length)) {
                error_set(
                        error, 0, "environment: a name that begins with '%s' is not a variable name", prefix);
                return error_status(error, EXIT_STATUS_DATA);
        }
        /* The first load finds it there, later ones do not: it is wiped, and was never captured. */
        if (key_variable_is_in_use(gathered->request, string, name_length)) {
                gathered_note(
                        gathered, "%.*s is a key in use: the app does not get it", (int)name_length, string);
                return 0;
        }
        if (is_gathered(gathered, index, string, name_length)) {
                error_set(error, 0, "environment: %.*s stands there twice", (int)name_length, string);
                return error_status(error, EXIT_STATUS_DATA);
        }
        material.name = gathered_text(gathered, error, "%.*s", (int)name_length, string);
        material.bytes.length = length - name_length - 1;
        material.bytes.at = arena_take(gathered->bounds.arena, material.bytes.length, error);
        if (!material.name || !material.bytes.at)
                return -1;
        memcpy(material.bytes.at, equals + 1, material.bytes.length);
        return gathered_add(gathered, material, error);
}

int environment_gather(struct gathered *gathered, uint16_t index, const char *prefix, struct error *error) {
        struct secret_bytes captured = gathered->captured;

        if (gathered->request->captured_environment < 0) {
                for (char **string = environ; string && *string; string++)
                        if (string_gather(gathered, index, prefix, *string, strlen(*string), error) < 0)
                                return -1;
                gathered->has_new_capture = true;
                return 0;
        }
        for (size_t at = 0; at < captured.length;) {
                const char *string = (const char *)captured.at + at;
                size_t length = strnlen(string, captured.length - at);

                if (string_gather(gathered, index, prefix, string, length, error) < 0)
                        return -1;
                at += length + 1;
        }
        return 0;
}

void capture_key(const struct load_request *request, uint8_t out[static 32]) {
        static const char purpose[] = "tacet captured environment";

        crypto_generichash(out, 32, (const uint8_t *)purpose, sizeof purpose, request->digest_key, 32);
}
