/* Debian's static libraries are compiled against glibc with _FORTIFY_SOURCE; musl has no such entry points.
 * These few do what the names promise: check, then call the plain function. Linked into build/tacet-static
 * only. */

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names are glibc's (its debug/ folder), and the linker finds them by name: no header declares them. */
int __vsnprintf_chk(char *out, size_t size, int flag, size_t room, const char *format, va_list arguments);
int __snprintf_chk(char *out, size_t size, int flag, size_t room, const char *format, ...);
int __sprintf_chk(char *out, int flag, size_t room, const char *format, ...);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __asprintf_chk(char **out, int flag, const char *format, ...);
char *__strncpy_chk(char *out, const char *text, size_t size, size_t room);
void __explicit_bzero_chk(void *at, size_t size, size_t room);

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

int __vsnprintf_chk(char *out, size_t size, int flag, size_t room, const char *format, va_list arguments) {
        (void)flag;
        if (room < size)
                abort();
        return vsnprintf(out, size, format, arguments);
}

int __snprintf_chk(char *out, size_t size, int flag, size_t room, const char *format, ...) {
        va_list arguments;
        int length;

        va_start(arguments, format);
        length = __vsnprintf_chk(out, size, flag, room, format, arguments);
        va_end(arguments);
        return length;
}

int __sprintf_chk(char *out, int flag, size_t room, const char *format, ...) {
        va_list arguments;
        int length;

        va_start(arguments, format);
        length = __vsnprintf_chk(out, room, flag, room, format, arguments);
        va_end(arguments);
        if (length < 0 || (size_t)length >= room)
                abort();
        return length;
}

int __fprintf_chk(FILE *stream, int flag, const char *format, ...) {
        va_list arguments;
        int length;

        (void)flag;
        va_start(arguments, format);
        length = vfprintf(stream, format, arguments);
        va_end(arguments);
        return length;
}

int __asprintf_chk(char **out, int flag, const char *format, ...) {
        va_list arguments;
        int length;

        (void)flag;
        va_start(arguments, format);
        length = vasprintf(out, format, arguments);
        va_end(arguments);
        return length;
}

char *__strncpy_chk(char *out, const char *text, size_t size, size_t room) {
        if (room < size)
                abort();
        return strncpy(out, text, size);
}

void __explicit_bzero_chk(void *at, size_t size, size_t room) {
        if (room < size)
                abort();
        explicit_bzero(at, size);
}
