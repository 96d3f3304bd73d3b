#pragma once

/* What one start of an instance gets beside its secrets: descriptors and variables. Rooms add their own;
 * instance/spawn.c hands all to the shim, and closes the descriptors that only the app needs. */

#include <stddef.h>

#include "shim/launch.h"

#define GEAR_VARIABLES_MAX 16
#define GEAR_TEMPORARY_MAX 4
#define GEAR_TEXTS_MAX     8
#define GEAR_TEXT_BYTES    64

/* All zero is an empty one. Strings live until the start is over. */
struct gear {
        struct launch_descriptor descriptors[LAUNCH_DESCRIPTORS_MAX];
        size_t descriptor_count;
        char *variables[GEAR_VARIABLES_MAX + 1]; /* NULL-terminated NAME=value */
        size_t variable_count;
        /* descriptors for the app alone: closed here when it has been started */
        int temporary[GEAR_TEMPORARY_MAX];
        size_t temporary_count;
        char texts[GEAR_TEXTS_MAX][GEAR_TEXT_BYTES]; /* of gear_text() */
        size_t text_count;
};

/* A descriptor that a service manager passed and that is no listening socket: every instance gets it. */
struct passed_descriptor {
        struct launch_descriptor descriptor;
        size_t position; /* how many listeners come before it */
};

/* Each of these asserts that there is room: how much is added at most is known when the program is built. */

/* Add a variable, NAME=value; borrowed until the start is over. */
void gear_variable(struct gear *gear, char *string);

/* Add a variable that is formatted here, of less than GEAR_TEXT_BYTES. */
void gear_text(struct gear *gear, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add a descriptor that the app inherits; it stays the caller's. */
void gear_descriptor(struct gear *gear, struct launch_descriptor descriptor);

/* Close `take_fd` in gear_release(). */
void gear_temporary(struct gear *gear, int take_fd);

/* The start is over, whether it succeeded or not: close the descriptors of gear_temporary(). */
void gear_release(struct gear *gear);
