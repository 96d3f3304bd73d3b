/* What the dialects of secret documents share: see dialect.h.
 *
 * Runs in the loader (confined) and in the editing verbs; pure. An entry is checked here, whatever dialect it
 * was written in. Messages carry positions, names and sizes only, because the line at fault is usually the
 * one that holds the secret. */

#include "secrets/document/dialect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t text_start(struct bytes text) {
        return text.length >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

uint32_t text_line(struct bytes text, size_t offset) {
        uint32_t line = 1;

        for (size_t i = 0; i < offset && i < text.length; i++)
                line += text.at[i] == '\n';
        return line;
}

static size_t text_column(struct bytes text, size_t offset) {
        size_t start = offset;

        while (start > text_start(text) && text.at[start - 1] != '\n')
                start--;
        return offset - start + 1;
}

int dialect_error(const struct dialect_input *input, size_t offset, struct bytes name, struct error *error,
        const char *format, ...) {
        char text[384];
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        error_set(error, 0, "%s:%u:%zu: %.*s%s%s", input->file, text_line(input->text, offset),
                text_column(input->text, offset), (int)name.length, (const char *)name.at,
                name.length ? ": " : "", text);
        return error_status(error, EXIT_STATUS_DATA);
}

int dialect_add(const struct dialect_input *input, size_t offset, uint32_t line, struct bytes name,
        struct secret_bytes value, bool may_be_empty, struct error *error) {
        struct secret_entry entry = {.value = value, .line = line, .source = input->source};
        char *copy;

        if (secret_entry_check(name, value, may_be_empty, error) < 0 ||
                (!input->may_hold_identities && secret_refuse_identity(name, value, error) < 0))
                return error_wrap(error, "%s:%u:%zu", input->file, line, text_column(input->text, offset));
        copy = arena_take(input->arena, name.length + 1, error);
        if (!copy)
                return error_wrap(error, "%s", input->file);
        memcpy(copy, name.at, name.length);
        entry.name = copy;
        if (secret_list_add(input->list, entry, input->arena, error) < 0)
                return error_wrap(error, "%s:%u", input->file, line);
        return 0;
}

int dialect_join(const struct dialect_input *input, const struct bytes *pieces, size_t count,
        struct secret_bytes *out, struct error *error) {
        size_t length = 0;
        uint8_t *at;

        for (size_t i = 0; i < count; i++)
                length += pieces[i].length;
        at = arena_take(input->arena, length, error);
        if (!at)
                return error_wrap(error, "%s", input->file);
        *out = (struct secret_bytes){at, length};
        for (size_t i = 0; i < count; i++) {
                if (pieces[i].length)
                        memcpy(at, pieces[i].at, pieces[i].length);
                at += pieces[i].length;
        }
        return 0;
}
