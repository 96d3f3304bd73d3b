/* Reading tacet's own dotenv dialect: see tacet.dotenv(5) for the grammar.
 *
 * Runs in the loader (confined) and in the editing verbs. The values are decoded straight into the arena. Nothing is
 * interpolated: `$` and backquotes are bytes like others, so a password cannot change its meaning. */

#include "secrets/dotenv.h"

#include <sodium.h>
#include <string.h>

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

/* Strict base64 (RFC 4648 section 4, padded). libsodium 1.0.18 takes bytes from 0x80 up for '/', so the alphabet is
 * checked first; it refuses loose bits and missing padding itself. */
static bool base64_decode(const uint8_t *at, size_t length, uint8_t *out, size_t *out_length) {
        for (size_t i = 0; i < length; i++)
                if (at[i] >= 0x80 || at[i] == 0)
                        return false;
        return sodium_base642bin(out, length, (const char *)at, length, NULL, out_length, NULL,
                       sodium_base64_VARIANT_ORIGINAL) == 0;
}

static int value_decode(const struct dialect_input *input, const struct dotenv_item *item,
        struct secret_bytes *out, struct error *error) {
        const uint8_t *at = input->text.at + item->value;
        size_t length = item->value_end - item->value;

        out->length = length;
        out->at = arena_take(input->arena, length, error);
        if (!out->at)
                return error_wrap(error, "%s", input->file);
        if (item->quote != DOTENV_PLAIN) {
                at++;
                length -= 2;
        }
        if (item->marker == DOTENV_BASE64) {
                if (base64_decode(at, length, out->at, &out->length))
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
                if (value.length == 0 && item.marker != DOTENV_EMPTY)
                        return dialect_refuse_empty(input, item.name, dotenv_name(input, &item), error);
                if (dialect_add(input, item.name, item.line, dotenv_name(input, &item), value, error) < 0)
                        return -1;
        }
        return state == DOTENV_END ? 0 : -1;
}
