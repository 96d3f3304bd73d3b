/* Whom a file is for: see audience.h.
 *
 * An age file does not say it: an X25519 stanza hides its recipient. So a file for several people cannot be
 * written again without being told, and this refuses instead of locking somebody out; it never falls back to
 * fewer. The only place where recipients are kept is `.age-recipients`, and --add and --remove take it for
 * the former ones only where the file does not contradict it. */

#include "cli/files/audience.h"

#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"
#include "cli/files/beside.h"
#include "cli/files/change.h"

static int audience_unknown(const char *path, const char *why, struct error *error) {
        error_set(error, 0, "whom to encrypt '%s' for? %s", path, why);
        error_hint(error, "name all of them with -r or -R, or list them in .age-recipients beside the file");
        return error_status(error, EXIT_STATUS_USAGE);
}

/* The passphrase that opens the file. Only where several were given it has to be tried which: that takes as
 * long as opening it did. */
static int passphrase_add_opener(struct age_recipients *recipients, const struct secret_file *file,
        struct arena *arena, struct error *error) {
        const struct key_ring *ring = &file->ring;
        struct secret_bytes opener = ring->passphrase;

        for (size_t i = 0; i < ring->keys.count && ring->keys.count > 1; i++) {
                struct age_keys one = {.list = {ring->keys.list[i]}, .count = 1};
                struct age_input input = {file->sealed, file->path, &verb_limits, arena};
                struct secret_bytes text;
                size_t mark = arena->used;
                bool opens = age_open(&input, &one, &text, NULL) == 0;

                arena_release(arena, mark);
                if (opens && age_keys_passphrase(&one, 0, &opener))
                        break;
        }
        return age_recipients_add_passphrase(
                recipients, opener, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error);
}

/* The recipients of a file, each of which is one of our own keys. Returns 0; 1: there are others; or -1. */
static int audience_add_own(struct age_recipients *recipients, const struct secret_file *file,
        struct arena *arena, struct error *error) {
        const struct age_keys *keys = &file->ring.keys;
        struct age_input input = {file->sealed, file->path, &verb_limits, arena};
        const struct age_recipients none = {0};
        struct age_difference difference;

        if (age_difference_find(&input, keys, &none, &difference, error) < 0)
                return -1;
        if (difference.named != difference.before)
                return 1;
        for (size_t i = 0; i < keys->count; i++) {
                struct age_keys one = {.list = {keys->list[i]}, .count = 1};

                if (difference.opens[i] && age_recipients_add_keys(recipients, &one, arena, error) < 0)
                        return -1;
        }
        return 0;
}

/* What lies beside the file, when it can be what the file is for: as many, and nobody known is missing. */
static int audience_add_recorded(struct age_recipients *recipients, const struct secret_file *file,
        struct arena *arena, struct error *error) {
        struct age_input input = {file->sealed, file->path, &verb_limits, arena};
        struct age_difference difference;
        int result = beside_recipients_add(recipients, file, arena, error);

        if (result == BESIDE_NONE)
                return audience_unknown(
                        file->path, "It is for several, and an age file does not say who they are", error);
        if (result < 0 || age_difference_find(&input, &file->ring.keys, recipients, &difference, error) < 0)
                return -1;
        if (!difference.added && !difference.removed)
                return 0;
        error_set(error, 0,
                "whom '%s' is for is not known: it is for %zu, and the %zu of " BESIDE_NAME
                " beside it are not the same",
                file->path, difference.before, difference.after);
        error_hint(error, "name all of them with -r or -R; an age file does not say who its recipients are");
        return error_status(error, EXIT_STATUS_USAGE);
}

/* --add and --remove: the former recipients, changed. */
static int audience_amend(struct age_recipients *recipients, const struct recipient_options *options,
        const struct secret_file *file, struct arena *arena, struct error *error) {
        int result;

        if (file->description.has_passphrase) {
                error_set(error, 0, "'%s' is locked with a passphrase, which must stay alone", file->path);
                error_hint(error, "name its recipients with -r or -R instead");
                return error_status(error, EXIT_STATUS_USAGE);
        }
        result = audience_add_own(recipients, file, arena, error);
        if (result < 0 || (result == 1 && audience_add_recorded(recipients, file, arena, error) < 0))
                return -1;
        for (size_t i = 0; i < options->removed_count; i++) {
                int gone = age_recipients_remove(recipients, options->removed[i], arena, error);

                /* It could be parsed, so it is public. */
                if (gone == 1)
                        error_set(error, 0, "'%s' is not for %s", file->path, options->removed[i]);
                if (gone != 0)
                        return gone < 0 ? -1 : error_status(error, EXIT_STATUS_DATA);
        }
        for (size_t i = 0; i < options->added_count; i++)
                if (age_recipients_add(recipients, options->added[i], arena, error) < 0)
                        return -1;
        if (!recipients->count)
                return error_set(error, 0, "nobody would be left to read '%s'", file->path);
        if (beside_is_there(file))
                cli_note(BESIDE_NAME
                        " beside '%s' stays as it is: change it as well, what is written next goes "
                        "by it",
                        file->path);
        return 0;
}

static int audience_of_new(struct age_recipients *recipients, const struct secret_file *file,
        enum change_origin *origin, struct arena *arena, struct error *error) {
        const struct key_ring *ring = &file->ring;
        int result = BESIDE_NONE;

        if (age_recipients_add_keys(recipients, &ring->keys, arena, error) < 0)
                return -1;
        /* Nobody names a passphrase for a file that is to be for recipients. One beside identities is what
         * opens their file. */
        if (!recipients->count && ring->has_passphrase)
                return age_recipients_add_passphrase(
                        recipients, ring->passphrase, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error);
        struct age_recipients listed = {0};

        result = beside_recipients_add(&listed, file, arena, error);
        if (result < 0)
                return -1;
        if (result == 0) {
                *recipients = listed;
                *origin = CHANGE_BESIDE;
                return 0;
        }
        return recipients->count ? 0 : audience_unknown(file->path, "The file does not exist yet", error);
}

static int audience_of_old(struct age_recipients *recipients, const struct secret_file *file,
        enum change_origin *origin, struct arena *arena, struct error *error) {
        int result;

        if (file->description.has_passphrase)
                return passphrase_add_opener(recipients, file, arena, error);
        result = beside_recipients_add(recipients, file, arena, error);
        if (result != BESIDE_NONE) {
                *origin = CHANGE_BESIDE;
                return result;
        }
        /* A stanza of an unknown kind may be a hardware key of somebody else. He is not locked out
         * silently. */
        result = audience_add_own(recipients, file, arena, error);
        return result == 1 ? audience_unknown(file->path,
                                     "It is for several, and an age file does not say who they are", error)
                           : result;
}

int audience_choose(struct age_recipients *recipients, const struct recipient_options *options,
        const struct key_options *keys, const struct secret_file *file, struct arena *arena,
        struct error *error) {
        enum change_origin origin = CHANGE_NAMED;
        int result = recipients_add_options(recipients, options, arena, error);

        if (result < 0)
                return -1;
        if (result == 0 && (options->added_count || options->removed_count)) {
                result = audience_amend(recipients, options, file, arena, error);
        } else if (result == 0) {
                origin = CHANGE_KEPT;
                result = file->is_new ? audience_of_new(recipients, file, &origin, arena, error)
                                      : audience_of_old(recipients, file, &origin, arena, error);
        }
        if (result < 0)
                return -1;
        return origin == CHANGE_KEPT ? 0
                                     : change_confirm(recipients, origin, options, file, keys, arena, error);
}
