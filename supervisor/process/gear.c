/* Putting together what a start is given: see gear.h. In the supervisor, before each start. */

#include "supervisor/process/gear.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/fd.h"

void gear_variable(struct gear *gear, char *string) {
        assert(gear->variable_count < GEAR_VARIABLES_MAX);
        gear->variables[gear->variable_count++] = string;
}

void gear_text(struct gear *gear, const char *format, ...) {
        va_list list;

        assert(gear->text_count < GEAR_TEXTS_MAX);
        va_start(list, format);
        vsnprintf(gear->texts[gear->text_count], GEAR_TEXT_BYTES, format, list);
        va_end(list);
        gear_variable(gear, gear->texts[gear->text_count++]);
}

void gear_descriptor(struct gear *gear, struct launch_descriptor descriptor) {
        assert(gear->descriptor_count < LAUNCH_DESCRIPTORS_MAX);
        gear->descriptors[gear->descriptor_count++] = descriptor;
}

void gear_temporary(struct gear *gear, int take_fd) {
        assert(gear->temporary_count < GEAR_TEMPORARY_MAX);
        gear->temporary[gear->temporary_count++] = take_fd;
}

void gear_release(struct gear *gear) {
        for (size_t i = 0; i < gear->temporary_count; i++)
                fd_close(gear->temporary[i]);
        gear->temporary_count = 0;
}
