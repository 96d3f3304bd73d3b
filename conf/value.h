#pragma once

/* One value from its text, by the type of its row. Pure: texts and lists, which need memory, are
 * config.c's. */

#include <stdbool.h>

#include "conf/schema.h"

/* Parse `text` for a row of a scalar type (DURATION, SIZE, BOOLEAN, NUMBER, ENUM, SIGNAL, MODE, LIMIT) and
 * write it to `out`, which has the row's type. Returns 0, or -1 with error (which has no place in front) and
 * *out untouched. */
int value_parse(const struct schema_row *row, const char *text, void *out, struct error *error);

/* True for the types that value_parse() takes; all others own memory. */
bool value_is_scalar(enum schema_type type);

/* `word` is NAME=VALUE, or for SCHEMA_NAMES a NAME or PREFIX*. */
bool value_is_setting(const char *word);
bool value_is_name_pattern(const char *word);
