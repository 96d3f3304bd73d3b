/* Finding the assignments of a dotenv text, without decoding one value: see dotenv_scan.h and
 * tacet.dotenv(5).
 *
 * Runs in the loader (confined) and in the editing verbs. Every line is an assignment, a comment or empty;
 * anything else is refused by position alone, because a line that makes no sense is most often the second
 * line of a value whose quotes were forgotten. */

#include "secrets/document/dotenv_scan.h"

#include <string.h>

static const struct bytes no_name;

void dotenv_scanner_init(struct dotenv_scanner *scanner, const struct dialect_input *input) {
        *scanner = (struct dotenv_scanner){.input = input, .at = text_start(input->text), .line = 1};
}

static bool is_blank(uint8_t c) {
        return c == ' ' || c == '\t';
}

/* The length of the line end at `at`: LF, CR LF, or the end of the text (0 and true). */
static bool is_line_end(struct bytes text, size_t at, size_t *out_length) {
        *out_length = 0;
        if (at == text.length)
                return true;
        *out_length = text.at[at] == '\n' ? 1 : 2;
        return text.at[at] == '\n' ||
               (text.at[at] == '\r' && at + 1 < text.length && text.at[at + 1] == '\n');
}

static size_t blanks_skip(struct bytes text, size_t at) {
        while (at < text.length && is_blank(text.at[at]))
                at++;
        return at;
}

static size_t comment_skip(struct bytes text, size_t at) {
        const uint8_t *newline = memchr(text.at + at, '\n', text.length - at);

        return newline ? (size_t)(newline - text.at) : text.length;
}

static bool is_name_byte(uint8_t c) {
        return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static size_t name_skip(struct bytes text, size_t at) {
        if (at < text.length && text.at[at] >= '0' && text.at[at] <= '9')
                return at;
        while (at < text.length && is_name_byte(text.at[at]))
                at++;
        return at;
}

static int shape_refuse(const struct dialect_input *input, size_t at, struct error *error, const char *what) {
        dialect_error(input, at, no_name, error, "%s", what);
        return error_hint(
                error, "lines are NAME=value; a value of several lines stands in quotes (tacet.dotenv(5))");
}

static bool text_has(struct bytes text, size_t at, const char *word) {
        size_t length = strlen(word);

        return text.length - at >= length && memcmp(text.at + at, word, length) == 0;
}

/* From the first byte of the name (or `export`) to behind the `=`, which *out_at then is. */
static int head_scan(const struct dialect_input *input, size_t at, struct dotenv_item *item, size_t *out_at,
        struct error *error) {
        struct bytes text = input->text;

        if (text_has(text, at, "export") && at + 6 < text.length && is_blank(text.at[at + 6]))
                at = blanks_skip(text, at + 6);
        item->name = at;
        at = name_skip(text, at);
        item->name_length = at - item->name;
        if (item->name_length == 0)
                return shape_refuse(input, at, error, "expected a variable name: a letter or '_'");
        if (item->name_length > SECRET_NAME_BYTES_MAX)
                return shape_refuse(input, item->name, error, "a variable name of more than 255 bytes");
        if (text_has(text, at, ":base64=")) {
                item->marker = DOTENV_BASE64;
                at += strlen(":base64");
        } else if (text_has(text, at, ":empty=")) {
                item->marker = DOTENV_EMPTY;
                at += strlen(":empty");
        }
        if (at < text.length && text.at[at] == ':')
                return shape_refuse(input, at, error, "the markers of a name are ':base64=' and ':empty='");
        if (at < text.length && is_blank(text.at[at]) && text_has(text, blanks_skip(text, at), "="))
                return shape_refuse(input, at, error, "a blank between the name and '='");
        if (at == text.length || text.at[at] != '=')
                return shape_refuse(input, at, error, "expected '=' behind the variable name");
        *out_at = at + 1;
        return 0;
}

/* An unquoted value: to the end of the line or to a blank followed by '#', without blanks at either end. */
static int plain_scan(
        const struct dialect_input *input, size_t at, struct dotenv_item *item, struct error *error) {
        struct bytes text = input->text;
        size_t end_length;

        item->value_end = item->value;
        for (; !is_line_end(text, at, &end_length); at++) {
                if (text.at[at] == '#' && is_blank(text.at[at - 1]))
                        break;
                if (text.at[at] == '\r')
                        return dialect_error(input, at, dotenv_name(input, item), error,
                                "a carriage return inside an unquoted value; write it as \\r in double "
                                "quotes");
                if (!is_blank(text.at[at]))
                        item->value_end = at + 1;
        }
        return 0;
}

static bool is_escape(uint8_t c) {
        return memchr("nrt\\\"$", c, 6) != NULL;
}

static int quoted_scan(const struct dialect_input *input, struct dotenv_item *item, struct error *error) {
        struct bytes text = input->text;
        uint8_t quote = text.at[item->value];
        size_t at = item->value + 1, end_length;

        item->quote = quote == '"' ? DOTENV_DOUBLE : DOTENV_SINGLE;
        for (; at < text.length && text.at[at] != quote; at++) {
                if (quote != '"' || text.at[at] != '\\')
                        continue;
                if (at + 1 < text.length && !is_escape(text.at[at + 1]))
                        return dialect_error(input, at, dotenv_name(input, item), error,
                                "an unknown escape: \\n \\r \\t \\\\ \\\" \\$ are known; single quotes take "
                                "all literally");
                at++;
        }
        if (at >= text.length)
                return dialect_error(input, item->value, dotenv_name(input, item), error,
                        "the quote that opens here is never closed");
        item->value_end = at + 1;
        at = blanks_skip(text, item->value_end);
        if (is_line_end(text, at, &end_length) || (text.at[at] == '#' && at > item->value_end))
                return 0;
        return dialect_error(
                input, item->value_end, dotenv_name(input, item), error, "text behind the closing quote");
}

/* From behind the `=` to the end of the value. */
static int value_scan(
        const struct dialect_input *input, size_t at, struct dotenv_item *item, struct error *error) {
        struct bytes text = input->text;
        int result;

        item->value = blanks_skip(text, at);
        if (item->value < text.length && (text.at[item->value] == '\'' || text.at[item->value] == '"')) {
                result = quoted_scan(input, item, error);
        } else {
                if (item->value < text.length && text.at[item->value] == '#')
                        item->value = at; /* a blank and '#' make a comment, also with nothing before them */
                result = plain_scan(input, item->value, item, error);
        }
        if (result == 0 && item->marker == DOTENV_EMPTY && item->value_end != item->value)
                return dialect_error(input, item->value, dotenv_name(input, item), error,
                        "':empty=' with a value behind it");
        return result;
}

static int assignment_scan(
        struct dotenv_scanner *scanner, size_t at, struct dotenv_item *out, struct error *error) {
        const struct dialect_input *input = scanner->input;
        struct dotenv_item item = {.start = scanner->at, .line = scanner->line};

        if (head_scan(input, at, &item, &at, error) < 0 || value_scan(input, at, &item, error) < 0)
                return -1;
        at = comment_skip(input->text, item.value_end);
        item.end = at + (at < input->text.length);
        for (size_t i = item.start; i < item.end; i++)
                scanner->line += input->text.at[i] == '\n';
        scanner->at = item.end;
        *out = item;
        return 0;
}

int dotenv_scan(struct dotenv_scanner *scanner, struct dotenv_item *out, struct error *error) {
        struct bytes text = scanner->input->text;

        while (scanner->at < text.length) {
                size_t at = blanks_skip(text, scanner->at), end_length;

                if (!is_line_end(text, at, &end_length) && text.at[at] != '#')
                        return assignment_scan(scanner, at, out, error);
                at = comment_skip(text, at);
                scanner->at = at + (at < text.length);
                scanner->line++;
        }
        return DOTENV_END;
}
