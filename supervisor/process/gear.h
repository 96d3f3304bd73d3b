#pragma once

/* What one start of an instance is given beside its secrets: descriptors and variables. Rooms add their own;
 * instance/spawn.c hands it to the shim and closes what was for the app alone. */

#include <stddef.h>

#include "shim/launch.h"

#define GEAR_VARIABLES_MAX 16
#define GEAR_TEMPORARY_MAX 4
#define GEAR_TEXTS_MAX     8
#define GEAR_TEXT_BYTES    64

/* All zero is an empty one. The strings live as long as the start takes. */
struct gear {
        struct launch_descriptor descriptors[LAUNCH_DESCRIPTORS_MAX];
        size_t descriptor_count;
        char *variables[GEAR_VARIABLES_MAX + 1]; /* NULL-terminated NAME=value */
        size_t variable_count;
        /* descriptors for the app alone: closed here when it has been started */
        int temporary[GEAR_TEMPORARY_MAX];
        size_t temporary_count;
        char texts[GEAR_TEXTS_MAX][GEAR_TEXT_BYTES]; /* variables that are made for this start */
        size_t text_count;
};

/* A descriptor that a service manager gave and that is no listening socket: every instance gets it. */
struct passed_descriptor {
        struct launch_descriptor descriptor;
        size_t position; /* how many listeners come before it */
};

/* Each asserts that there is room: what is added is known when the program is built. */
void gear_variable(struct gear *gear, char *string); /* borrowed */
void gear_text(struct gear *gear, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gear_descriptor(struct gear *gear, struct launch_descriptor descriptor); /* borrowed */
void gear_temporary(struct gear *gear, int take_fd);

/* The start is over, however it went: close what was for the app alone. */
void gear_release(struct gear *gear);
