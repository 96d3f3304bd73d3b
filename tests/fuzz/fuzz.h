#pragma once

/* What the fuzz targets share. A property that does not hold ends the program, and libFuzzer keeps the
 * input. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition)                                                                                     \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);       \
                        abort();                                                                             \
                }                                                                                            \
        } while (0)
