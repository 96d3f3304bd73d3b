/* Reading the one number of an HTTP answer that a health check wants: see http_status.h.
 *
 * Called in the child of a check (http_child.c), with what the app sent (RFC 9112, section 4). The rest of
 * the answer is ignored. */

#include "supervisor/health/http_status.h"

#include <stdbool.h>
#include <string.h>

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* "HTTP/1.x NNN" and then a blank or the end of the line. Returns the status, MORE or WRONG. */
static int line_read(const char *text, size_t length) {
        static const char begin[] = "HTTP/1.";
        const size_t begin_length = sizeof begin - 1;

        if (memcmp(text, begin, length < begin_length ? length : begin_length) != 0)
                return HTTP_STATUS_WRONG;
        if (length < begin_length + 6)
                return memchr(text, '\n', length) ? HTTP_STATUS_WRONG : HTTP_STATUS_MORE;
        text += begin_length;
        if (!is_digit(text[0]) || text[1] != ' ' || text[2] < '1' || text[2] > '5' || !is_digit(text[3]) ||
                !is_digit(text[4]) || (text[5] != ' ' && text[5] != '\r' && text[5] != '\n'))
                return HTTP_STATUS_WRONG;
        return (text[2] - '0') * 100 + (text[3] - '0') * 10 + (text[4] - '0');
}

/* Length of the answer's head, with the empty line that ends it; 0 when that line has not come. */
static size_t head_length(const char *text, size_t length) {
        for (size_t i = 0; i + 1 < length; i++) {
                if (text[i] != '\n')
                        continue;
                if (text[i + 1] == '\n')
                        return i + 2;
                if (text[i + 1] == '\r' && i + 2 < length && text[i + 2] == '\n')
                        return i + 3;
        }
        return 0;
}

int http_status_read(const char *text, size_t length) {
        while (length > 0) {
                int status = line_read(text, length);
                size_t head;

                if (status <= 0 || status >= 200 || status == 101)
                        return status;
                head = head_length(text, length);
                text += head;
                length = head ? length - head : 0;
        }
        return HTTP_STATUS_MORE;
}
