/* Recipients: see recipients.h.
 *
 * An age file does not say whom it is for: an X25519 stanza hides its recipient. So a file for several
 * people cannot be written again without being told, and this refuses instead of locking somebody out; it
 * never falls back to fewer. */

#include "cli/files/recipients.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "lib/fd.h"

static int option_append(
        const char **list, size_t *count, const struct option_reader *reader, struct error *error) {
        if (*count == RECIPIENT_OPTIONS_MAX) {
                option_usage_error(
                        reader->table, error, "more than %d recipient options", RECIPIENT_OPTIONS_MAX);
                return error_hint(error, "list the recipients in one file, for -R");
        }
        list[(*count)++] = reader->value;
        return 0;
}

int recipient_options_take_text(void *member, const struct option_reader *reader, struct error *error) {
        struct recipient_options *options = member;

        return option_append(options->texts, &options->text_count, reader, error);
}

int recipient_options_take_file(void *member, const struct option_reader *reader, struct error *error) {
        struct recipient_options *options = member;

        return option_append(options->files, &options->file_count, reader, error);
}

int recipients_add_options(struct age_recipients *recipients, const struct recipient_options *options,
        struct arena *arena, struct error *error) {
        for (size_t i = 0; i < options->text_count; i++)
                if (age_recipients_add(recipients, options->texts[i], arena, error) < 0)
                        return -1;
        for (size_t i = 0; i < options->file_count; i++) {
                struct secret_bytes text;

                if (stream_read_file(options->files[i], KEY_FILE_BYTES_MAX, arena, &text, error) < 0)
                        return error_wrap(error, "recipients");
                if (age_recipients_add_file(recipients, secret_view(text), options->files[i], arena, error) <
                        0)
                        return -1;
        }
        if ((options->text_count || options->file_count) && recipients->count == 0)
                return error_set(error, 0, "there is no recipient in '%s'", options->files[0]);
        return (int)recipients->count;
}

/* The recipients file that lies beside `path`. Returns 0 when it was used, 1 when there is none, or -1. */
static int recipients_add_beside(
        struct age_recipients *recipients, const char *path, struct arena *arena, struct error *error) {
        char resolved[PATH_MAX], *slash;
        CLEANUP_FD int fd = -1;
        struct secret_bytes text;
        struct stat status;

        /* Through links: the file that is replaced is the one that they lead to, and its neighbours say
         * whom it is for. A file that does not exist yet has only its name. */
        if (!realpath(path, resolved) &&
                snprintf(resolved, sizeof resolved, "%s", path) >= (int)sizeof resolved)
                return error_set(error, ENAMETOOLONG, "look for the recipients of '%s'", path);
        slash = strrchr(resolved, '/');
        slash = slash ? slash + 1 : resolved;
        if ((size_t)(slash - resolved) + sizeof ".age-recipients" > sizeof resolved)
                return error_set(error, ENAMETOOLONG, "look for the recipients of '%s'", path);
        memcpy(slash, ".age-recipients", sizeof ".age-recipients");
        /* O_NONBLOCK: nobody asked for this file, so a FIFO of that name must not hold the verb up. */
        fd = open(resolved, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT)
                return 1;
        if (fd < 0 || fstat(fd, &status) < 0)
                return error_set(error, errno, "open '%s'", resolved);
        /* Who can add a recipient can read every later version. */
        if (status.st_mode & S_IWOTH) {
                error_set(error, 0, "'%s' can be written by everybody and is not trusted", resolved);
                return error_hint(error, "chmod o-w it, or give -r or -R");
        }
        if (stream_read(fd, resolved, KEY_FILE_BYTES_MAX, arena, &text, error) < 0 ||
                age_recipients_add_file(recipients, secret_view(text), resolved, arena, error) < 0)
                return -1;
        return recipients->count ? 0 : error_set(error, 0, "there is no recipient in '%s'", resolved);
}

/* The recipient of the one identity in the ring that opens the file. */
static int recipients_add_opener(struct age_recipients *recipients, const char *path, struct bytes sealed,
        const struct key_ring *ring, struct arena *arena, struct error *error) {
        for (size_t i = 0; i < ring->keys.count; i++) {
                /* One key at a time, since age_open() does not tell which of them fitted. */
                struct age_keys one = {.list = {ring->keys.list[i]}, .count = 1};
                struct secret_bytes text;
                size_t mark = arena->used;
                int result;

                result = age_open(&(struct age_input){sealed, path, &verb_limits, arena}, &one, &text, NULL);
                arena_release(arena, mark);
                if (result == 0)
                        return age_recipients_add_keys(recipients, &one, arena, error);
        }
        return error_set(error, 0, "no identity opens '%s'", path);
}

static int recipients_unknown(const char *path, const char *why, struct error *error) {
        error_set(error, 0, "whom to encrypt '%s' for? %s", path, why);
        error_hint(error, "name all of them with -r or -R, or list them in .age-recipients beside the file");
        return error_status(error, EXIT_STATUS_USAGE);
}

static int recipients_of_old(struct age_recipients *recipients, const char *path, struct bytes sealed,
        const struct key_ring *ring, struct arena *arena, struct error *error) {
        struct age_description file;

        if (age_describe(sealed, path, &verb_limits, &file, error) < 0)
                return -1;
        /* The same one again, which the ring has: it has just opened the file. */
        if (file.has_passphrase)
                return age_recipients_add_passphrase(
                        recipients, ring->passphrase, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error);
        /* A stanza of an unknown kind may be a hardware key of somebody else. He is not locked out
         * silently. */
        if (file.recipient_stanzas != 1 || file.unknown_stanzas)
                return recipients_unknown(
                        path, "It is for several, and an age file does not say who they are", error);
        return recipients_add_opener(recipients, path, sealed, ring, arena, error);
}

int recipients_choose(struct age_recipients *recipients, const struct recipient_options *options,
        const char *path, const struct bytes *sealed, const struct key_ring *ring, struct arena *arena,
        struct error *error) {
        int result = recipients_add_options(recipients, options, arena, error);

        if (result != 0)
                return result < 0 ? -1 : 0;
        result = recipients_add_beside(recipients, path, arena, error);
        if (result != 1)
                return result;
        if (sealed)
                return recipients_of_old(recipients, path, *sealed, ring, arena, error);
        /* A passphrase beside identities is what opens their file. */
        if (age_recipients_add_keys(recipients, &ring->keys, arena, error) < 0)
                return -1;
        if (recipients->count)
                return 0;
        if (ring->has_passphrase)
                return age_recipients_add_passphrase(
                        recipients, ring->passphrase, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error);
        return recipients_unknown(path, "The file does not exist yet", error);
}
