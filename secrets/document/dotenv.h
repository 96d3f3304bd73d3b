#pragma once

/* The reader of tacet's own dotenv dialect (dotenv.c), for the dialect's row in dotenv_edit.c. */

#include "secrets/document/dialect.h"

/* As dialect.parse. */
int dotenv_parse(const struct dialect_input *input, struct error *error);
