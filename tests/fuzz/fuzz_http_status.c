/* Answers to a health check: any bytes. More bytes never change an answer that was given, and the number is
 * in its range. */

#include <string.h>

#include "supervisor/health/http_status.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *)data;
        int last = HTTP_STATUS_MORE;

        if (size > HTTP_STATUS_BYTES_MAX)
                return 0;
        for (size_t length = size < 256 ? 0 : size - 256; length <= size; length++) {
                int status = http_status_read(text, length);

                HOLDS(status == HTTP_STATUS_MORE || status == HTTP_STATUS_WRONG || status == 101 ||
                        (status >= 200 && status <= 599));
                HOLDS(last == HTTP_STATUS_MORE || status == last);
                last = status;
        }
        HOLDS(last <= 0 || (size >= 13 && memcmp(data, "HTTP/1.", 7) == 0));
        return 0;
}
