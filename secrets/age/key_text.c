/* The lines of identity and recipient files: see key_text.h. In the loader and the editing verbs; pure over
 * bytes. */

#include "secrets/age/key_text.h"

#include <string.h>

bool key_text_line(struct bytes *rest, struct bytes *out, size_t *line) {
        const uint8_t *end;

        if (rest->length == 0)
                return false;
        end = memchr(rest->at, '\n', rest->length);
        *out = (struct bytes){rest->at, end ? (size_t)(end - rest->at) : rest->length};
        rest->at += out->length + (end ? 1 : 0);
        rest->length -= out->length + (end ? 1 : 0);
        if (out->length > 0 && out->at[out->length - 1] == '\r')
                out->length--;
        (*line)++;
        return true;
}

bool key_text_begins(struct bytes bytes, const char *prefix) {
        size_t length = strlen(prefix);

        return bytes.length >= length && memcmp(bytes.at, prefix, length) == 0;
}
