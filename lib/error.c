/* The error value: formatted where the failure is seen, wrapped on the way up, printed once by the
 * program. */

#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_BEGIN_CHARACTERS 4 /* "PQ-1" */

void text_tame(char *text) {
        for (char *at = text; *at; at++) {
                const unsigned char c = (unsigned char)*at, next = (unsigned char)at[1];

                if (c < 0x20 || c == 0x7f)
                        *at = '?';
                /* U+0080 to U+009F: controls as well; U+009B is what ESC [ is. */
                if (c == 0xc2 && next >= 0x80 && next <= 0x9f)
                        at[0] = at[1] = '?';
        }
}

/* Hide an age identity that was given in the place of a path (`-i AGE-SECRET-KEY-1...`): messages go into
 * logs. Text that only mentions such keys is shorter. */
static void text_hide_keys(char *text) {
        static const char begin[] = "AGE-SECRET-KEY-";
        char *at = text;

        while ((at = strcasestr(at, begin))) {
                size_t length;

                at += sizeof begin - 1;
                length = strspn(at, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
                if (length > KEY_BEGIN_CHARACTERS)
                        memset(at, '*', length);
        }
}

int(error_set)(struct error *error, int code, const char *format, ...) {
        va_list arguments;
        size_t length;

        if (!error)
                return -1;
        *error = (struct error){.code = code};
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        length = strlen(error->text);
        if (code)
                snprintf(error->text + length, sizeof error->text - length, ": %s", strerror(code));
        text_tame(error->text);
        text_hide_keys(error->text);
        return -1;
}

int(error_wrap)(struct error *error, const char *format, ...) {
        char inner[ERROR_TEXT_BYTES];
        va_list arguments;
        size_t length;

        if (!error)
                return -1;
        memcpy(inner, error->text, sizeof inner);
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        length = strlen(error->text);
        snprintf(error->text + length, sizeof error->text - length, ": %s", inner);
        text_tame(error->text);
        text_hide_keys(error->text);
        return -1;
}

int(error_hint)(struct error *error, const char *format, ...) {
        va_list arguments;

        if (!error)
                return -1;
        va_start(arguments, format);
        vsnprintf(error->hint, sizeof error->hint, format, arguments);
        va_end(arguments);
        text_tame(error->hint);
        text_hide_keys(error->hint);
        return -1;
}

int(error_status)(struct error *error, enum exit_status status) {
        if (error)
                error->status = (int)status;
        return -1;
}
