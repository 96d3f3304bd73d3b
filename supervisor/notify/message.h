#pragma once

/* One message of sd_notify(3), read. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_MESSAGE_BYTES_MAX 4096 /* PIPE_BUF: longer ones are refused */
#define NOTIFY_STATUS_BYTES      256

struct notify_message {
        bool is_ready;     /* READY=1, without STOPPING=1 in the same message */
        bool is_stopping;  /* STOPPING=1 */
        bool is_reloading; /* RELOADING=1, without either of the two in the same message */
        bool is_alive;     /* WATCHDOG=1 */
        bool is_failing;   /* WATCHDOG=trigger */
        bool is_barrier;   /* BARRIER=1, alone in its message; ignored beside others */
        bool names_main;   /* MAINPID=, MAINPIDFD=1 */
        bool stores_fds;   /* FDSTORE=1, FDSTOREREMOVE=1 */
        bool has_status, has_extension, has_watchdog;
        int64_t extension_ns; /* EXTEND_TIMEOUT_USEC */
        int64_t watchdog_ns;  /* WATCHDOG_USEC */
        /* STATUS=, cut, one line of valid UTF-8 without control characters */
        char status[NOTIFY_STATUS_BYTES];
};

/* Read a message of `length` bytes. Returns false, and leaves *out as it is, when the whole message must be
 * dropped: it is too long, or has a NUL that is not its last byte. Of two equal keys the first counts;
 * unknown keys and values that cannot be read are ignored. */
bool notify_message_read(const char *text, size_t length, struct notify_message *out);
