/* Reading tacet's own dotenv dialect: see tacet.dotenv(5) for the grammar.
 *
 * Runs in the loader (confined) and in the editing verbs. The values are decoded straight into the arena.
 * Nothing is interpolated: `$` and backquotes are bytes like others, so a password cannot change its
 * meaning. */

#include "secrets/document/dotenv.h"

#include <string.h>

#include "secrets/age/base64.h"
#include "secrets/document/dotenv_scan.h"

/* Undo quotes. Inside them CR LF is one LF, so a file means the same whatever editor kept it. */
static size_t quoted_decode(const uint8_t *at, size_t length, bool has_escapes, uint8_t *out) {
        static const char letters[] = "nrt", bytes[] = "\n\r\t";
        size_t used = 0;

        for (size_t i = 0; i < length; i++) {
                uint8_t c = at[i];

                if (c == '\r' && i + 1 < length && at[i + 1] == '\n')
                        continue;
                if (c == '\\' && has_escapes) {
                        const char *letter = memchr(letters, at[++i], 3);

                        c = letter ? (uint8_t)bytes[letter - letters] : at[i];
                }
                out[used++] = c;
        }
        return used;
}

static int value_decode(const struct dialect_input *input, const struct dotenv_item *item,
        struct secret_bytes *out, struct error *error) {
        const uint8_t *at = input->text.at + item->value;
        size_t length = item->value_end - item->value;

        out->length = length;
        out->at = arena_take(input->arena, length + 3, error);
        if (!out->at)
                return error_wrap(error, "%s", input->file);
        if (item->quote != DOTENV_PLAIN) {
                at++;
                length -= 2;
        }
        if (item->marker == DOTENV_BASE64) {
                if (base64_decode(BASE64_PADDED, (struct bytes){at, length}, out->at, &out->length))
                        return 0;
                return dialect_error(input, item->value, dotenv_name(input, item), error,
                        "not base64 (%zu characters): A-Z a-z 0-9 + / with = at the end, on one line",
                        length);
        }
        if (item->quote == DOTENV_PLAIN)
                memcpy(out->at, at, length);
        else
                out->length = quoted_decode(at, length, item->quote == DOTENV_DOUBLE, out->at);
        return 0;
}

int dotenv_parse(const struct dialect_input *input, struct error *error) {
        struct dotenv_scanner scanner;
        struct dotenv_item item;
        int state;

        dotenv_scanner_init(&scanner, input);
        while ((state = dotenv_scan(&scanner, &item, error)) == 0) {
                struct secret_bytes value;

                if (value_decode(input, &item, &value, error) < 0)
                        return -1;
                if (dialect_add(input, item.name, item.line, dotenv_name(input, &item), value,
                            item.marker == DOTENV_EMPTY, error) < 0)
                        return -1;
        }
        return state == DOTENV_END ? 0 : -1;
}
