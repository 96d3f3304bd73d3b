/* The dialect of `docker run --env-file`, as docker/cli reads it (its package kvfile).
 *
 * Kept exactly, because people bring files that already work: leading blanks are dropped, `#` comments only
 * at the start of a line, quotes and backslashes are part of the value, trailing blanks are kept, a bare NAME
 * takes the value of that name from the environment or is left out, a line has at most 65535 bytes, all text
 * is UTF-8. Stricter than docker in three things that are accidents in a file of secrets: a name twice, an
 * empty value, and a name that is not one. */

#include "secrets/document/dialect.h"

#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"

/* Go's bufio.Scanner, through which docker reads, gives up on a line that does not fit 64 KiB with its
 * end. */
#define DOCKER_LINE_BYTES_MAX 65535

static int value_add(const struct dialect_input *input, size_t offset, uint32_t line, struct bytes name,
        const uint8_t *value, size_t length, struct error *error) {
        uint8_t *copy;

        copy = arena_take(input->arena, length, error);
        if (!copy)
                return error_wrap(error, "%s", input->file);
        memcpy(copy, value, length);
        return dialect_add(input, offset, line, name, (struct secret_bytes){copy, length}, false, error);
}

/* A bare NAME: docker passes the value of its own environment on. */
static int inherited_add(const struct dialect_input *input, size_t offset, uint32_t line, struct bytes name,
        struct error *error) {
        char key[SECRET_NAME_BYTES_MAX + 1] = "";
        const char *value;

        memcpy(key, name.at, name.length);
        value = getenv(key);
        if (!value)
                return 0;
        return value_add(input, offset, line, name, (const uint8_t *)value, strlen(value), error);
}

/* One line, from `start` to `end` without its line end. */
static int line_parse(
        const struct dialect_input *input, size_t start, size_t end, uint32_t line, struct error *error) {
        const uint8_t *at = input->text.at, *equals;
        struct bytes name;
        size_t bad;

        if (end - start > DOCKER_LINE_BYTES_MAX)
                return dialect_error(input, start, (struct bytes){0}, error,
                        "a line of %zu bytes: docker reads at most %d", end - start, DOCKER_LINE_BYTES_MAX);
        if (end > start && at[end - 1] == '\r')
                end--;
        bad = utf8_valid_bytes(at + start, end - start);
        if (bad < end - start)
                return dialect_error(input, start + bad, (struct bytes){0}, error, "not UTF-8");
        while (start < end && (at[start] == ' ' || (at[start] >= '\t' && at[start] <= '\r')))
                start++;
        if (start == end || at[start] == '#')
                return 0;
        equals = memchr(at + start, '=', end - start);
        name = (struct bytes){at + start, equals ? (size_t)(equals - at) - start : end - start};
        if (!secret_name_is_valid((const char *)name.at, name.length))
                return dialect_error(input, start, (struct bytes){0}, error,
                        "not a variable name: letters, digits and '_', at most %d bytes",
                        SECRET_NAME_BYTES_MAX);
        if (!equals)
                return inherited_add(input, start, line, name, error);
        return value_add(input, start, line, name, equals + 1, end - (size_t)(equals + 1 - at), error);
}

static int docker_parse(const struct dialect_input *input, struct error *error) {
        size_t start = text_start(input->text);

        for (uint32_t line = 1; start < input->text.length; line++) {
                const uint8_t *newline = memchr(input->text.at + start, '\n', input->text.length - start);
                size_t end = newline ? (size_t)(newline - input->text.at) : input->text.length;

                if (line_parse(input, start, end, line, error) < 0)
                        return -1;
                start = end + 1;
        }
        return 0;
}

const struct dialect dialect_docker = {
        .format = "dotenv", .word = "docker", .suffix = ".env", .parse = docker_parse};
