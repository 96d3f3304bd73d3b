/* The error value: formatted where the failure is seen, wrapped on the way up, printed once by the program. */

#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_BEGIN_CHARACTERS 4 /* "PQ-1" */

/* Replace what would break a one-line message: an error may quote a file name, and a file name may hold anything. */
static void text_make_printable(char *text) {
        for (char *at = text; *at; at++)
                if ((unsigned char)*at < 0x20 || *at == 0x7f)
                        *at = '?';
}

/* A key where a file's name belongs (`-i AGE-SECRET-KEY-1...`) is a mistake that the message must not make worse: it goes into
 * logs. What only talks of such keys is shorter. */
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
        text_make_printable(error->text);
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
        text_make_printable(error->text);
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
        text_make_printable(error->hint);
        text_hide_keys(error->hint);
        return -1;
}

int(error_status)(struct error *error, enum exit_status status) {
        if (error)
                error->status = (int)status;
        return -1;
}
