/* Numbers and strings from outside: see bytes.h. Pure. */

#include "lib/bytes.h"

#include <string.h>

bool bytes_to_u64(const char *text, size_t length, uint64_t *out) {
        uint64_t value = 0;

        if (length == 0)
                return false;
        for (size_t i = 0; i < length; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                        __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
                        return false;
        }
        *out = value;
        return true;
}

bool text_to_u64(const char *text, uint64_t *out) {
        return bytes_to_u64(text, strlen(text), out);
}

bool bytes_equal(struct bytes a, struct bytes b) {
        return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

bool text_after(const char *text, const char *prefix, const char **rest) {
        size_t length = strlen(prefix);

        if (strncmp(text, prefix, length) != 0)
                return false;
        if (rest)
                *rest = text + length;
        return true;
}

#define DISTANCE_TEXT_MAX 63U

static unsigned number_least(unsigned a, unsigned b) {
        return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b, unsigned max) {
        unsigned rows[3][DISTANCE_TEXT_MAX + 1];
        unsigned a_length = (unsigned)strnlen(a, DISTANCE_TEXT_MAX),
                 b_length = (unsigned)strnlen(b, DISTANCE_TEXT_MAX);
        unsigned *two_back = rows[0], *back = rows[1], *row = rows[2];

        for (unsigned j = 0; j <= b_length; j++)
                back[j] = j;
        memcpy(two_back, back, sizeof rows[0]);
        for (unsigned i = 1; i <= a_length; i++) {
                unsigned *spare = two_back;

                row[0] = i;
                for (unsigned j = 1; j <= b_length; j++) {
                        row[j] = number_least(
                                back[j - 1] + (a[i - 1] != b[j - 1]), number_least(back[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = number_least(row[j], two_back[j - 2] + 1);
                }
                two_back = back;
                back = row;
                row = spare;
        }
        return back[b_length] > max ? max + 1 : back[b_length];
}
