/* The header's grammar. Runs in the loader (after it confined itself) and in the editing verbs; it sees bytes
 * of strangers before any of them is authenticated, so it trusts no length and keeps nothing but views.
 *
 * Refused: another version, lines that do not end in LF, CR, empty arguments (so double, leading or trailing
 * spaces), characters outside 0x21..0x7e in arguments, bodies that are not canonical base64 lines of 64 with
 * one shorter line at the end, anything behind the MAC on its line, no stanza at all, a header over 1 MiB. */

#include "secrets/age/format.h"

#include <assert.h>
#include <string.h>

#include "secrets/age/base64.h"

struct cursor {
        struct bytes text;
        size_t at;
        size_t line; /* of the last line taken, 1-based */
};

/* Take one line without its LF. False when no LF follows within the text. */
static bool cursor_line(struct cursor *cursor, struct bytes *out) {
        const uint8_t *start = cursor->text.at + cursor->at;
        const uint8_t *end = memchr(start, '\n', cursor->text.length - cursor->at);

        if (!end)
                return false;
        *out = (struct bytes){start, (size_t)(end - start)};
        cursor->at += out->length + 1;
        cursor->line++;
        return true;
}

static int line_missing(const struct cursor *cursor, struct error *error) {
        if (cursor->text.length >= AGE_HEADER_BYTES_MAX)
                return error_set(error, 0, "the header is longer than %zu bytes", AGE_HEADER_BYTES_MAX);
        return error_set(
                error, 0, "the header ends in the middle of line %zu: the file is cut", cursor->line + 1);
}

static int line_wrong(const struct cursor *cursor, const char *what, struct error *error) {
        return error_set(error, 0, "header line %zu: %s", cursor->line, what);
}

/* The words behind `-> `: the type, then arguments. */
static int stanza_words(
        const struct cursor *cursor, struct bytes words, struct age_stanza *out, struct error *error) {
        size_t start = 0, count = 0;

        for (size_t i = 0; i <= words.length; i++) {
                if (i < words.length && words.at[i] != ' ') {
                        if (words.at[i] < 0x21 || words.at[i] > 0x7e)
                                return line_wrong(cursor, "a character that no argument may have", error);
                        continue;
                }
                if (i == start)
                        return line_wrong(cursor, "an empty argument (a space too many)", error);
                if (i - start > AGE_ARGUMENT_BYTES_MAX || count > AGE_STANZA_ARGUMENTS_MAX)
                        return line_wrong(cursor, "more or longer arguments than any stanza has", error);
                if (count == 0)
                        out->type = (struct bytes){words.at, i};
                count++;
                start = i + 1;
        }
        out->argument_count = count - 1;
        out->arguments = (struct bytes){words.at + words.length, 0};
        if (count > 1)
                out->arguments = (struct bytes){
                        out->type.at + out->type.length + 1, words.length - out->type.length - 1};
        return 0;
}

static int stanza_body(struct cursor *cursor, struct age_stanza *out, struct error *error) {
        size_t start = cursor->at, ignored;
        struct bytes line;

        do {
                if (!cursor_line(cursor, &line))
                        return line_missing(cursor, error);
                if (line.length > AGE_BODY_LINE_CHARACTERS)
                        return line_wrong(cursor, "a body line of more than 64 characters", error);
                if (!base64_decode(BASE64_UNPADDED, line, NULL, &ignored))
                        return line_wrong(cursor, "not canonical base64", error);
        } while (line.length == AGE_BODY_LINE_CHARACTERS);
        out->body = (struct bytes){cursor->text.at + start, cursor->at - start};
        return 0;
}

/* Read a stanza at the cursor. Returns 0, 1 when the end line stands there instead (then nothing is taken),
 * or -1. */
static int stanza_read(struct cursor *cursor, struct age_stanza *out, struct error *error) {
        size_t start = cursor->at;
        struct bytes line;

        if (!cursor_line(cursor, &line))
                return line_missing(cursor, error);
        if (line.length >= 3 && memcmp(line.at, "---", 3) == 0) {
                cursor->at = start;
                cursor->line--;
                return 1;
        }
        *out = (struct age_stanza){.line = cursor->line};
        if (line.length < 3 || memcmp(line.at, "-> ", 3) != 0)
                return line_wrong(cursor, "neither a stanza ('-> ') nor the end ('---')", error);
        if (stanza_words(cursor, (struct bytes){line.at + 3, line.length - 3}, out, error) < 0)
                return -1;
        return stanza_body(cursor, out, error);
}

static int header_end(struct cursor *cursor, struct age_header *out, struct error *error) {
        struct bytes line = {NULL, 0};

        out->signed_length = cursor->at + 3;
        if (!cursor_line(cursor, &line))
                return line_missing(cursor, error);
        if (line.length < 4 || line.at[3] != ' ' ||
                !base64_decode_exactly(BASE64_UNPADDED, (struct bytes){line.at + 4, line.length - 4},
                        out->mac, sizeof out->mac))
                return line_wrong(cursor, "not '--- ' and a MAC of 43 base64 characters", error);
        out->text = (struct bytes){cursor->text.at, cursor->at};
        return 0;
}

int age_header_parse(struct bytes file, struct age_header *out, struct error *error) {
        const size_t version_length = sizeof AGE_VERSION_LINE - 1;
        struct cursor cursor = {.text = file, .at = version_length, .line = 1};
        struct age_stanza stanza;
        int status;

        *out = (struct age_header){0};
        if (file.length < version_length || memcmp(file.at, AGE_VERSION_LINE, version_length) != 0)
                return error_set(error, 0, "not an age file: it does not begin with age-encryption.org/v1");
        if (cursor.text.length > AGE_HEADER_BYTES_MAX)
                cursor.text.length = AGE_HEADER_BYTES_MAX;
        while ((status = stanza_read(&cursor, &stanza, error)) == 0)
                out->stanza_count++;
        if (status < 0)
                return -1;
        if (out->stanza_count == 0)
                return error_set(error, 0, "header line 2: no stanza, so no key can open it");
        return header_end(&cursor, out, error);
}

bool age_stanza_next(const struct age_header *header, struct age_stanza_walk *walk, struct age_stanza *out) {
        struct cursor cursor = {.text = header->text, .at = walk->at, .line = walk->line};
        int status;

        if (walk->at == 0) {
                cursor.at = sizeof AGE_VERSION_LINE - 1;
                cursor.line = 1;
        }
        status = stanza_read(&cursor, out, NULL);
        assert(status >= 0); /* age_header_parse() has read it before */
        walk->at = cursor.at;
        walk->line = cursor.line;
        return status == 0;
}

bool age_stanza_is(const struct age_stanza *stanza, const char *type) {
        return bytes_equal(stanza->type, (struct bytes){(const uint8_t *)type, strlen(type)});
}

struct bytes age_stanza_argument(const struct age_stanza *stanza, size_t n) {
        struct bytes rest = stanza->arguments;

        assert(n < stanza->argument_count);
        for (;;) {
                const uint8_t *space = memchr(rest.at, ' ', rest.length);
                size_t length = space ? (size_t)(space - rest.at) : rest.length;

                if (n-- == 0)
                        return (struct bytes){rest.at, length};
                rest = (struct bytes){rest.at + length + 1, rest.length - length - 1};
        }
}

bool age_stanza_argument_has(const struct age_stanza *stanza, size_t n, size_t length) {
        struct bytes argument = age_stanza_argument(stanza, n);
        size_t decoded;

        return base64_decode(BASE64_UNPADDED, argument, NULL, &decoded) && decoded == length;
}

void age_stanza_argument_decode(const struct age_stanza *stanza, size_t n, uint8_t *out, size_t length) {
        bool is_decoded = base64_decode_exactly(BASE64_UNPADDED, age_stanza_argument(stanza, n), out, length);

        assert(is_decoded);
        (void)is_decoded;
}

/* The one line of a short body, without its line end. */
static struct bytes stanza_body_line(const struct age_stanza *stanza) {
        assert(stanza->body.length > 0);
        return (struct bytes){stanza->body.at, stanza->body.length - 1};
}

bool age_stanza_has_wrapped_key(const struct age_stanza *stanza) {
        /* the lines were checked by the parser, and 43 characters are too few for two */
        return stanza->body.length - 1 == base64_encoded_bytes(BASE64_UNPADDED, AGE_WRAPPED_BYTES);
}

void age_stanza_wrapped_key(const struct age_stanza *stanza, uint8_t out[static AGE_WRAPPED_BYTES]) {
        bool is_decoded =
                base64_decode_exactly(BASE64_UNPADDED, stanza_body_line(stanza), out, AGE_WRAPPED_BYTES);

        assert(is_decoded);
        (void)is_decoded;
}

void age_write_bytes(struct age_writer *writer, struct bytes bytes) {
        assert(bytes.length <= writer->room - writer->length);
        if (bytes.length > 0)
                memcpy(writer->at + writer->length, bytes.at, bytes.length);
        writer->length += bytes.length;
}

void age_write_text(struct age_writer *writer, const char *text) {
        age_write_bytes(writer, (struct bytes){(const uint8_t *)text, strlen(text)});
}

void age_write_base64(struct age_writer *writer, struct bytes bytes) {
        assert(base64_encoded_bytes(BASE64_UNPADDED, bytes.length) <= writer->room - writer->length);
        writer->length += base64_encode(BASE64_UNPADDED, bytes, (char *)writer->at + writer->length);
}

void age_write_wrapped_key(struct age_writer *writer, const uint8_t wrapped[static AGE_WRAPPED_BYTES]) {
        age_write_text(writer, "\n");
        age_write_base64(writer, (struct bytes){wrapped, AGE_WRAPPED_BYTES});
        age_write_text(writer, "\n");
}
