/* Recipients on the command line: see recipients.h. */

#include "cli/files/recipients.h"

#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"

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

int recipient_options_take_added(void *member, const struct option_reader *reader, struct error *error) {
        struct recipient_options *options = member;

        return option_append(options->added, &options->added_count, reader, error);
}

int recipient_options_take_removed(void *member, const struct option_reader *reader, struct error *error) {
        struct recipient_options *options = member;

        return option_append(options->removed, &options->removed_count, reader, error);
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
