/* Where keys (identities and passphrases) come from. The table is checked by the parent; the reading happens
 * in the loader before it confines itself, and first of all, since a key may be an inherited descriptor. */

#include "secrets/source/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"

typedef int key_reader(
        struct gathered *gathered, const char *rest, struct key_material *out, struct error *error);

static int path_read(
        struct gathered *gathered, const char *rest, struct key_material *out, struct error *error) {
        struct stat status;

        if (read_file(rest, &gathered->bounds, &out->bytes, &status, error) < 0)
                return -1;
        out->path = rest;
        out->read = file_mark_of(&status);
        return 0;
}

static int number_parse(const char *text, int *out) {
        uint64_t number;

        if (!text_to_u64(text, &number) || number > INT_MAX)
                return -1;
        *out = (int)number;
        return 0;
}

static int descriptor_read(
        struct gathered *gathered, const char *rest, struct key_material *out, struct error *error) {
        struct stat status;
        int fd;

        if (number_parse(rest, &fd) < 0)
                return error_set(error, 0, "not a descriptor number");
        if (fstat(fd, &status) < 0) {
                error_set(error, errno, "'%s'", out->label);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        out->read = file_mark_of(&status);
        return read_descriptor(fd, out->label, &gathered->bounds, &out->bytes, error);
}

static int credential_read(
        struct gathered *gathered, const char *rest, struct key_material *out, struct error *error) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        const char *path;

        if (!directory || !*directory) {
                error_set(error, 0, "'%s': CREDENTIALS_DIRECTORY is not set", out->label);
                error_hint(error, "give the unit LoadCredential=%s:PATH or SetCredentialEncrypted=%s:...",
                        rest, rest);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        path = gathered_text(gathered, error, "%s/%s", directory, rest);
        if (!path)
                return -1;
        return path_read(gathered, path, out, error);
}

static int variable_read(
        struct gathered *gathered, const char *rest, struct key_material *out, struct error *error) {
        const char *value = getenv(rest);

        if (!value) {
                error_set(error, 0, "'%s': the variable is not set%s", out->label,
                        environment_was_wiped() ? " any more: tacet wiped it after the first load" : "");
                if (environment_was_wiped())
                        error_hint(error,
                                "keep the key in a file, a memory file (fd:N) or a credential to rotate");
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        out->bytes.length = strlen(value);
        out->bytes.at = arena_take(gathered->bounds.arena, out->bytes.length, error);
        if (!out->bytes.at)
                return -1;
        memcpy(out->bytes.at, value, out->bytes.length);
        return 0;
}

/* The last row has no prefix: anything else is the path of an identity file. */
static const struct key_scheme {
        const char *prefix;
        bool is_passphrase;
        key_reader *read;
} key_schemes[] = {
        {"fd:", false, descriptor_read},
        {"credential:", false, credential_read},
        {"env:", false, variable_read},
        {"passphrase-file:", true, path_read},
        {"passphrase-fd:", true, descriptor_read},
        {"", false, path_read},
};

static const struct key_scheme *scheme_find(const char *spec, const char **rest) {
        const struct key_scheme *scheme = key_schemes;

        while (!text_after(spec, scheme->prefix, rest))
                scheme++;
        return scheme;
}

bool load_key_path(const struct load_key *key, const char **out_path) {
        return scheme_find(key->spec, out_path)->read == path_read;
}

int key_check(const struct load_key *key, struct error *error) {
        const char *rest;
        const struct key_scheme *scheme = scheme_find(key->spec, &rest);
        const char *what = NULL;
        int number;

        if (!*rest)
                what = "is empty";
        else if (scheme->read == descriptor_read && number_parse(rest, &number) < 0)
                what = "is not a descriptor number";
        else if (scheme->read == credential_read && (strchr(rest, '/') || rest[0] == '.'))
                what = "is not a credential's name";
        else if (scheme->read == variable_read && !secret_name_is_valid(rest, strlen(rest)))
                what = "is not a variable name";
        if (!what)
                return 0;
        error_set(error, 0, "key '%s': what stands behind '%s' %s", key->spec, scheme->prefix, what);
        error_hint(error,
                "a key is PATH, fd:N, credential:NAME, env:NAME, passphrase-file:PATH or passphrase-fd:N");
        return error_status(error, EXIT_STATUS_CONFIG);
}

int key_check_open(const struct load_key *key, struct error *error) {
        const char *rest;
        int fd;

        if (scheme_find(key->spec, &rest)->read != descriptor_read || number_parse(rest, &fd) < 0 ||
                fcntl(fd, F_GETFD) >= 0)
                return 0;
        error_set(error, errno, "key '%s'", key->spec);
        error_hint(error, "tacet has to be started with descriptor %d open: %d<FILE in a shell", fd, fd);
        return error_status(error, EXIT_STATUS_NO_SOURCE);
}

bool key_is_environment(const struct load_key *key, const char **name) {
        return scheme_find(key->spec, name)->read == variable_read;
}

int keys_gather(struct gathered *gathered, struct error *error) {
        const struct load_request *request = gathered->request;

        for (size_t i = 0; i < request->key_count; i++) {
                struct key_material key = {.label = request->keys[i].spec};
                const char *rest;
                const struct key_scheme *scheme = scheme_find(key.label, &rest);

                key.is_passphrase = scheme->is_passphrase;
                if (scheme->read(gathered, rest, &key, error) < 0)
                        return error_wrap(error, "%s", scheme->is_passphrase ? "passphrase" : "identity");
                if (key.is_passphrase)
                        key.bytes = without_newline(key.bytes);
                gathered->keys[gathered->key_count++] = key;
        }
        return 0;
}
