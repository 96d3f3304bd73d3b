#pragma once

/* What must hold for each dialect of secret documents (fuzz_dotenv.c, fuzz_docker.c, fuzz_json.c). */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/document/document.h"
#include "tests/fuzz/fuzz.h"

#define DOCUMENT_ARENA_BYTES ((size_t)4 * 1024 * 1024)

struct document {
        struct arena arena;
        struct secret_list list;
};

static inline void document_end(struct document *document) {
        arena_deinit(&document->arena);
}

/* ---- no message quotes a value ----
 *
 * Whether some bytes of a message are a leak cannot be told from the bytes: a value may look like a name or
 * like our own words, and libFuzzer soon makes it so. So the harness plants a text of its own into every
 * value of the input and looks for that one: letters that follow from the whole input, so that no input can
 * hold them, of which no eight in a row may be in a message. */

#define CANARY_BYTES       ((size_t)16)
#define CANARY_TRACE_BYTES ((size_t)8)

struct canary {
        char letters[CANARY_BYTES];
        uint64_t choice; /* where in a value it is planted */
};

static inline struct canary canary_make(const uint8_t *data, size_t size) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a, then splitmix64 */
        struct canary canary;

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ data[i]) * UINT64_C(1099511628211);
        for (size_t i = 0; i <= CANARY_BYTES; i++) {
                uint64_t mixed = hash += UINT64_C(0x9e3779b97f4a7c15);

                mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
                mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
                mixed ^= mixed >> 31;
                canary.choice = mixed;
                if (i < CANARY_BYTES)
                        canary.letters[i] = alphabet[mixed % (sizeof alphabet - 1)];
        }
        return canary;
}

/* Length of what certainly belongs to a value that begins at `at`: to the end of its line, or of its JSON
 * string. */
static inline size_t value_length(bool is_json, bool in_string, const uint8_t *at, size_t room) {
        size_t length = 0;

        while ((in_string || !is_json) && length < room && at[length] >= ' ' &&
                !(is_json && (at[length] == '"' || at[length] == '\\')))
                length++;
        return length;
}

/* Where the next value begins at or behind `from`, `size` when there is none. In dotenv behind the first '='
 * of a line; in JSON behind a ':' outside of a string, and the quote that follows. Up to its first error the
 * parser sees the same. */
static inline size_t value_next(
        bool is_json, const uint8_t *data, size_t size, size_t from, bool *in_string) {
        size_t start = from;

        if (!is_json) {
                while (start > 0 && start < size && data[start - 1] != '\n')
                        start++;
                while (start < size && data[start] != '=')
                        start++;
                return start < size ? start + 1 : size;
        }
        for (; start < size; start++) {
                if (*in_string && data[start] == '\\')
                        start++;
                else if (data[start] == '"')
                        *in_string = !*in_string;
                else if (!*in_string && data[start] == ':')
                        break;
        }
        for (start++; start < size && strchr(" \t\r\n", data[start]) && data[start]; start++)
                continue;
        if (start < size && data[start] == '"') {
                *in_string = true;
                start++;
        }
        return start < size ? start : size;
}

/* The input with the canary in each of its values; malloc'd. */
static inline struct bytes canary_plant(
        const struct canary *canary, bool is_json, const uint8_t *data, size_t size) {
        uint8_t *planted = malloc(size * (CANARY_BYTES + 1) + 1);
        size_t used = 0, copied = 0;
        bool in_string = false;

        for (size_t at = 0; (at = value_next(is_json, data, size, at, &in_string)) < size;) {
                size_t length = value_length(is_json, in_string, data + at, size - at);
                size_t here = at + canary->choice % (length + 1);

                memcpy(planted + used, data + copied, here - copied);
                used += here - copied;
                memcpy(planted + used, canary->letters, CANARY_BYTES);
                used += CANARY_BYTES;
                copied = here;
        }
        if (size > copied)
                memcpy(planted + used, data + copied, size - copied);
        return (struct bytes){planted, used + size - copied};
}

static inline bool canary_stands_in(const struct canary *canary, const char *text) {
        size_t length = strlen(text);

        for (size_t from = 0; from + CANARY_TRACE_BYTES <= CANARY_BYTES; from++)
                for (size_t at = 0; at + CANARY_TRACE_BYTES <= length; at++)
                        if (memcmp(text + at, canary->letters + from, CANARY_TRACE_BYTES) == 0)
                                return true;
        return false;
}

static inline void document_messages_are_clean(
        const struct dialect *dialect, const uint8_t *data, size_t size) {
        struct canary canary = canary_make(data, size);
        struct bytes text = canary_plant(&canary, dialect == &dialect_json, data, size);
        struct error error = {0};
        struct document document = {0};

        struct dialect_input input = {text, "FILE", 7, &document.arena, &document.list, false};

        HOLDS(arena_init(&document.arena, DOCUMENT_ARENA_BYTES, &error) == 0);
        if (document_parse(dialect, &input, &error) < 0) {
                HOLDS(!canary_stands_in(&canary, error.text));
                HOLDS(!canary_stands_in(&canary, error.hint));
        }
        document_end(&document);
        free((void *)(uintptr_t)text.at);
}

/* Returns 0 when it parsed; then the list is checked. As the editor reads, to which an age identity is a
 * value like others. */
static inline int document_read(const struct dialect *dialect, struct bytes text, struct document *out) {
        struct dialect_input input = {text, "FILE", 7, &out->arena, &out->list, true};
        struct error error = {0};

        *out = (struct document){0};
        HOLDS(arena_init(&out->arena, DOCUMENT_ARENA_BYTES, &error) == 0);
        if (document_parse(dialect, &input, &error) < 0) {
                HOLDS(error.text[0] != '\0');
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
static inline void document_edit(const struct dialect *dialect, struct bytes text, struct document *before,
        const char *name, struct secret_bytes value) {
        struct dialect_input input = {text, "FILE", 0, &before->arena, NULL, false};
        struct secret_bytes changed, without;
        struct document after, gone;
        struct error error = {0};
        const struct secret_entry *entry;

        if (document_set(dialect, &input, &(struct document_value){name, value, false}, &changed, &error) <
                0) {
                HOLDS(error.text[0] != '\0');
                return;
        }
        HOLDS(document_read(dialect, secret_view(changed), &after) == 0);
        entry = document_find(&after, name);
        HOLDS(entry && entry->value.length == value.length);
        HOLDS(value.length == 0 || memcmp(entry->value.at, value.at, value.length) == 0);
        document_others_stay(before, &after, name);
        input.text = secret_view(changed);
        HOLDS(document_unset(dialect, &input, name, &without, &error) == 0);
        HOLDS(document_read(dialect, secret_view(without), &gone) == 0);
        HOLDS(!document_find(&gone, name));
        document_others_stay(before, &gone, name);
        document_end(&gone);
        document_end(&after);
}

/* The text as a document; where it is one, edit it with its own last bytes as a value. */
static inline void document_fuzz(
        const struct dialect *dialect, const uint8_t *data, size_t size, bool is_edited) {
        struct document document;
        struct bytes text = {data, size};
        size_t length = size < 40 ? size : 40;
        struct secret_bytes value = {malloc(length + 1), length};

        document_messages_are_clean(dialect, data, size);
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
