/* Changing one variable of a dotenv text, and the row of the dialect. Runs in `tacet set` and `tacet unset`.
 *
 * Only the bytes of that one value change: comments (also one behind the value), order, `export` and the
 * other lines stay as they are. The new value is written in the plainest form that reads back as the same
 * bytes. */

#include "secrets/document/dotenv.h"

#include <string.h>

#include "lib/utf8.h"
#include "secrets/age/base64.h"
#include "secrets/document/dotenv_scan.h"

enum value_form {
        FORM_PLAIN,
        FORM_SINGLE,
        FORM_DOUBLE,
        FORM_BINARY,
};

/* Characters that stand for themselves here and in every other dotenv reader. */
static bool is_plain(uint8_t c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               (c != 0 && memchr("_-+=/.,:@%^", c, 11) != NULL);
}

static enum value_form form_choose(struct secret_bytes value) {
        enum value_form form = FORM_PLAIN;

        if (utf8_valid_bytes(value.at, value.length) < value.length)
                return FORM_BINARY;
        for (size_t i = 0; i < value.length; i++) {
                uint8_t c = value.at[i];
                enum value_form needed = FORM_SINGLE;

                if (is_plain(c))
                        needed = FORM_PLAIN;
                else if (c == '\'' || c == '\r')
                        needed = FORM_DOUBLE;
                else if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
                        needed = FORM_BINARY;
                if (needed > form)
                        form = needed;
        }
        return form;
}

static size_t double_quote(struct secret_bytes value, uint8_t *out) {
        static const char bytes[] = "\n\r\t\\\"$", letters[] = "nrt\\\"$";
        size_t used = 0;

        out[used++] = '"';
        for (size_t i = 0; i < value.length; i++) {
                const char *special = memchr(bytes, value.at[i], sizeof bytes - 1);

                if (special)
                        out[used++] = '\\';
                out[used++] = special ? (uint8_t)letters[special - bytes] : value.at[i];
        }
        out[used++] = '"';
        return used;
}

/* Write NAME[:base64]=VALUE into the arena. */
static int assignment_write(const struct dialect_input *input, const struct document_value *wanted,
        struct secret_bytes *out, struct error *error) {
        const struct secret_bytes value = wanted->bytes;
        const char *name = wanted->name;
        enum value_form form = wanted->as_base64 ? FORM_BINARY : form_choose(value);
        const char *joint = form == FORM_BINARY ? ":base64=" : "=";
        size_t used = strlen(name) + strlen(joint);

        if (form == FORM_BINARY && !wanted->as_base64) {
                error_set(error, 0, "%s: %s: the new value (%zu bytes) is binary, not text", input->file,
                        name, value.length);
                return error_hint(error, "store it as base64");
        }
        out->at = arena_take(input->arena, used + 2 * value.length + 8, error);
        if (!out->at)
                return error_wrap(error, "%s", input->file);
        memcpy(out->at, name, strlen(name));
        memcpy(out->at + strlen(name), joint, strlen(joint));
        switch (form) {
        case FORM_PLAIN:
                memcpy(out->at + used, value.at, value.length);
                used += value.length;
                break;
        case FORM_SINGLE:
                out->at[used++] = '\'';
                memcpy(out->at + used, value.at, value.length);
                used += value.length;
                out->at[used++] = '\'';
                break;
        case FORM_DOUBLE:
                used += double_quote(value, out->at + used);
                break;
        case FORM_BINARY:
                used += base64_encode(BASE64_PADDED, secret_view(value), (char *)out->at + used);
                break;
        }
        out->length = used;
        return 0;
}

#define ITEM_ABSENT 1

/* Find the one assignment to `name`; the whole text must scan, so that no edit is made to a text that means
 * something else than it seems. Returns 0, ITEM_ABSENT or -1. */
static int item_find(
        const struct dialect_input *input, const char *name, struct dotenv_item *out, struct error *error) {
        struct bytes wanted = {(const uint8_t *)name, strlen(name)};
        struct dotenv_scanner scanner;
        struct dotenv_item item;
        bool is_found = false;
        int state;

        dotenv_scanner_init(&scanner, input);
        while ((state = dotenv_scan(&scanner, &item, error)) == 0) {
                if (!bytes_equal(dotenv_name(input, &item), wanted))
                        continue;
                if (is_found)
                        return dialect_error(
                                input, item.name, wanted, error, "the name is already on line %u", out->line);
                is_found = true;
                *out = item;
        }
        if (state < 0)
                return -1;
        return is_found ? 0 : ITEM_ABSENT;
}

static int dotenv_set(const struct dialect_input *input, const struct document_value *value,
        struct secret_bytes *out, struct error *error) {
        struct bytes text = input->text, newline = BYTES_OF("\n");
        struct secret_bytes assignment = {0};
        struct dotenv_item item;
        const uint8_t *first;
        int state = item_find(input, value->name, &item, error);

        if (state < 0 || assignment_write(input, value, &assignment, error) < 0)
                return -1;
        if (state == 0) {
                struct bytes pieces[] = {{text.at, item.name}, secret_view(assignment),
                        {text.at + item.value_end, text.length - item.value_end}};

                return dialect_join(input, pieces, 3, out, error);
        }
        first = text.length ? memchr(text.at, '\n', text.length) : NULL;
        if (first && first > text.at && first[-1] == '\r')
                newline = BYTES_OF("\r\n");
        struct bytes pieces[] = {text,
                text.length > text_start(text) && text.at[text.length - 1] != '\n' ? newline
                                                                                   : (struct bytes){0},
                secret_view(assignment), newline};
        return dialect_join(input, pieces, 4, out, error);
}

static int dotenv_unset(
        const struct dialect_input *input, const char *name, struct secret_bytes *out, struct error *error) {
        struct dotenv_item item;
        int state = item_find(input, name, &item, error);

        if (state != 0)
                return state;
        struct bytes pieces[] = {
                {input->text.at, item.start}, {input->text.at + item.end, input->text.length - item.end}};
        return dialect_join(input, pieces, 2, out, error);
}

const struct dialect dialect_tacet = {.format = "dotenv",
        .word = "tacet",
        .suffix = ".env",
        .parse = dotenv_parse,
        .set = dotenv_set,
        .unset = dotenv_unset};
