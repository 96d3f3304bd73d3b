/* Reading what an app sends to its NOTIFY_SOCKET: see message.h.
 *
 * Pure: called in the supervisor for every datagram, by the fuzzer for anything. The rules are those of
 * sd_notify(3) and of systemd's own reader: lines of NAME=VALUE, one NUL allowed at the end, STOPPING before
 * READY before RELOADING. */

#include "supervisor/notify/message.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/utf8.h"

static bool line_is(const char *line, size_t length, const char *wanted) {
        return strlen(wanted) == length && memcmp(line, wanted, length) == 0;
}

/* The value of `name` (written with its `=`), or NULL. */
static const char *line_value(const char *line, size_t length, const char *name, size_t *out_length) {
        size_t name_length = strlen(name);

        if (length < name_length || memcmp(line, name, name_length) != 0)
                return NULL;
        *out_length = length - name_length;
        return line + name_length;
}

/* Bytes of the UTF-8 character at `at`; 0 when it is invalid or a control character. */
static size_t printable_length(const uint8_t *at, size_t left) {
        size_t length = utf8_character_bytes(at, left);
        bool is_control = length == 1   ? at[0] < 0x20 || at[0] == 0x7f
                          : length == 2 ? at[0] == 0xc2 && at[1] < 0xa0 /* U+0080 to U+009F */
                                        : false;

        return is_control ? 0 : length;
}

static void status_copy(const char *value, size_t length, char out[static NOTIFY_STATUS_BYTES]) {
        const uint8_t *bytes = (const uint8_t *)value;
        size_t used = 0;

        for (size_t at = 0; at < length;) {
                size_t count = printable_length(bytes + at, length - at);

                if (used + (count ? count : 1) >= NOTIFY_STATUS_BYTES)
                        break;
                if (count)
                        memcpy(out + used, bytes + at, count);
                else
                        out[used] = '?';
                used += count ? count : 1;
                at += count ? count : 1;
        }
        out[used] = '\0';
}

static void time_take(const char *value, size_t length, bool *has, int64_t *out_ns) {
        uint64_t us;

        if (*has || !bytes_to_u64(value, length, &us))
                return;
        *has = true;
        *out_ns = us > (uint64_t)(NS_FOREVER / NS_PER_US) ? NS_FOREVER : (int64_t)us * NS_PER_US;
}

/* Read a line whose value is more than a flag. Returns false when it is none of those. */
static bool value_take(struct notify_message *out, const char *line, size_t length) {
        const char *value;
        size_t value_length;

        if ((value = line_value(line, length, "STATUS=", &value_length))) {
                if (!out->has_status)
                        status_copy(value, value_length, out->status);
                out->has_status = true;
        } else if ((value = line_value(line, length, "EXTEND_TIMEOUT_USEC=", &value_length))) {
                time_take(value, value_length, &out->has_extension, &out->extension_ns);
        } else if ((value = line_value(line, length, "WATCHDOG_USEC=", &value_length))) {
                time_take(value, value_length, &out->has_watchdog, &out->watchdog_ns);
        } else if (line_value(line, length, "MAINPID", &value_length)) {
                out->names_main = true; /* MAINPIDFD and MAINPIDFDID as well */
        } else {
                return false;
        }
        return true;
}

static void line_take(struct notify_message *out, const char *line, size_t length) {
        if (value_take(out, line, length))
                return;
        if (line_is(line, length, "READY=1"))
                out->is_ready = true;
        else if (line_is(line, length, "STOPPING=1"))
                out->is_stopping = true;
        else if (line_is(line, length, "RELOADING=1"))
                out->is_reloading = true;
        else if (line_is(line, length, "WATCHDOG=1"))
                out->is_alive = true;
        else if (line_is(line, length, "WATCHDOG=trigger"))
                out->is_failing = true;
        else if (line_is(line, length, "FDSTORE=1") || line_is(line, length, "FDSTOREREMOVE=1"))
                out->stores_fds = true;
}

bool notify_message_read(const char *text, size_t length, struct notify_message *out) {
        if (length > NOTIFY_MESSAGE_BYTES_MAX)
                return false;
        if (length && text[length - 1] == '\0')
                length--;
        if (length && memchr(text, '\0', length))
                return false;
        memset(out, 0, sizeof *out);
        out->is_barrier = line_is(text, length, "BARRIER=1") || line_is(text, length, "BARRIER=1\n");
        for (size_t at = 0; at < length;) {
                const char *end = memchr(text + at, '\n', length - at);
                size_t line_length = end ? (size_t)(end - (text + at)) : length - at;

                line_take(out, text + at, line_length);
                at += line_length + 1;
        }
        out->is_ready &= !out->is_stopping;
        out->is_reloading &= !out->is_stopping && !out->is_ready;
        return true;
}
