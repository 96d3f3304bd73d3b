/* Reading an INI file: config_read_file() of config.h.
 *
 * inih does the parsing, and it has limits that it does not report: a line over its buffer is cut and its
 * rest read as another line, a section name over 49 bytes is cut, what stands behind `]` is dropped, ` ;`
 * begins a comment in the middle of a value, an indented line continues the last value, `:` separates as `=`
 * does. Everything of that is turned off, or seen here first and refused: the whole file is read into memory,
 * each line is looked at, and only lines that inih cannot misread are given to it, one at a time. So nothing
 * is ever cut or reinterpreted, and every message has its line number.
 *
 * Runs in the supervisor, `exec` and `check`. A configuration file is not secret but may hold names and paths
 * that matter; messages quote sections and keys, never what stands behind an `=` (value.c quotes numbers and
 * words). */

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/config.h"
#include "conf/memory.h"
#include "conf/schema.h"
#include "lib/fd.h"

#define BLANKS     " \t\r\f\v" /* what inih strips at both ends (isspace), less the line end */
#define NAME_SHOWN 48          /* bytes of a section or key that a message repeats */

struct reader {
        struct config *config;
        const char *path;
        config_report *report;
        void *context;
        struct error *first; /* the caller's */
        bool has_failed;

        char *text, *at, *end; /* the file; the next unread byte */
        uint32_t line;         /* of the logical line that inih has now, 1-based; its first physical one */
        uint32_t lines_read;
        bool in_section, skips_section;                  /* a wrong section's keys are not reported as well */
        char section[NAME_SHOWN + 1];                    /* of the current section */
        char instance[CONFIG_SOCKET_NAME_BYTES_MAX + 2]; /* one more than the longest: a longer one is seen */
        char key[NAME_SHOWN + 1];
};

/* Take an error that already has its text. Returns 0, so that the line counts as read. */
/* Every error is handed on, the first one kept: the later ones often follow from it. */
static void fail(struct reader *reader, const struct error *error) {
        if (!reader->has_failed && reader->first)
                *reader->first = *error;
        reader->has_failed = true;
        if (reader->report)
                reader->report(reader->context, error);
}

static void fail_line(struct reader *reader, const char *text, const char *hint) {
        struct error error;

        error_set(&error, 0, "%s:%u: %s", reader->path, reader->line, text);
        error_status(&error, EXIT_STATUS_CONFIG);
        if (hint)
                error_hint(&error, "%s", hint);
        fail(reader, &error);
}

/* ---- a logical line ---- */

/* Cut the next physical line out of the text: terminates it and strips CR, moves on. NULL at the end. */
static char *next_physical(struct reader *reader, size_t *out_length) {
        char *line = reader->at, *newline;

        if (line >= reader->end)
                return NULL;
        newline = memchr(line, '\n', (size_t)(reader->end - line));
        reader->at = newline ? newline + 1 : reader->end;
        newline = newline ? newline : reader->end;
        /* A file that was written under Windows, or came through such an editor. */
        if (newline > line && newline[-1] == '\r')
                newline--;
        *newline = '\0'; /* the buffer has one byte more than the file */
        *out_length = (size_t)(newline - line);
        reader->lines_read++;
        return line;
}

static bool is_comment(const char *line) {
        line += strspn(line, BLANKS);
        return *line == '#' || *line == ';';
}

/* The next logical line: one that ends in an odd number of backslashes goes on in the next, and the last
 * backslash and the line end become one blank (systemd.syntax(7)). Comments do not go on. The lines are moved
 * together in place. */
static char *next_logical(struct reader *reader, size_t *out_length) {
        char *line = next_physical(reader, out_length);

        reader->line = reader->lines_read;
        if (!line || is_comment(line))
                return line;
        for (;;) {
                size_t backslashes = 0, more;
                char *next;

                while (backslashes < *out_length && line[*out_length - 1 - backslashes] == '\\')
                        backslashes++;
                if (backslashes % 2 == 0 || !(next = next_physical(reader, &more)))
                        return line;
                line[*out_length - 1] = ' ';
                memmove(line + *out_length, next, more + 1);
                *out_length += more;
        }
}

/* ---- looking at a line before inih does ---- */

static size_t trimmed_length(const char *at) {
        size_t length = strlen(at);

        while (length > 0 && strchr(BLANKS, at[length - 1]))
                length--;
        return length;
}

/* `at` stands behind the `[`. Splits "NAME INSTANCE" into reader->section and ->instance. */
static void begin_section(struct reader *reader, const char *at) {
        const char *close = strchr(at, ']');
        char where[ERROR_TEXT_BYTES];
        struct error error;
        size_t name_length;

        /* Also when it is wrong, so that its keys are not reported as well, one by one. */
        reader->in_section = true;
        reader->skips_section = true;
        if (!close) {
                fail_line(reader, "a section without its ']'", NULL);
                return;
        }
        if (trimmed_length(close + 1) > 0) {
                fail_line(reader, "there is something behind the ']' of a section",
                        "a comment stands on a line of its own");
                return;
        }
        name_length = strcspn(at, " \t]");
        if (name_length > NAME_SHOWN) {
                fail_line(reader, "the name of a section is longer than 48 bytes", NULL);
                return;
        }
        snprintf(reader->section, sizeof reader->section, "%.*s", (int)name_length, at);
        at += name_length + strspn(at + name_length, " \t");
        /* Cut at one byte more than a name may have: config_begin_section() then sees that it is too
         * long. */
        snprintf(reader->instance, sizeof reader->instance, "%.*s", (int)(close - at), at);
        snprintf(where, sizeof where, "%s:%u", reader->path, reader->line);
        if (config_begin_section(
                    reader->config, reader->section, reader->instance, where, reader->line, &error) < 0)
                fail(reader, &error);
        else
                reader->skips_section = false;
}

/* Returns true when the line is KEY = VALUE in a known section, for inih to take apart. */
static bool is_assignment(struct reader *reader, const char *at) {
        size_t length = strcspn(at, "=:");
        const char *separator = at + length;

        if (*separator != '=') {
                fail_line(reader, "this is neither [SECTION] nor KEY = VALUE",
                        *separator == ':' ? "use '=' between key and value" : NULL);
                return false;
        }
        while (length > 0 && strchr(BLANKS, at[length - 1]))
                length--;
        if (length == 0 || length > NAME_SHOWN) {
                fail_line(reader,
                        length ? "the key is longer than 48 bytes" : "there is no key before the '='", NULL);
                return false;
        }
        if (!reader->in_section) {
                fail_line(reader, "a key before the first section", "begin with [service]");
                return false;
        }
        return !reader->skips_section;
}

/* True when inih may have the line. */
static bool look_at(struct reader *reader, const char *line, size_t length) {
        const char *at = line + strspn(line, BLANKS);

        if (strlen(line) != length) {
                fail_line(reader, "a NUL byte", "this is not a text file");
                return false;
        }
        if (length > CONFIG_LINE_BYTES_MAX) {
                fail_line(reader, "the line is longer than 65536 bytes",
                        "use several lines; lists may be given in parts");
                return false;
        }
        if (!*at || is_comment(at))
                return false;
        if (*at != '[')
                return is_assignment(reader, at);
        begin_section(reader, at + 1);
        return false; /* done here; inih would only remember a cut copy of its name */
}

/* ---- inih's two calls ---- */

/* An fgets() that gives inih the next line it cannot misread. */
static char *give_line(char *out, int size, void *context) {
        struct reader *reader = context;
        size_t length;
        char *line;

        while (!(reader->has_failed && !reader->report) && (line = next_logical(reader, &length)) != NULL) {
                if (!look_at(reader, line, length))
                        continue;
                if (length >= (size_t)size) {
                        fail_line(reader, "the line is too long", NULL);
                        continue;
                }
                memcpy(out, line, length + 1);
                return out;
        }
        return NULL;
}

static int take_assignment(void *context, const char *section, const char *key, const char *value) {
        struct reader *reader = context;
        char where[ERROR_TEXT_BYTES];
        struct error error;

        (void)section; /* inih saw none of the headers: reader->section is the one */
        snprintf(where, sizeof where, "%s:%u", reader->path, reader->line);
        if (config_set(reader->config, reader->section, reader->instance, key, value, where, reader->line,
                    &error) < 0)
                fail(reader, &error);
        return 1;
}

static int parse(struct reader *reader, struct error *error) {
        int result;

        /* Global variables of inih, which nobody else in the program uses. All that it might do to a
         * value is turned off. */
        ini_allow_inline_comments = false;
        ini_allow_multiline = false;
        ini_allow_no_value = false;
        ini_allow_bom = false; /* taken off by config_read_file() */
        ini_use_stack = false;
        ini_allow_realloc = false;
        ini_max_line = (int)CONFIG_LINE_BYTES_MAX + 3; /* CR, LF, NUL: see ini.h */
        ini_initial_alloc = ini_max_line;
        result = ini_parse_stream(give_line, reader, take_assignment, reader);
        if (result == -2)
                return error_set(error, ENOMEM, "read %s", reader->path);
        if (result != 0 && !reader->has_failed)
                fail_line(reader, "this line is not understood", NULL);
        return reader->has_failed ? -1 : 0;
}

/* ---- the file ---- */

static int slurp(const char *path, char **out, size_t *out_length, struct error *error) {
        /* A configuration may be a link, as in /etc/alternatives or a ConfigMap; O_NONBLOCK, so that a
         * FIFO is refused and not waited for. */
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat status;
        ssize_t length;
        char *text;

        if (fd < 0)
                return error_set(error, errno, "open configuration '%s'", path);
        if (fstat(fd, &status) < 0)
                return error_set(error, errno, "look at configuration '%s'", path);
        if (!S_ISREG(status.st_mode))
                return error_set(error, 0, "configuration '%s' is not a regular file", path);
        if ((uint64_t)status.st_size > CONFIG_FILE_BYTES_MAX)
                return error_set(error, 0, "configuration '%s' has %lld bytes; the most is %zu", path,
                        (long long)status.st_size, CONFIG_FILE_BYTES_MAX);
        /* One byte to see that the file has grown, one for the NUL. */
        text = malloc((size_t)status.st_size + 2);
        if (!text)
                return error_set(error, ENOMEM, "read configuration '%s'", path);
        length = fd_read_full(fd, text, (size_t)status.st_size + 1);
        if (length < 0 || length > status.st_size) {
                int code = length < 0 ? errno : 0;

                free(text);
                return error_set(error, code, "read configuration '%s'%s", path,
                        code ? "" : ": it changes while it is read");
        }
        text[length] = '\0';
        *out = text;
        *out_length = (size_t)length;
        return 0;
}

int config_read_file(
        struct config *config, const char *path, config_report *report, void *context, struct error *error) {
        struct reader reader = {
                .config = config, .path = path, .report = report, .context = context, .first = error};
        size_t length;
        int result;

        if (slurp(path, &reader.text, &length, error) < 0) {
                error_status(error, EXIT_STATUS_CONFIG);
                if (report && error)
                        report(context, error);
                return -1;
        }
        config_memory_free(config->path);
        config->path = config_memory_text(path);
        reader.at = reader.text;
        reader.end = reader.text + length;
        /* A byte order mark would become part of the first section's name. */
        if (length >= 3 && memcmp(reader.text, "\xef\xbb\xbf", 3) == 0)
                reader.at += 3;
        result = config->path ? parse(&reader, error) : error_set(error, ENOMEM, "read %s", path);
        free(reader.text);
        return result;
}
