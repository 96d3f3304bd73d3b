/* Changing one variable of a flat JSON object, and the row of the dialect. Runs in `tacet set` and
 * `tacet unset`.
 *
 * The text around the pair stays byte for byte; a new pair is laid out like the last one. */

#include "secrets/document/json.h"

#include <string.h>

/* Write `value` as a JSON string into the arena. */
static int string_write(const struct dialect_input *input, const char *name, struct secret_bytes value,
        struct secret_bytes *out, struct error *error) {
        json_t *string;
        size_t length;

        json_memory_begin(input->arena);
        string = json_stringn((const char *)value.at, value.length);
        if (!string) {
                error_set(error, 0, "%s: %s: the new value (%zu bytes) is not UTF-8, which JSON must be",
                        input->file, name, value.length);
                return error_hint(error, "keep binary values in a dotenv document, as base64");
        }
        length = json_dumpb(string, NULL, 0, JSON_ENCODE_ANY);
        out->at = length ? arena_take(input->arena, length, error) : NULL;
        if (out->at)
                out->length = json_dumpb(string, (char *)out->at, length, JSON_ENCODE_ANY);
        json_decref(string);
        return out->at ? 0 : error_wrap(error, "%s", input->file);
}

/* The pairs around the one that is wanted. */
struct neighbours {
        struct json_span found, before, after, last;
        bool is_found, has_before, has_after;
        size_t count;
};

static void pairs_walk(struct bytes text, const char *name, struct neighbours *out) {
        struct bytes wanted = {(const uint8_t *)name, strlen(name)};
        struct json_scanner scanner;
        struct json_span span;

        memset(out, 0, sizeof *out);
        json_scanner_init(&scanner, text);
        while (json_span_next(&scanner, &span)) {
                struct bytes key = {text.at + span.key + 1, span.key_end - span.key - 2};

                if (bytes_equal(key, wanted)) {
                        out->is_found = true;
                        out->found = span;
                        out->before = out->last;
                        out->has_before = out->count > 0;
                } else if (out->is_found && !out->has_after) {
                        out->has_after = true;
                        out->after = span;
                }
                out->last = span;
                out->count++;
        }
}

static struct bytes slice(struct bytes text, size_t start, size_t end) {
        return (struct bytes){text.at + start, end - start};
}

/* Put the first pair into an object that has none: behind its brace. */
static int first_add(const struct dialect_input *input, struct bytes name, struct bytes value,
        struct secret_bytes *out, struct error *error) {
        struct bytes text = input->text;
        const uint8_t *brace = memchr(text.at, '{', text.length);
        size_t behind = (size_t)(brace - text.at) + 1;
        const uint8_t *close = memchr(text.at + behind, '}', text.length - behind);
        struct bytes pieces[] = {slice(text, 0, behind), BYTES_OF("\n  \""), name, BYTES_OF("\": "), value,
                BYTES_OF("\n"), slice(text, (size_t)(close - text.at), text.length)};

        return dialect_join(input, pieces, 7, out, error);
}

static int json_set(const struct dialect_input *input, const struct document_value *value,
        struct secret_bytes *out, struct error *error) {
        struct bytes text = input->text, key = {(const uint8_t *)value->name, strlen(value->name)};
        struct dialect_input whole = *input;
        struct secret_bytes string = {0};
        struct neighbours near;
        struct json_span *last = &near.last;

        if (value->as_base64)
                return error_set(error, 0, "%s: %s: JSON has no base64 values", input->file, value->name);
        if (text.length == text_start(text))
                whole.text = text = BYTES_OF("{}\n");
        if (json_parse(&whole, error) < 0 ||
                string_write(&whole, value->name, value->bytes, &string, error) < 0)
                return -1;
        pairs_walk(text, value->name, &near);
        if (near.is_found) {
                struct bytes pieces[] = {slice(text, 0, near.found.value), secret_view(string),
                        slice(text, near.found.value_end, text.length)};

                return dialect_join(&whole, pieces, 3, out, error);
        }
        if (near.count == 0)
                return first_add(&whole, key, secret_view(string), out, error);
        /* Blanks before the last name and between its name and value are used again for the new pair. */
        size_t blank = last->key;

        while (memchr(" \t\r\n", text.at[blank - 1], 4))
                blank--;
        struct bytes pieces[] = {slice(text, 0, last->value_end), BYTES_OF(","),
                slice(text, blank, last->key), BYTES_OF("\""), key,
                slice(text, last->key_end - 1, last->value), secret_view(string),
                slice(text, last->value_end, text.length)};

        return dialect_join(&whole, pieces, 8, out, error);
}

static int json_unset(
        const struct dialect_input *input, const char *name, struct secret_bytes *out, struct error *error) {
        struct bytes text = input->text;
        struct neighbours near;
        size_t start, end;

        if (json_parse(input, error) < 0)
                return -1;
        pairs_walk(text, name, &near);
        if (!near.is_found)
                return 1;
        /* With the pair goes one comma: the one behind it, or for the last pair the one before it. */
        start = near.has_before && !near.has_after ? near.before.value_end : near.found.key;
        end = near.has_after ? near.after.key : near.found.value_end;
        struct bytes pieces[] = {slice(text, 0, start), slice(text, end, text.length)};

        return dialect_join(input, pieces, 2, out, error);
}

const struct dialect dialect_json = {.format = "json",
        .suffix = ".json",
        .opening = '{',
        .parse = json_parse,
        .set = json_set,
        .unset = json_unset};
