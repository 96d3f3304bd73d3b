/* The raw materials that the loader collects before it confines itself: see gather.h. */

#include "secrets/source/gather.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int gathered_add(struct gathered *gathered, struct material material, struct error *error) {
        if (gathered->count == SECRETS_MAX)
                return error_set(error, 0, "more than %d files and values", SECRETS_MAX);
        if (gathered->count == gathered->room) {
                size_t room = gathered->room ? 2 * gathered->room : 32;
                struct material *grown = arena_take(gathered->bounds.arena, room * sizeof *grown, error);

                if (!grown)
                        return error_wrap(error, "list %zu materials", room);
                if (gathered->count)
                        memcpy(grown, gathered->at, gathered->count * sizeof *grown);
                gathered->at = grown;
                gathered->room = room;
        }
        gathered->at[gathered->count++] = material;
        return 0;
}

__attribute__((format(printf, 3, 0))) static void text_join(
        char *text, size_t room, const char *format, va_list arguments) {
        size_t used = strlen(text);

        if (used && used + 2 < room) {
                memcpy(text + used, "; ", 3);
                used += 2;
        }
        vsnprintf(text + used, room - used, format, arguments);
}

void gathered_warn(struct gathered *gathered, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        text_join(gathered->warning, sizeof gathered->warning, format, arguments);
        va_end(arguments);
}

void gathered_note(struct gathered *gathered, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        text_join(gathered->note, sizeof gathered->note, format, arguments);
        va_end(arguments);
}

const char *gathered_text(struct gathered *gathered, struct error *error, const char *format, ...) {
        char text[4352];
        va_list arguments;
        char *copy;
        int length;

        va_start(arguments, format);
        length = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        if (length < 0 || (size_t)length >= sizeof text) {
                error_set(error, ENAMETOOLONG, "a path of more than %zu bytes", sizeof text - 1);
                return NULL;
        }
        copy = arena_take(gathered->bounds.arena, (size_t)length + 1, error);
        if (copy)
                memcpy(copy, text, (size_t)length + 1);
        return copy;
}
