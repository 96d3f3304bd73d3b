/* The log: see log.h. PID 1 calls this, so no buffering, no allocation, no lock, and no write(2) that could
 * block. */

#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/bytes.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008 /* linux/fs.h */
#endif

/* PIPE_BUF: a line goes into a pipe as a whole or not at all. */
#define LOG_LINE_MAX 4096

static struct {
        enum log_format format;
        enum log_level level;
        const char *name;
        bool has_color;
        bool has_looked; /* at what standard error is; then: */
        bool is_file;
        int own; /* standard error opened anew, not blocking; or -1 */
        unsigned long lost;
} log_state = {.format = LOG_FORMAT_PLAIN, .level = LOG_NOTICE, .name = "tacet"};

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM"), *colon = stream ? strchr(stream, ':') : NULL;
        uint64_t device, inode;
        struct stat status;

        return colon && bytes_to_u64(stream, (size_t)(colon - stream), &device) &&
               text_to_u64(colon + 1, &inode) && fstat(STDERR_FILENO, &status) == 0 &&
               status.st_dev == device && status.st_ino == inode;
}

void log_setup(enum log_format format, enum log_level level, const char *name) {
        if (format == LOG_FORMAT_AUTO)
                format = stderr_is_journal() ? LOG_FORMAT_JOURNAL : LOG_FORMAT_PLAIN;
        log_state.format = format;
        log_state.level = level;
        log_state.name = name;
        log_state.has_color = format == LOG_FORMAT_PLAIN && isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

bool log_wants(enum log_level level) {
        return level <= log_state.level;
}

static const char *level_name(enum log_level level) {
        switch (level) {
        case LOG_ERROR:
                return "error";
        case LOG_WARNING:
                return "warning";
        case LOG_NOTICE:
                return "notice";
        case LOG_INFO:
                return "info";
        case LOG_DEBUG:
                return "debug";
        }
        return "unknown";
}

/* Append `text` as the inside of a JSON string; bytes that are not ASCII pass as they are when they look like
 * UTF-8 lead or continuation bytes: a log reader is lenient, and file names are the only source. */
static size_t json_escape(char *out, size_t room, const char *text) {
        size_t used = 0;

        for (; *text && used + 7 < room; text++) {
                unsigned char c = (unsigned char)*text;

                if (c == '"' || c == '\\') {
                        out[used++] = '\\';
                        out[used++] = (char)c;
                } else if (c < 0x20 || c == 0x7f) {
                        used += (size_t)snprintf(out + used, 7, "\\u%04x", c);
                } else {
                        out[used++] = (char)c;
                }
        }
        return used;
}

static size_t line_format(char *line, enum log_level level, const char *text) {
        const size_t room = LOG_LINE_MAX - 2;
        struct timespec now = {0};
        struct tm utc = {0};
        char stamp[32];
        size_t used = 0;
        int length = 0;

        switch (log_state.format) {
        case LOG_FORMAT_AUTO:
        case LOG_FORMAT_PLAIN:
                length = snprintf(line, room, "%s%s%s %s%s%s",
                        log_state.has_color && level <= LOG_WARNING ? "\033[1;31m" : "", log_state.name,
                        log_state.name[0] == '[' ? "" : ":", level == LOG_WARNING ? "warning: " : "",
                        log_state.has_color && level <= LOG_WARNING ? "\033[0m" : "", text);
                break;
        case LOG_FORMAT_JOURNAL:
                length = snprintf(line, room, "<%d>%s", (int)level, text);
                break;
        case LOG_FORMAT_JSON:
                clock_gettime(CLOCK_REALTIME, &now);
                gmtime_r(&now.tv_sec, &utc);
                strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
                used = (size_t)snprintf(line, room, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"name\":\"",
                        stamp, now.tv_nsec / 1000000, level_name(level));
                used += json_escape(line + used, room / 4, log_state.name);
                used += (size_t)snprintf(line + used, room - used, "\",\"message\":\"");
                used += json_escape(line + used, room - used - 4, text);
                length = (int)used + snprintf(line + used, room - used, "\"}");
                break;
        }
        used = length < 0 ? 0 : (size_t)length;
        if (used > room - 1)
                used = room - 1;
        line[used++] = '\n';
        return used;
}

/* Look at standard error once, when the first line is to be written. A pipe or terminal is opened a second
 * time: O_NONBLOCK on the inherited description would also be the app's. Without /proc, or the right to open
 * it, there is only that one. */
static void stream_look(void) {
        struct stat status;

        if (log_state.has_looked)
                return;
        log_state.has_looked = true;
        log_state.own = -1;
        if (fstat(STDERR_FILENO, &status) < 0)
                return;
        log_state.is_file = S_ISREG(status.st_mode);
        if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
                log_state.own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int log_descriptor(void) {
        return log_state.has_looked ? log_state.own : -1;
}

/* write(2) that fails instead of waiting. poll(2) alone does not do: between its answer and the write an app
 * that shares the pipe can fill it, and PID 1 would stand still until somebody reads. */
static ssize_t line_write(const char *line, size_t length) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)line, .iov_len = length};
        struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};
        ssize_t put;

        stream_look();
        if (log_state.own >= 0)
                return write(log_state.own, line, length);
        if (log_state.is_file)
                return write(STDERR_FILENO, line, length);
        /* Sockets always know it, pipes since Linux 6.4. */
        put = syscall(SYS_pwritev2, STDERR_FILENO, &part, 1L, -1L, -1L, (long)RWF_NOWAIT);
        if (put >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != EPERM))
                return put;
        if (poll(&stream, 1, 0) < 1 || !(stream.revents & POLLOUT))
                return -1;
        return write(STDERR_FILENO, line, length);
}

static bool line_put(const char *line, size_t length) {
        ssize_t put;

        do
                put = line_write(line, length);
        while (put < 0 && errno == EINTR);
        return put >= 0;
}

static void text_put(enum log_level level, const char *text) {
        char line[LOG_LINE_MAX], lost[64];

        if (log_state.lost) {
                snprintf(lost, sizeof lost, "%lu log lines lost: nobody read standard error", log_state.lost);
                if (!line_put(line, line_format(line, LOG_WARNING, lost))) {
                        log_state.lost++;
                        return;
                }
                log_state.lost = 0;
        }
        if (!line_put(line, line_format(line, level, text)))
                log_state.lost++;
}

/* Apart from log_write(), so that a line that nobody wants costs no page of the stack. */
__attribute__((noinline, format(printf, 2, 0))) static void line_log(
        enum log_level level, const char *format, va_list arguments) {
        char text[LOG_LINE_MAX - 256];

        vsnprintf(text, sizeof text, format, arguments);
        text_put(level, text);
}

void log_write(enum log_level level, const char *format, ...) {
        int saved = errno;
        va_list arguments;

        if (!log_wants(level))
                return;
        va_start(arguments, format);
        line_log(level, format, arguments);
        va_end(arguments);
        errno = saved;
}

void log_error(enum log_level level, const struct error *error) {
        log_write(level, "%s", error->text);
        if (error->hint[0])
                log_write(level, "  next: %s", error->hint);
}
