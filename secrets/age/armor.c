/* Armor in and out. In the loader and the editing verbs.
 *
 * No MAC covers the armor, so whatever is tolerated here can be changed by anybody without the file failing:
 * taken are LF or CRLF, and blanks before and after (as the reference reader does), and nothing else.
 * Refused: other labels, headers, empty lines, lines over 64 characters, a short line that is not the last,
 * base64 that is not canonical, text behind. */

#include "secrets/age/armor.h"

#include <assert.h>
#include <string.h>

#include "secrets/age/base64.h"

#define ARMOR_LINE_CHARACTERS 64

static bool is_blank(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t blanks_before(struct bytes file) {
        size_t count = 0;

        while (count < file.length && is_blank(file.at[count]))
                count++;
        return count;
}

bool armor_is_present(struct bytes file) {
        const size_t length = sizeof ARMOR_BEGIN - 1;
        size_t at = blanks_before(file);

        return at <= ARMOR_WHITESPACE_MAX && file.length - at >= length &&
               memcmp(file.at + at, ARMOR_BEGIN, length) == 0;
}

size_t armor_decoded_bytes_max(size_t length) {
        return base64_decoded_bytes_max(length);
}

struct armor_cursor {
        struct bytes text;
        size_t at;
        size_t line;
};

/* Take a line without LF or CRLF. The last one may have neither. False at the end of the text. */
static bool armor_line(struct armor_cursor *cursor, struct bytes *out) {
        const uint8_t *start = cursor->text.at + cursor->at;
        size_t left = cursor->text.length - cursor->at;
        const uint8_t *end;

        if (left == 0)
                return false;
        end = memchr(start, '\n', left);
        out->at = start;
        out->length = end ? (size_t)(end - start) : left;
        cursor->at += out->length + (end ? 1 : 0);
        cursor->line++;
        if (out->length > 0 && start[out->length - 1] == '\r')
                out->length--;
        return true;
}

static int armor_wrong(const struct armor_cursor *cursor, const char *what, struct error *error) {
        return error_set(error, 0, "armor line %zu: %s", cursor->line, what);
}

static bool armor_line_is(struct bytes line, const char *text) {
        return bytes_equal(line, (struct bytes){(const uint8_t *)text, strlen(text)});
}

/* The BEGIN line; blanks before it end with a line end. */
static int armor_begin(struct armor_cursor *cursor, struct error *error) {
        size_t blanks = blanks_before(cursor->text);
        struct bytes line;

        if (blanks > ARMOR_WHITESPACE_MAX)
                return error_set(error, 0, "armor: more than %d blanks before it", ARMOR_WHITESPACE_MAX);
        while (cursor->at <= blanks && armor_line(cursor, &line))
                if (armor_line_is(line, ARMOR_BEGIN))
                        return 0;
        return armor_wrong(cursor, "not exactly '" ARMOR_BEGIN "'", error);
}

static int armor_behind(const struct armor_cursor *cursor, struct error *error) {
        struct bytes rest = {cursor->text.at + cursor->at, cursor->text.length - cursor->at};

        if (blanks_before(rest) != rest.length)
                return armor_wrong(cursor, "something stands behind the end", error);
        if (rest.length >= ARMOR_WHITESPACE_MAX)
                return error_set(error, 0, "armor: %d blanks or more behind it", ARMOR_WHITESPACE_MAX);
        return 0;
}

int armor_decode(struct bytes text, uint8_t *out, size_t *out_length, struct error *error) {
        struct armor_cursor cursor = {.text = text};
        size_t written = 0, decoded = ARMOR_LINE_BYTES;
        struct bytes line;

        if (armor_begin(&cursor, error) < 0)
                return -1;
        while (armor_line(&cursor, &line)) {
                if (armor_line_is(line, ARMOR_END)) {
                        *out_length = written;
                        return armor_behind(&cursor, error);
                }
                if (decoded < ARMOR_LINE_BYTES)
                        return armor_wrong(&cursor, "not '" ARMOR_END "' behind a short line", error);
                if (line.length == 0)
                        return armor_wrong(&cursor, "an empty line", error);
                if (line.length > ARMOR_LINE_CHARACTERS)
                        return armor_wrong(&cursor, "more than 64 characters", error);
                if (!base64_decode(BASE64_PADDED, line, out + written, &decoded))
                        return armor_wrong(&cursor, "not canonical base64", error);
                written += decoded;
        }
        return error_set(
                error, 0, "armor: the file ends at line %zu without '%s': it is cut", cursor.line, ARMOR_END);
}

size_t armor_encoded_bytes(size_t length) {
        const size_t frame =
                sizeof ARMOR_BEGIN + sizeof ARMOR_END; /* with a line end each in place of the NUL */
        size_t lines = length / ARMOR_LINE_BYTES + (length % ARMOR_LINE_BYTES > 0);
        size_t characters;

        if (__builtin_mul_overflow(lines, (size_t)ARMOR_LINE_CHARACTERS + 1, &characters) ||
                __builtin_add_overflow(characters, frame, &characters))
                return 0;
        if (length % ARMOR_LINE_BYTES > 0)
                characters -= ARMOR_LINE_CHARACTERS -
                              base64_encoded_bytes(BASE64_PADDED, length % ARMOR_LINE_BYTES);
        return characters;
}

void armor_encode(struct bytes bytes, char *out) {
        char *const start = out;

        memcpy(out, ARMOR_BEGIN "\n", sizeof ARMOR_BEGIN);
        out += sizeof ARMOR_BEGIN;
        for (size_t at = 0; at < bytes.length;) {
                size_t left = bytes.length - at;
                size_t length = left < ARMOR_LINE_BYTES ? left : ARMOR_LINE_BYTES;

                out += base64_encode(BASE64_PADDED, (struct bytes){bytes.at + at, length}, out);
                *out++ = '\n';
                at += length;
        }
        memcpy(out, ARMOR_END "\n", sizeof ARMOR_END);
        out += sizeof ARMOR_END;
        assert((size_t)(out - start) == armor_encoded_bytes(bytes.length));
}
