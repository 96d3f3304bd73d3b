#pragma once

/* The log: one line per message on standard error. Never a secret byte, never blocking.
 *
 * Only programs log (main, the supervisor's effects, the loader's parent); library code returns errors. */

#include <stdbool.h>

#include "lib/error.h"

/* The numbers are syslog's and the journal's (sd-daemon(3)). */
enum log_level {
        LOG_ERROR = 3,
        LOG_WARNING = 4,
        LOG_NOTICE = 5,
        LOG_INFO = 6,
        LOG_DEBUG = 7,
};

enum log_format {
        LOG_FORMAT_AUTO,    /* journal when $JOURNAL_STREAM names our standard error, else plain */
        LOG_FORMAT_PLAIN,   /* "tacet: text", coloured at a terminal unless NO_COLOR is set */
        LOG_FORMAT_JOURNAL, /* "<N>text" */
        LOG_FORMAT_JSON,    /* one object per line: time, level, message */
};

/* Choose format, level (messages above it are dropped) and the name before plain messages; one in brackets
 * has no colon behind it. `name` is borrowed for ever. */
void log_setup(enum log_format format, enum log_level level, const char *name);

/* True when messages of this level are written. */
bool log_wants(enum log_level level);

/* Write one line. When the reader of standard error does not read (a full pipe), the line is dropped and
 * counted instead of holding up the supervisor; the next line that fits says how many were lost. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write an error and, when it has one, its hint. */
void log_error(enum log_level level, const struct error *error);

/* The descriptor that the log has opened for itself (close-on-exec), or -1. For code that closes all
 * others. */
int log_descriptor(void);
