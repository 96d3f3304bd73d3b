#pragma once

/* What must hold for each dialect of secret documents (fuzz_dotenv.c, fuzz_docker.c, fuzz_json.c). */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/document.h"
#include "tests/fuzz/fuzz.h"

#define DOCUMENT_ARENA_BYTES ((size_t)4 * 1024 * 1024)
#define DOCUMENT_QUIET_BYTES 16 /* a value's text of this length or more is in no message */

struct document {
        struct arena arena;
        struct secret_list list;
};

static inline void document_end(struct document *document) {
        secret_list_deinit(&document->list);
        arena_deinit(&document->arena);
}

/* The message behind "FILE:LINE:COLUMN: NAME", which may quote that line's own name: another line's value can look the same. */
static inline const char *document_message_tail(const struct error *error, const uint8_t *data, size_t size) {
        const char *at = strchr(error->text, ':'), *text = at;
        unsigned long line = at ? strtoul(at + 1, NULL, 10) : 0;
        size_t start = 0, name = 0;

        for (; line > 1 && start < size; line--)
                while (start < size && data[start++] != '\n')
                        continue;
        while (start < size && strchr(" \t\v\f\r", data[start]))
                start++;
        while (text && *text && !(text[0] == ':' && text[1] == ' '))
                text++;
        while (start + name < size && !strchr("=:\n", data[start + name]))
                name++;
        for (size_t i = 0; text && *text && i < name; i++)
                if (text[2 + i] != (char)data[start + i])
                        return error->text;
        return text && *text ? text + 2 + name : error->text;
}

/* strstr(3) byte by byte: libFuzzer watches the library's own and writes what it was given, our fixed words, into the inputs. */
static inline bool text_stands_in(const char *text, const char *value) {
        for (; *text; text++) {
                size_t same = 0;

                while (value[same] && text[same] == value[same])
                        same++;
                if (!value[same])
                        return true;
        }
        return false;
}

/* The message quotes nothing that stands behind the first '=' or ':' of a line. */
static inline void document_message_is_clean(const struct error *error, const uint8_t *data, size_t size) {
        const char *text = document_message_tail(error, data, size);

        HOLDS(error->text[0] != '\0');
        for (size_t start = 0; start < size;) {
                const uint8_t *end = memchr(data + start, '\n', size - start);
                size_t length = end ? (size_t)(end - data) - start : size - start, name = 0;
                char value[256];

                while (name < length && data[start + name] != '=' && data[start + name] != ':')
                        name++;
                if (length > name + DOCUMENT_QUIET_BYTES && length - name - 1 < sizeof value) {
                        memcpy(value, data + start + name + 1, length - name - 1);
                        value[length - name - 1] = '\0';
                        HOLDS(strlen(value) < DOCUMENT_QUIET_BYTES || !text_stands_in(text, value));
                }
                start += length + 1;
        }
}

/* Returns 0 when it parsed; then the list is checked. */
static inline int document_read(enum document_dialect dialect, struct bytes text, struct document *out) {
        struct error error = {0};

        *out = (struct document){0};
        HOLDS(arena_init(&out->arena, DOCUMENT_ARENA_BYTES, &error) == 0);
        if (document_parse(dialect, text, "FILE", 7, &out->arena, &out->list, &error) < 0) {
                document_message_is_clean(&error, text.at, text.length);
                document_end(out);
                return -1;
        }
        for (size_t i = 0; i < out->list.count; i++) {
                const struct secret_entry *entry = &out->list.at[i];

                HOLDS(secret_name_is_valid(entry->name, strlen(entry->name)));
                HOLDS(entry->value.length <= SECRET_STRING_BYTES_MAX);
                HOLDS(entry->value.length == 0 || !memchr(entry->value.at, 0, entry->value.length));
                HOLDS(entry->source == 7 && entry->line > 0);
                for (size_t j = 0; j < i && i < 64; j++)
                        HOLDS(strcmp(out->list.at[j].name, entry->name) != 0);
        }
        return 0;
}

static inline const struct secret_entry *document_find(const struct document *document, const char *name) {
        for (size_t i = 0; i < document->list.count; i++)
                if (strcmp(document->list.at[i].name, name) == 0)
                        return &document->list.at[i];
        return NULL;
}

/* Every entry of `a` but `name` is in `b`, unchanged. */
static inline void document_others_stay(
        const struct document *a, const struct document *b, const char *name) {
        for (size_t i = 0; i < a->list.count; i++) {
                const struct secret_entry *entry = &a->list.at[i];
                const struct secret_entry *again = document_find(b, entry->name);

                if (strcmp(entry->name, name) == 0)
                        continue;
                HOLDS(again && again->value.length == entry->value.length);
                HOLDS(memcmp(again->value.at, entry->value.at, entry->value.length) == 0);
        }
}

/* Set `name` to `value` (the editor may refuse what cannot be written), read it back, take it out again. */
static inline void document_edit(enum document_dialect dialect, struct bytes text, struct document *before,
        const char *name, struct secret_bytes value) {
        struct secret_bytes changed, without;
        struct document after, gone;
        struct error error = {0};
        const struct secret_entry *entry;

        if (document_set(dialect, text, "FILE", name, value, false, &before->arena, &changed, &error) < 0) {
                HOLDS(error.text[0] != '\0');
                return;
        }
        HOLDS(document_read(dialect, secret_view(changed), &after) == 0);
        entry = document_find(&after, name);
        HOLDS(entry && entry->value.length == value.length);
        HOLDS(value.length == 0 || memcmp(entry->value.at, value.at, value.length) == 0);
        document_others_stay(before, &after, name);
        HOLDS(document_unset(dialect, secret_view(changed), "FILE", name, &before->arena, &without, &error) ==
                0);
        HOLDS(document_read(dialect, secret_view(without), &gone) == 0);
        HOLDS(!document_find(&gone, name));
        document_others_stay(before, &gone, name);
        document_end(&gone);
        document_end(&after);
}

/* The text as a document; where it is one, edit it with its own last bytes as a value. */
static inline void document_fuzz(
        enum document_dialect dialect, const uint8_t *data, size_t size, bool is_edited) {
        struct document document;
        struct bytes text = {data, size};
        size_t length = size < 40 ? size : 40;
        struct secret_bytes value = {malloc(length + 1), length};

        memcpy(value.at, data + size - length, length);
        if (document_read(dialect, text, &document) == 0) {
                if (is_edited) {
                        document_edit(dialect, text, &document, "NEW_NAME", value);
                        if (document.list.count > 0)
                                document_edit(dialect, text, &document,
                                        document.list.at[document.list.count / 2].name, value);
                }
                document_end(&document);
        }
        free(value.at);
}
