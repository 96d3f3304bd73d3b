/* Secret documents: the table of dialects, and what holds for a document of any of them. See document.h.
 *
 * Called by the loader after it has confined itself, and by the verbs that edit. Pure: bytes in, entries out;
 * it opens nothing and logs nothing. It refuses whatever could reach the app as something else than was
 * written: names twice, names that a shell could not use, NUL (which would cut the value), empty values
 * nobody asked for. */

#include "secrets/document/document.h"

#include <stdlib.h>
#include <string.h>

#include "secrets/document/dialect.h"

/* The JSON reader builds a tree: about 300 bytes for each of at most SECRETS_MAX variables, beside the
 * list of them (some 90 bytes each) and a few copies of the text in blocks of a power of two. The other
 * dialects need less. */
#define ROOM_FIXED_BYTES ((size_t)4 * 1024 * 1024)
#define ROOM_PER_BYTE    8

size_t document_room(size_t text_bytes) {
        size_t room;

        if (__builtin_mul_overflow(text_bytes, (size_t)ROOM_PER_BYTE, &room) ||
                __builtin_add_overflow(room, ROOM_FIXED_BYTES, &room))
                return SIZE_MAX;
        return room;
}

#define DIALECT_ADDRESS(name) &dialect_##name,
static const struct dialect *const dialects[] = {DIALECTS(DIALECT_ADDRESS)};
#undef DIALECT_ADDRESS

#define DIALECT_COUNT (sizeof dialects / sizeof *dialects)

const struct dialect *document_dialect_named(const char *format, const char *word) {
        for (size_t i = 0; i < DIALECT_COUNT; i++) {
                const struct dialect *dialect = dialects[i];

                if (format && strcmp(format, dialect->format) != 0)
                        continue;
                if (!word || (dialect->word && strcmp(word, dialect->word) == 0))
                        return dialect;
        }
        return NULL;
}

const struct dialect *document_dialect_of(struct bytes text) {
        size_t at = text_start(text);

        while (at < text.length && memchr(" \t\r\n", text.at[at], 4))
                at++;
        for (size_t i = 0; at < text.length && i < DIALECT_COUNT; i++)
                if (dialects[i]->opening && text.at[at] == (uint8_t)dialects[i]->opening)
                        return dialects[i];
        return dialects[0];
}

const struct dialect *document_dialect_of_file(const char *path) {
        const char *slash = strrchr(path, '/');

        for (size_t i = 0; i < DIALECT_COUNT; i++)
                if (dialects[i]->opening && strstr(slash ? slash + 1 : path, dialects[i]->suffix))
                        return dialects[i];
        return dialects[0];
}

const char *document_suffix(const struct dialect *dialect) {
        return dialect->suffix;
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
        size_t count = list->count - first, mark = input->arena->used;

        if (count < 2)
                return 0;
        sorted = arena_take(input->arena, count * sizeof *sorted, error);
        if (!sorted)
                return error_wrap(error, "%s: sort %zu names", input->file, count);
        for (size_t i = 0; i < count; i++)
                sorted[i] = &list->at[first + i];
        qsort(sorted, count, sizeof *sorted, entry_compare);
        for (size_t i = 1; i < count; i++)
                if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0 &&
                        (!worst || sorted[i]->line < worst->line)) {
                        original = sorted[i - 1];
                        worst = sorted[i];
                }
        arena_release(input->arena, mark);
        if (!worst)
                return 0;
        error_set(error, 0, "%s:%u: %s: the name is already on line %u", input->file, worst->line,
                worst->name, original->line);
        error_hint(error, "remove one of the two lines");
        return error_status(error, EXIT_STATUS_DATA);
}

int document_parse(const struct dialect *dialect, const struct dialect_input *input, struct error *error) {
        size_t first = input->list->count;

        return dialect->parse(input, error) < 0 ? -1 : duplicates_refuse(input, input->list, first, error);
}

static int edit_refuse(const struct dialect *dialect, const char *file, struct error *error) {
        error_set(error, 0, "%s: the %s dialect is read only", file,
                dialect->word ? dialect->word : dialect->format);
        return error_hint(error, "edit it by hand, or keep the values in an age file");
}

int document_set(const struct dialect *dialect, const struct dialect_input *input,
        const struct document_value *value, struct secret_bytes *out, struct error *error) {
        struct bytes name = {(const uint8_t *)value->name, strlen(value->name)};
        struct dialect_input edited = *input;

        edited.list = NULL;
        if (secret_entry_check(name, value->bytes, false, error) < 0)
                return error_wrap(error, "%s: the new value", input->file);
        return dialect->set ? dialect->set(&edited, value, out, error)
                            : edit_refuse(dialect, input->file, error);
}

int document_unset(const struct dialect *dialect, const struct dialect_input *input, const char *name,
        struct secret_bytes *out, struct error *error) {
        struct dialect_input edited = *input;

        edited.list = NULL;
        if (!secret_name_is_valid(name, strlen(name)))
                return error_set(error, 0,
                        "%s: not a variable name: letters, digits and '_', at most %d bytes", input->file,
                        SECRET_NAME_BYTES_MAX);
        return dialect->unset ? dialect->unset(&edited, name, out, error)
                              : edit_refuse(dialect, input->file, error);
}
