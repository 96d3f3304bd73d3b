#pragma once

/* One error type for the whole program: owned by the caller, never allocated.
 *
 * A function that can fail takes `struct error *error` last and returns 0 (done), -1 (failed, *error is set)
 * or a positive condition that its header lists. It returns the error or logs it, never both; only main and
 * the supervisor's effects print. The text names paths, lines, variables and sizes, never a byte of a value;
 * an age identity that was given in the place of a path is hidden. */

#include <stddef.h>

#define ERROR_TEXT_BYTES 768
#define ERROR_HINT_BYTES 256

/* Exit statuses of tacet itself (tacet(1), EXIT STATUS; the first three follow sysexits.h). */
enum exit_status {
        EXIT_STATUS_DONE = 0,
        EXIT_STATUS_FAILED = 1,
        EXIT_STATUS_USAGE = 64,
        EXIT_STATUS_DATA = 65,
        EXIT_STATUS_NO_SOURCE = 66,
        EXIT_STATUS_UNAVAILABLE = 69,
        EXIT_STATUS_PERMISSION = 77,
        EXIT_STATUS_CONFIG = 78,
        EXIT_STATUS_SUPERVISOR = 125,
        EXIT_STATUS_NOT_EXECUTABLE = 126,
        EXIT_STATUS_NOT_FOUND = 127,
        EXIT_STATUS_SIGNAL_BASE = 128,
};

struct error {
        int code;                    /* errno at the origin; 0 when none applies */
        int status;                  /* an enum exit_status; 0: the caller's own default */
        char text[ERROR_TEXT_BYTES]; /* one line, no final full stop or newline */
        char hint[ERROR_HINT_BYTES]; /* what to do next; may be empty */
};

/* Set *error and return -1. `code` is an errno (its text is appended) or 0. Forgets an earlier hint and
 * status. `error` may be NULL: then only -1 is returned. */
int error_set(struct error *error, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4), cold));

/* Put "FORMAT: " before the error's text; returns -1, so that `return error_wrap(...)` works. */
int error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Set the hint: what the reader can do about the error, in one sentence; replaces an earlier one. Returns
 * -1. */
int error_hint(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Set the exit status that main uses for this error; returns -1. */
int error_status(struct error *error, enum exit_status status);

/* Replace control characters by `?`: an error may quote a file name, which may have any bytes, and must not
 * break its line or move a terminal's cursor. The four functions do so themselves. */
void text_tame(char *text);

/* All four return -1 and nothing else. The compiler and the analysers cannot see that through a call, and
 * would follow paths on which a function failed and its caller went on; this tells them. */
static inline int error_returned(int result) {
        (void)result;
        return -1;
}
#define error_set(...)    error_returned((error_set)(__VA_ARGS__))
#define error_wrap(...)   error_returned((error_wrap)(__VA_ARGS__))
#define error_hint(...)   error_returned((error_hint)(__VA_ARGS__))
#define error_status(...) error_returned((error_status)(__VA_ARGS__))
