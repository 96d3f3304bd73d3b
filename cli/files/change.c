/* Changing whom a file is for: see change.h.
 *
 * A file of recipients that is stale, or that somebody planted, shows here: as the key that has just opened
 * the file and is not in it, or as a number that differs. What cannot be seen is one unnamed recipient in the
 * place of another: an age file does not say who they are. */

#include "cli/files/change.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "cli/common/terminal.h"

/* More are not listed: the person looks into the file of recipients then. */
#define SHOWN_MAX 16

/* Too large for a stack frame that others stand on. */
struct change {
        const struct secret_file *file;
        const struct age_recipients *recipients;
        struct age_keys mine; /* those that opened the file, and those beside a passphrase */
        struct age_difference difference;
};

static const char *plural(size_t count) {
        return count == 1 ? "" : "s";
}

/* Of which key is the person's own: those that opened the file; named recipients may be for another one that
 * was given too. */
static bool change_keeps_author(const struct change *change, enum change_origin origin) {
        for (size_t i = 0; i < change->mine.count; i++)
                if (change->difference.stays[i] &&
                        (origin == CHANGE_NAMED || change->difference.opens[i] || change->file->is_new))
                        return true;
        return false;
}

static int change_refuse(const struct change *change, enum change_origin origin, struct error *error) {
        char own[AGE_RECIPIENT_TEXT_BYTES];

        error_set(error, 0, "'%s' would not open with your key any more: %s", change->file->path,
                origin == CHANGE_BESIDE ? ".age-recipients beside it does not list it"
                                        : "it is not among the new recipients");
        error_hint(error, "name it as well, with its recipient, or give --lock-myself-out if that is meant");
        for (size_t i = 0; i < change->mine.count; i++)
                if ((change->difference.opens[i] || change->file->is_new) &&
                        age_key_recipient(&change->mine, i, own)) {
                        error_hint(error, "add %s%s, or give --lock-myself-out if that is meant", own,
                                origin == CHANGE_BESIDE ? " there" : " with -r");
                        break;
                }
        return error_status(error, EXIT_STATUS_USAGE);
}

static void change_say_added(const struct change *change) {
        const struct age_difference *difference = &change->difference;
        size_t unclear = 0, shown = 0;
        char text[AGE_RECIPIENT_SHOWN_BYTES];

        for (size_t i = 0; i < difference->after; i++)
                unclear += difference->is_new[i];
        for (size_t i = 0; i < difference->after && difference->added && shown < SHOWN_MAX; i++) {
                if (!difference->is_new[i])
                        continue;
                age_recipient_show(change->recipients, i, text);
                cli_note("  %s: %s", unclear == difference->added ? "added" : "perhaps added", text);
                shown++;
        }
        if (difference->added && unclear > shown)
                cli_note("  and %zu more", unclear - shown);
        if (difference->added && unclear > difference->added)
                cli_note("  at least %zu of these %s new: an age file does not name its recipients",
                        difference->added, difference->added == 1 ? "is" : "are");
}

static int change_say_removed(const struct change *change, struct arena *arena, struct error *error) {
        const struct age_difference *difference = &change->difference;
        char text[AGE_RECIPIENT_SHOWN_BYTES];
        size_t named = 0;

        for (size_t i = 0; i < change->mine.count; i++) {
                struct age_keys one = {.list = {change->mine.list[i]}, .count = 1};
                struct age_recipients own = {0};

                if (!difference->opens[i] || difference->stays[i] || !difference->removed)
                        continue;
                if (age_recipients_add_keys(&own, &one, arena, error) < 0)
                        return -1;
                if (!own.count)
                        continue;
                age_recipient_show(&own, 0, text);
                cli_note("  removed: %s", text);
                named++;
        }
        if (difference->removed > named && difference->before > 0 &&
                !change->file->description.has_passphrase)
                cli_note("  removed: at least %zu that an age file does not name",
                        difference->removed - named);
        return 0;
}

static int change_say(const struct change *change, struct arena *arena, struct error *error) {
        const struct age_difference *difference = &change->difference;
        char was[64], will[64];
        bool has_passphrase = change->file->description.has_passphrase;

        snprintf(was, sizeof was, "for %zu recipient%s", difference->before, plural(difference->before));
        snprintf(will, sizeof will, "for %zu recipient%s", difference->after, plural(difference->after));
        cli_note("'%s' is %s and will be %s", change->file->path,
                has_passphrase ? "locked with a passphrase" : was, will);
        change_say_added(change);
        return change_say_removed(change, arena, error);
}

/* At a terminal a person decides; a script is told, and goes on. */
static int change_ask(const struct change *change, struct error *error) {
        if (!terminal_is_present() || !isatty(STDERR_FILENO))
                return 0;
        if (terminal_choose("Write it for these recipients? [y/N] ", "ny") == 'y')
                return 0;
        return error_set(
                error, 0, "'%s' is as it was: its recipients were not to change", change->file->path);
}

int change_confirm(const struct age_recipients *recipients, enum change_origin origin,
        const struct recipient_options *options, const struct secret_file *file,
        const struct key_options *keys, struct arena *arena, struct error *error) {
        struct change change = {.file = file, .recipients = recipients, .mine = file->ring.keys};
        struct age_input input = {file->sealed, file->path, &verb_limits, arena};
        const struct age_difference *difference = &change.difference;

        if (file->is_new)
                input.bytes = (struct bytes){0};
        /* A passphrase cannot stand beside recipients: then an identity has to be at hand. */
        if (!file->is_new && file->description.has_passphrase && origin == CHANGE_NAMED &&
                identities_add_beside_passphrase(&change.mine, keys, arena, error) < 0)
                return -1;
        if (age_difference_find(&input, &change.mine, recipients, &change.difference, error) < 0)
                return -1;
        if (!options->may_lock_out && origin != CHANGE_PASSPHRASE && !change_keeps_author(&change, origin) &&
                (!file->is_new || (origin == CHANGE_BESIDE && change.mine.count)))
                return change_refuse(&change, origin, error);
        if (file->is_new || (!difference->added && !difference->removed))
                return 0;
        if (change_say(&change, arena, error) < 0)
                return -1;
        return options->is_sure ? 0 : change_ask(&change, error);
}
