/* Putting the numbers of a start into its words: see expand.h. Nothing is freed: the process becomes the app,
 * or ends. */

#include "shim/expand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 20 /* of a uint64_t */

static size_t count_percent(const char *text) {
        size_t count = 0;

        for (; *text; text++)
                count += *text == '%';
        return count;
}

char *expand_text(const char *text, const struct launch_expansion *expansion) {
        size_t room = strlen(text) + count_percent(text) * DIGITS_MAX + 1, used = 0;
        char *out = malloc(room);

        if (!out)
                return NULL;
        for (; *text; text++) {
                if (text[0] == '%' && text[1] == 'g')
                        used += (size_t)snprintf(out + used, room - used, "%" PRIu64, expansion->generation);
                else if (text[0] == '%' && text[1] == 'r')
                        used += (size_t)snprintf(out + used, room - used, "%" PRIu32, expansion->replica);
                else
                        out[used++] = *text;
                if (text[0] == '%' && text[1] && strchr("gr%", text[1]))
                        text++;
        }
        out[used] = '\0';
        return out;
}

char **expand_list(char *const *list, size_t count, const struct launch_expansion *expansion) {
        size_t length = 0;
        char **out;

        while (list[length])
                length++;
        out = calloc(length + 1, sizeof *out);
        for (size_t i = 0; out && i < length; i++) {
                out[i] = i < count ? expand_text(list[i], expansion) : list[i];
                if (!out[i]) { /* what was expanded before is left to the end of the process */
                        free(out);
                        return NULL;
                }
        }
        return out;
}
