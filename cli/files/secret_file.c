/* Secret files: see secret_file.h. Called by set, unset, list, edit and rekey; all plaintext lies in their
 * arena. */

#include "cli/files/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "cli/common/terminal.h"
#include "lib/fd.h"

/* After this long a verb says that it is waiting for a lock. */
#define LOCK_QUIET_NS (NS_PER_S / 2)

void secret_file_close(struct secret_file *file) {
        atomic_file_close(&file->file);
}

/* A text by its first character, a new file by its name. */
static const struct dialect *dialect_guess(const struct secret_file *file, struct bytes text) {
        return text.length ? document_dialect_of(text) : document_dialect_of_file(file->path);
}

static int secret_file_read(struct secret_file *file, int fd, struct arena *arena, struct error *error) {
        struct secret_bytes sealed;

        if (stream_read(fd, file->path, SECRET_FILE_BYTES_MAX, arena, &sealed, error) < 0)
                return -1;
        file->sealed = secret_view(sealed);
        /* A plain file is not taken for a new one: whoever runs this believes that it is encrypted, and
         * has to learn that it never was. */
        if (!age_is_age_file(file->sealed)) {
                error_set(error, 0, "%s: not an age file", file->path);
                error_hint(error, "'tacet encrypt -r RECIPIENT -o %s.age %s' makes one of a plain file",
                        file->path, file->path);
                return error_status(error, EXIT_STATUS_DATA);
        }
        return age_describe(file->sealed, file->path, &verb_limits, &file->description, error);
}

int secret_file_prepare(struct secret_file *file, const char *path, const struct key_options *options,
        struct arena *arena, struct error *error) {
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        const struct key_ring ring = file->ring;

        *file = SECRET_FILE_INIT;
        file->ring = ring;
        file->path = path;
        if (fd < 0 && errno == ENOENT) {
                file->is_new = true;
                /* No default identity and no question: whom a new file is for has to be said, see
                 * audience_choose(). */
                if (!options->identity_count && !options->passphrase_file)
                        return SECRET_FILE_NEW;
                file->description.has_passphrase = !options->identity_count;
                return key_ring_load(&file->ring, options, &file->description, path, arena, error) < 0
                               ? -1
                               : SECRET_FILE_NEW;
        }
        if (fd < 0) {
                error_set(error, errno, "open '%s'", path);
                return error_status(error, EXIT_STATUS_NO_SOURCE);
        }
        if (secret_file_read(file, fd, arena, error) < 0)
                return -1;
        return key_ring_load(&file->ring, options, &file->description, path, arena, error);
}

int secret_file_decrypt(struct secret_file *file, struct arena *arena, struct error *error) {
        if (age_open(&(struct age_input){file->sealed, file->path, &verb_limits, arena}, &file->ring.keys,
                    &file->text, error) < 0)
                return -1;
        file->dialect = dialect_guess(file, secret_view(file->text));
        return 0;
}

int secret_file_lock(struct secret_file *file, struct arena *arena, struct error *error) {
        int result;

        atomic_file_close(&file->file);
        /* Two tries: a script that waits for another one for a moment has nothing to tell. */
        result = atomic_file_open(&file->file, file->path, LOCK_QUIET_NS, error);
        if (result == ATOMIC_FILE_BUSY) {
                cli_note("'%s' is locked by another tacet, waiting", file->path);
                atomic_file_close(&file->file);
                result = atomic_file_open(&file->file, file->path, LOCK_WAIT_NS, error);
        }
        if (result == ATOMIC_FILE_BUSY)
                return verb_error_busy(file->path, error);
        if (result < 0)
                return -1;
        file->is_new = result == ATOMIC_FILE_NEW;
        file->text = (struct secret_bytes){0};
        file->dialect = dialect_guess(file, (struct bytes){0});
        if (file->is_new)
                return SECRET_FILE_NEW;
        /* Again, from the descriptor that is locked: the name may lead to another file since prepare. */
        if (secret_file_read(file, file->file.target, arena, error) < 0)
                return -1;
        return secret_file_decrypt(file, arena, error);
}

/* Returns how many names the text has, or -1 with error. */
static long names_count(
        const struct secret_file *file, struct bytes text, struct arena *arena, struct error *error) {
        struct secret_list list = {0};
        /* Whether identities are meant is said where the file is a source, which is not known here. */
        struct dialect_input input = {
                .text = text, .file = file->path, .arena = arena, .list = &list, .may_hold_identities = true};
        size_t mark = arena->used;
        int result = document_parse(dialect_guess(file, text), &input, error);

        arena_release(arena, mark);
        return result < 0 ? -1 : (long)list.count;
}

int secret_file_check(
        const struct secret_file *file, struct bytes text, struct arena *arena, struct error *error) {
        return names_count(file, text, arena, error) < 0 ? -1 : 0;
}

int secret_file_check_names(const struct secret_file *file, struct bytes text, bool may_be_empty,
        struct arena *arena, struct error *error) {
        long before;

        if (may_be_empty || names_count(file, text, arena, error) != 0)
                return 0;
        before = names_count(file, secret_view(file->text), arena, error);
        if (before == 0)
                return 0;
        error_set(error, 0, "'%s': no variable would be left in it", file->path);
        error_hint(error, "give --empty if that is meant");
        error_status(error, EXIT_STATUS_USAGE);
        if (!terminal_is_present() || !isatty(STDERR_FILENO))
                return -1;
        return terminal_choose("No variable is left. Save it all the same? [y/N] ", "ny") == 'y' ? 0 : -1;
}

int secret_file_save(struct secret_file *file, const struct age_recipients *recipients, struct bytes text,
        struct error *error) {
        struct age_file sealed = {0};
        int result;

        if (age_seal(text, recipients, file->description.is_armored, &sealed, error) < 0)
                return -1;
        if (sealed.length > SECRET_FILE_BYTES_MAX)
                result = error_set(error, 0, "%s: %zu bytes would be larger than %zu, the limit", file->path,
                        sealed.length, SECRET_FILE_BYTES_MAX);
        else
                result = atomic_file_replace(
                        &file->file, (struct bytes){sealed.at, sealed.length}, 0600, error);
        free(sealed.at);
        return result;
}
