#pragma once

/* What the JSON reader (json.c) gives the JSON editor (json_edit.c). */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secrets/document/dialect.h"

/* As dialect.parse: the text is one flat object of strings. */
int json_parse(const struct dialect_input *input, struct error *error);

/* Give jansson its memory from `arena` from now on. */
void json_memory_begin(struct arena *arena);

/* Where one pair of a flat object stands. */
struct json_span {
        size_t key; /* with the quotes, as `value` */
        size_t key_end;
        size_t value;
        size_t value_end;
        uint32_t line;
};

struct json_scanner {
        struct bytes text;
        size_t at;
        uint32_t line;
};

/* Begin behind the brace that opens the object. Only for texts that json_parse() took. */
void json_scanner_init(struct json_scanner *scanner, struct bytes text);

/* The next pair. Only for texts that json_parse() took; the value is only found when it is a string. */
bool json_span_next(struct json_scanner *scanner, struct json_span *out);
