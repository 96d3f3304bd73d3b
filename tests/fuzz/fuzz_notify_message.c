/* Messages of an app to its notify socket: any bytes. What is read stays within its bounds, and a status is
 * one printable line of UTF-8 whatever was sent. */

#include <string.h>

#include "supervisor/notify/message.h"
#include "tests/fuzz/fuzz.h"

static void status_is_tame(const char *status) {
        struct notify_message again;
        char text[NOTIFY_STATUS_BYTES + 8];
        size_t length = strlen(status);

        HOLDS(length < NOTIFY_STATUS_BYTES);
        for (size_t i = 0; i < length; i++)
                HOLDS((unsigned char)status[i] >= 0x20 && status[i] != 0x7f);
        /* Reading it once more changes nothing: it was valid. */
        memcpy(text, "STATUS=", 7);
        memcpy(text + 7, status, length);
        HOLDS(notify_message_read(text, 7 + length, &again));
        HOLDS(again.has_status && strcmp(again.status, status) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct notify_message message;

        if (!notify_message_read((const char *)data, size, &message)) {
                HOLDS(size > NOTIFY_MESSAGE_BYTES_MAX || memchr(data, 0, size - 1));
                return 0;
        }
        HOLDS(size <= NOTIFY_MESSAGE_BYTES_MAX);
        HOLDS(message.is_ready + message.is_stopping + message.is_reloading <= 1);
        HOLDS(!message.is_barrier || (size <= 11 && !message.is_ready && !message.has_status));
        HOLDS(message.extension_ns >= 0 && message.watchdog_ns >= 0);
        HOLDS(message.has_status || message.status[0] == '\0');
        if (message.has_status)
                status_is_tame(message.status);
        return 0;
}
