/* Where secrets come from: one table of URI schemes. The parent checks requests against it; the loader reads
 * every source before it confines itself, and looks at none of the bytes until afterwards. */

#include "secrets/source/gather.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/scheme.h"
#include "lib/fd.h"

typedef int source_gatherer(struct gathered *gathered, uint16_t index, const char *rest, struct error *error);

static int document_add(struct gathered *gathered, uint16_t index, const char *label, bool is_age,
        struct secret_bytes bytes, struct error *error) {
        struct material material = {
                .kind = MATERIAL_DOCUMENT, .is_age = is_age, .source = index, .label = label, .bytes = bytes};

        return gathered_add(gathered, material, error);
}

static int age_gather(struct gathered *gathered, uint16_t index, const char *rest, struct error *error) {
        struct secret_bytes bytes;

        if (read_file(rest, &gathered->bounds, &bytes, NULL, error) < 0)
                return -1;
        return document_add(gathered, index, rest, true, bytes, error);
}

/* True when the file at `path` lies in a git work tree: plaintext secrets there end up in a commit. */
static bool is_in_work_tree(const char *path) {
        char folder[4096];
        struct stat before = {0}, now;
        const char *slash = strrchr(path, '/');
        CLEANUP_FD int at = -1;
        int length = snprintf(
                folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");

        if (length < 0 || (size_t)length >= sizeof folder)
                return false;
        at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        while (at >= 0 && fstat(at, &now) == 0 &&
                (now.st_ino != before.st_ino || now.st_dev != before.st_dev)) {
                int above;

                if (faccessat(at, ".git", F_OK, 0) == 0)
                        return true;
                before = now;
                above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
                fd_close(at);
                at = above;
        }
        return false;
}

static int env_file_gather(struct gathered *gathered, uint16_t index, const char *rest, struct error *error) {
        struct secret_bytes bytes;
        struct stat status;

        if (read_file(rest, &gathered->bounds, &bytes, &status, error) < 0)
                return -1;
        if (status.st_mode & (S_IRGRP | S_IROTH))
                gathered_warn(gathered, "'%s' is plaintext that others can read (mode %04o)", rest,
                        (unsigned)status.st_mode & 07777U);
        if (is_in_work_tree(rest))
                gathered_warn(gathered, "'%s' is plaintext inside a git work tree", rest);
        return document_add(gathered, index, rest, false, bytes, error);
}

static int unix_gather(struct gathered *gathered, uint16_t index, const char *rest, struct error *error) {
        const struct load_source *source = &gathered->request->sources[index];
        const char *id = strcmp(source->name, source->uri) == 0 ? rest : source->name;
        struct secret_bytes bytes;

        if (strrchr(id, '/'))
                id = strrchr(id, '/') + 1;
        if (read_socket(rest, id, &gathered->bounds, &bytes, error) < 0)
                return -1;
        return document_add(gathered, index, rest, false, bytes, error);
}

static int dir_gather(struct gathered *gathered, uint16_t index, const char *rest, struct error *error) {
        return directory_gather(gathered, index, rest, false, error);
}

static int age_dir_gather(struct gathered *gathered, uint16_t index, const char *rest, struct error *error) {
        return directory_gather(gathered, index, rest, true, error);
}

#define GATHERER(name, scheme, flags) name##_gather,
static source_gatherer *const gatherers[] = {SOURCE_SCHEMES(GATHERER)};
#undef GATHERER

static bool source_has(const struct load_source *source, unsigned flag) {
        const char *rest;
        const struct source_scheme *scheme = source_scheme_of(source->uri, &rest);

        return scheme && (scheme->flags & flag);
}

const struct dialect *source_dialect(const struct load_source *source, struct bytes text) {
        if (source->dialect)
                return source->dialect;
        return source_has(source, SOURCE_IS_DOCKER) ? &dialect_docker : document_dialect_of(text);
}

bool source_is_age(const struct load_source *source) {
        return source_has(source, SOURCE_IS_AGE);
}

bool load_source_path(const struct load_source *source, const char **out_path, bool *out_is_directory) {
        if (!source_has(source, SOURCE_IS_FILE))
                return false;
        (void)source_scheme_of(source->uri, out_path);
        *out_is_directory = source_has(source, SOURCE_IS_FOLDER);
        return true;
}

int source_check(const struct load_source *source, struct error *error) {
        const char *rest, *suggestion;
        const struct source_scheme *scheme = source_scheme_of(source->uri, &rest);

        if (!scheme) {
                suggestion = source_scheme_suggest(source->uri);
                error_set(error, 0, "source '%s': unknown kind", source->uri);
                if (suggestion)
                        error_hint(error, "did you mean '%s'?", suggestion);
                else
                        error_hint(error, "a source is " SOURCE_SCHEMES_TEXT(" "));
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        if (!*rest) {
                error_set(error, 0, "source '%s': nothing stands behind '%s'", source->uri, scheme->scheme);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        if (source->dialect && !(scheme->flags & SOURCE_IS_DOCUMENT)) {
                error_set(error, 0, "source '%s': a dialect is for documents, not for '%s'", source->uri,
                        scheme->scheme);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        return 0;
}

int sources_gather(struct gathered *gathered, struct error *error) {
        const struct load_request *request = gathered->request;

        for (size_t i = 0; i < request->source_count; i++) {
                const struct load_source *source = &request->sources[i];
                size_t count = gathered->count;
                const char *rest;
                const struct source_scheme *scheme = source_scheme_of(source->uri, &rest);

                assert(scheme); /* load_request_check() has refused every other */
                if (gatherers[source_scheme_index(scheme)](gathered, (uint16_t)i, rest, error) < 0)
                        return source_wrap(source, error);
                if (gathered->count == count) {
                        error_set(error, 0, "'%s' holds no variable%s%s", source->uri,
                                gathered->note[0] ? " but keys: " : "", gathered->note);
                        error_status(error, EXIT_STATUS_DATA);
                        return source_wrap(source, error);
                }
        }
        return 0;
}

int source_wrap(const struct load_source *source, struct error *error) {
        if (strcmp(source->name, source->uri) == 0)
                return -1; /* the message has the path, which is all that the user wrote */
        return error_wrap(error, "%s: source '%s'", source->where, source->name);
}
