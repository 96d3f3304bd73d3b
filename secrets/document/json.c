/* The JSON dialect: one flat object whose values are strings. See document.h.
 *
 * Runs in the loader (confined) and in the editing verbs. jansson reads and writes; its memory comes from the
 * arena, so that neither the text nor the tree ever lies in ordinary heap, and its messages are never used:
 * they quote the input. Since the object is flat, a scanner of a few lines finds where each name and value
 * stands, for the positions in messages and for edits that leave all other bytes alone. It only ever walks a
 * text that jansson took. */

#include "secrets/document/json.h"

#include <string.h>
#include <sys/random.h>

/* ---- jansson's memory: blocks of a power of two from the arena, wiped and kept for reuse when freed ---- */

#define BLOCK_CLASSES 40

struct block {
        size_t class; /* log2 of the block's size, this head included */
        struct block *next;
};

static struct {
        struct arena *arena;
        struct block *free[BLOCK_CLASSES];
} json_memory;

static void *json_take(size_t size) {
        size_t class = 6;
        struct block *block;

        if (size > SIZE_MAX / 4)
                return NULL;
        while (((size_t)1 << class) < size + sizeof *block)
                class ++;
        if (class >= BLOCK_CLASSES)
                return NULL;
        block = json_memory.free[class];
        if (block)
                json_memory.free[class] = block->next;
        else
                block = arena_take(json_memory.arena, (size_t)1 << class, NULL);
        if (!block)
                return NULL;
        *block = (struct block){.class = class};
        return block + 1;
}

static void json_give_back(void *at) {
        struct block *block;

        if (!at)
                return;
        block = (struct block *)at - 1;
        secret_wipe(at, ((size_t)1 << block->class) - sizeof *block);
        block->next = json_memory.free[block->class];
        json_memory.free[block->class] = block;
}

void json_memory_begin(struct arena *arena) {
        size_t seed = 0;

        memset(&json_memory, 0, sizeof json_memory);
        json_memory.arena = arena;
        json_set_alloc_funcs(json_take, json_give_back);
        /* Left alone jansson opens /dev/urandom for this, which the confined loader may not. */
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0)
                seed = 0;
        json_object_seed(seed | 1);
}

/* ---- reading ---- */

static const char *failure_name(enum json_error_code code) {
        switch (code) {
        case json_error_out_of_memory:
                return "too large for the memory set aside";
        case json_error_premature_end_of_input:
                return "the text ends inside the object";
        case json_error_end_of_input_expected:
                return "text behind the object";
        case json_error_invalid_utf8:
                return "not UTF-8";
        case json_error_null_character:
        case json_error_null_byte_in_key:
                return "a string holds U+0000, which no environment variable can";
        case json_error_duplicate_key:
                return "the name occurs twice";
        default:
                return "not JSON";
        }
}

/* The name that ends right before `offset`, if what stands there is a plain one in quotes. Only asked for
 * after jansson has said that it is a name that occurs twice. */
static struct bytes name_before(struct bytes text, size_t offset) {
        size_t end = offset, start;

        if (end == 0 || end > text.length || text.at[end - 1] != '"')
                return (struct bytes){0};
        start = --end;
        while (start > 0 && text.at[start - 1] != '"')
                start--;
        if (!secret_name_is_valid((const char *)text.at + start, end - start))
                return (struct bytes){0};
        return (struct bytes){text.at + start, end - start};
}

static json_t *object_load(const struct dialect_input *input, struct error *error) {
        size_t start = text_start(input->text);
        json_error_t why;
        json_t *root = json_loadb((const char *)input->text.at + start, input->text.length - start,
                JSON_REJECT_DUPLICATES, &why);

        if (!root) {
                size_t offset = start + (why.position > 0 ? (size_t)why.position : 0);
                enum json_error_code code = json_error_code(&why);
                struct bytes name = {0};

                secret_wipe(&why, sizeof why);
                if (offset > input->text.length)
                        offset = input->text.length;
                if (code == json_error_duplicate_key)
                        name = name_before(input->text, offset);
                dialect_error(input, name.length ? offset - name.length - 2 : offset, name, error, "%s",
                        failure_name(code));
                return NULL;
        }
        if (!json_is_object(root)) {
                json_decref(root);
                dialect_error(input, start, (struct bytes){0}, error, "not a JSON object");
                error_hint(error, "write one flat object: {\"NAME\": \"value\", ...}");
                return NULL;
        }
        return root;
}

/* ---- where things stand ---- */

void json_scanner_init(struct json_scanner *scanner, struct bytes text) {
        const uint8_t *brace = memchr(text.at, '{', text.length);
        size_t at = brace ? (size_t)(brace - text.at) + 1 : text.length;

        *scanner = (struct json_scanner){text, at, text_line(text, at)};
}

static void filler_skip(struct json_scanner *scanner) {
        while (scanner->at < scanner->text.length && memchr(" \t\r\n,:", scanner->text.at[scanner->at], 6)) {
                scanner->line += scanner->text.at[scanner->at] == '\n';
                scanner->at++;
        }
}

static size_t string_skip(struct json_scanner *scanner) {
        struct bytes text = scanner->text;
        size_t at = scanner->at + 1;

        while (at < text.length && text.at[at] != '"')
                at += text.at[at] == '\\' ? 2 : 1;
        scanner->at = at < text.length ? at + 1 : text.length;
        return scanner->at;
}

bool json_span_next(struct json_scanner *scanner, struct json_span *out) {
        filler_skip(scanner);
        if (scanner->at >= scanner->text.length || scanner->text.at[scanner->at] != '"')
                return false;
        *out = (struct json_span){.key = scanner->at, .line = scanner->line};
        out->key_end = string_skip(scanner);
        filler_skip(scanner);
        out->value = scanner->at;
        out->value_end = scanner->at;
        if (scanner->at < scanner->text.length && scanner->text.at[scanner->at] == '"')
                out->value_end = string_skip(scanner);
        return true;
}

static const char *type_name(const json_t *value) {
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                return "an object";
        case JSON_ARRAY:
                return "an array";
        case JSON_INTEGER:
        case JSON_REAL:
                return "a number";
        case JSON_TRUE:
        case JSON_FALSE:
                return "a boolean";
        case JSON_NULL:
                return "null";
        case JSON_STRING:
                break;
        }
        return "a string";
}

static int pair_check(const struct dialect_input *input, const struct json_span *span, struct bytes name,
        const json_t *value, struct error *error) {
        if (!secret_name_is_valid((const char *)name.at, name.length))
                return dialect_error(input, span->key, (struct bytes){0}, error,
                        "not a variable name: letters, digits and '_', at most %d bytes",
                        SECRET_NAME_BYTES_MAX);
        if (span->key_end - span->key - 2 != name.length)
                return dialect_error(input, span->key, name, error, "a name written with escapes");
        if (!json_is_string(value)) {
                dialect_error(
                        input, span->value, name, error, "the value is %s, not a string", type_name(value));
                return error_hint(error, "write it in double quotes: what you write is what the app gets");
        }
        return 0;
}

/* Walk the pairs; with a list to fill, add them. */
static int object_list(const struct dialect_input *input, json_t *root, struct error *error) {
        struct json_scanner scanner;
        const char *key;
        json_t *value;

        json_scanner_init(&scanner, input->text);
        json_object_foreach(root, key, value) {
                struct bytes name = {(const uint8_t *)key, strlen(key)};
                struct secret_bytes copy;
                struct json_span span;

                if (!json_span_next(&scanner, &span))
                        return dialect_error(
                                input, scanner.at, (struct bytes){0}, error, "not a flat object");
                if (pair_check(input, &span, name, value, error) < 0)
                        return -1;
                if (!input->list)
                        continue;
                copy.length = json_string_length(value);
                copy.at = arena_take(input->arena, copy.length, error);
                if (!copy.at)
                        return error_wrap(error, "%s", input->file);
                memcpy(copy.at, json_string_value(value), copy.length);
                if (dialect_add(input, span.key, span.line, name, copy, false, error) < 0)
                        return -1;
        }
        return 0;
}

int json_parse(const struct dialect_input *input, struct error *error) {
        json_t *root;
        int result;

        json_memory_begin(input->arena);
        root = object_load(input, error);
        if (!root)
                return -1;
        result = object_list(input, root, error);
        json_decref(root);
        return result;
}
