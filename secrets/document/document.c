/* Secret documents, the part that all dialects share: see document.h.
 *
 * Called by the loader after it has confined itself, and by the verbs that edit. Pure: bytes in, entries out;
 * it opens nothing and logs nothing. It refuses whatever could reach the app as something else than was
 * written: names twice, names that a shell could not use, NUL (which would cut the value), empty values
 * nobody asked for. Its messages carry positions, names and sizes only, because the line at fault is usually
 * the one that holds the secret. */

#include "secrets/document/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/document/dialect.h"

/* The JSON reader builds a tree: about 300 bytes for each of at most SECRETS_MAX variables, beside a few
 * copies of the text in blocks of a power of two. The other dialects need less. */
#define ROOM_FIXED_BYTES ((size_t)4 * 1024 * 1024)
#define ROOM_PER_BYTE    8

size_t document_room(size_t text_bytes) {
        size_t room;

        if (__builtin_mul_overflow(text_bytes, (size_t)ROOM_PER_BYTE, &room) ||
                __builtin_add_overflow(room, ROOM_FIXED_BYTES, &room))
                return SIZE_MAX;
        return room;
}

size_t text_start(struct bytes text) {
        return text.length >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

enum document_dialect document_dialect_of(struct bytes text) {
        size_t at = text_start(text);

        while (at < text.length && memchr(" \t\r\n", text.at[at], 4))
                at++;
        return at < text.length && text.at[at] == '{' ? DOCUMENT_JSON : DOCUMENT_TACET;
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

        if (secret_entry_check(name, value, may_be_empty, error) < 0)
                return error_wrap(error, "%s:%u:%zu", input->file, line, text_column(input->text, offset));
        copy = arena_take(input->arena, name.length + 1, error);
        if (!copy)
                return error_wrap(error, "%s", input->file);
        memcpy(copy, name.at, name.length);
        entry.name = copy;
        if (secret_list_add(input->list, entry, error) < 0)
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

static int entry_compare(const void *a, const void *b) {
        const struct secret_entry *left = *(const struct secret_entry *const *)a;
        const struct secret_entry *right = *(const struct secret_entry *const *)b;
        int order = strcmp(left->name, right->name);

        return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

/* Find the first line that repeats a name. Sorting pointers keeps 4096 names cheap. */
static int duplicates_refuse(const struct dialect_input *input, const struct secret_list *list, size_t first,
        struct error *error) {
        const struct secret_entry *worst = NULL, *original = NULL;
        const struct secret_entry **sorted;
        size_t count = list->count - first;

        if (count < 2)
                return 0;
        sorted = calloc(count, sizeof *sorted);
        if (!sorted)
                return error_set(error, 0, "%s: sort %zu names: out of memory", input->file, count);
        for (size_t i = 0; i < count; i++)
                sorted[i] = &list->at[first + i];
        qsort(sorted, count, sizeof *sorted, entry_compare);
        for (size_t i = 1; i < count; i++)
                if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0 &&
                        (!worst || sorted[i]->line < worst->line)) {
                        original = sorted[i - 1];
                        worst = sorted[i];
                }
        free(sorted);
        if (!worst)
                return 0;
        error_set(error, 0, "%s:%u: %s: the name is already on line %u", input->file, worst->line,
                worst->name, original->line);
        error_hint(error, "remove one of the two lines");
        return error_status(error, EXIT_STATUS_DATA);
}

int document_parse(enum document_dialect dialect, struct bytes text, const char *file, uint16_t source,
        struct arena *arena, struct secret_list *list, struct error *error) {
        struct dialect_input input = {text, file, source, arena, list};
        size_t first = list->count;
        int result = -1;

        switch (dialect) {
        case DOCUMENT_TACET:
                result = dotenv_parse(&input, error);
                break;
        case DOCUMENT_DOCKER:
                result = docker_parse(&input, error);
                break;
        case DOCUMENT_JSON:
                result = json_parse(&input, error);
                break;
        }
        return result < 0 ? -1 : duplicates_refuse(&input, list, first, error);
}

static int docker_edit_refuse(const char *file, struct error *error) {
        error_set(error, 0, "%s: the docker dialect is read only", file);
        return error_hint(error, "edit it by hand, or keep the values in an age file");
}

int document_set(enum document_dialect dialect, struct bytes text, const char *file, const char *name,
        struct secret_bytes value, bool as_base64, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        struct dialect_input input = {text, file, 0, arena, NULL};
        struct bytes name_bytes = {(const uint8_t *)name, strlen(name)};
        int result = -1;

        if (secret_entry_check(name_bytes, value, false, error) < 0)
                return error_wrap(error, "%s: the new value", file);
        switch (dialect) {
        case DOCUMENT_TACET:
                result = dotenv_set(&input, name, value, as_base64, out, error);
                break;
        case DOCUMENT_JSON:
                result = as_base64 ? error_set(error, 0, "%s: %s: JSON has no base64 values", file, name)
                                   : json_set(&input, name, value, out, error);
                break;
        case DOCUMENT_DOCKER:
                result = docker_edit_refuse(file, error);
                break;
        }
        return result;
}

int document_unset(enum document_dialect dialect, struct bytes text, const char *file, const char *name,
        struct arena *arena, struct secret_bytes *out, struct error *error) {
        struct dialect_input input = {text, file, 0, arena, NULL};
        int result = -1;

        if (!secret_name_is_valid(name, strlen(name)))
                return error_set(error, 0,
                        "%s: not a variable name: letters, digits and '_', at most %d bytes", file,
                        SECRET_NAME_BYTES_MAX);
        switch (dialect) {
        case DOCUMENT_TACET:
                result = dotenv_unset(&input, name, out, error);
                break;
        case DOCUMENT_JSON:
                result = json_unset(&input, name, out, error);
                break;
        case DOCUMENT_DOCKER:
                result = docker_edit_refuse(file, error);
                break;
        }
        return result;
}
