/* Messages of sd_notify(3): what is taken from them and which are dropped. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/duration.h"
#include "supervisor/notify/message.h"

static struct notify_message message;

static bool read_text(const char *text) {
        return notify_message_read(text, strlen(text), &message);
}

static void test_each_word_is_taken(void **state) {
        (void)state;
        assert_true(read_text(
                "READY=1\nSTATUS=warm\nEXTEND_TIMEOUT_USEC=1500\nWATCHDOG=1\nWATCHDOG_USEC=2000000\n"));
        assert_true(message.is_ready && message.has_status && message.has_extension && message.is_alive);
        assert_string_equal(message.status, "warm");
        assert_int_equal(message.extension_ns, 1500 * NS_PER_US);
        assert_true(message.has_watchdog && message.watchdog_ns == 2 * NS_PER_S);
        assert_false(message.is_failing || message.is_barrier || message.names_main || message.stores_fds);
        assert_true(read_text("WATCHDOG=trigger\nMAINPID=1\nFDSTORE=1\nFDNAME=a\nX_UNKNOWN=1\n\n=\n"));
        assert_true(message.is_failing && message.names_main && message.stores_fds && !message.is_alive);
        assert_true(read_text("FDSTOREREMOVE=1"));
        assert_true(message.stores_fds);
        assert_true(read_text("MAINPIDFD=1"));
        assert_true(message.names_main);
}

static void test_only_the_exact_word_counts(void **state) {
        static const char *const others[] = {"READY=0", "READY=", "READY=11", "READY=1 ", " READY=1",
                "ready=1", "XREADY=1", "READY=1\r\n", "STOPPING=0", "RELOADING=2", "WATCHDOG=0",
                "WATCHDOG=triggered", "BARRIER=0", "", "\n"};

        (void)state;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
                struct notify_message nothing = {0};

                assert_true(read_text(others[i]));
                assert_memory_equal(&message, &nothing, sizeof nothing);
        }
}

static void test_stopping_wins_over_ready_and_ready_over_reloading(void **state) {
        (void)state;
        assert_true(read_text("READY=1\nRELOADING=1\nSTOPPING=1"));
        assert_true(message.is_stopping && !message.is_ready && !message.is_reloading);
        assert_true(read_text("RELOADING=1\nREADY=1"));
        assert_true(message.is_ready && !message.is_reloading);
        assert_true(read_text("RELOADING=1\nMONOTONIC_USEC=5"));
        assert_true(message.is_reloading);
}

static void test_a_barrier_stands_alone(void **state) {
        (void)state;
        assert_true(read_text("BARRIER=1") && message.is_barrier);
        assert_true(read_text("BARRIER=1\n") && message.is_barrier);
        assert_true(notify_message_read("BARRIER=1", 10, &message) && message.is_barrier);
        assert_true(read_text("BARRIER=1\nREADY=1") && !message.is_barrier && message.is_ready);
        assert_true(read_text("READY=1\nBARRIER=1") && !message.is_barrier);
}

static void test_messages_that_are_dropped(void **state) {
        static char text[NOTIFY_MESSAGE_BYTES_MAX + 2];

        (void)state;
        memset(text, 'x', sizeof text);
        memcpy(text, "READY=1\n", 8);
        assert_true(notify_message_read(text, NOTIFY_MESSAGE_BYTES_MAX, &message) && message.is_ready);
        assert_false(notify_message_read(text, NOTIFY_MESSAGE_BYTES_MAX + 1, &message));
        assert_true(notify_message_read("READY=1", 8, &message) && message.is_ready); /* with its NUL */
        assert_false(notify_message_read("READY=1\0", 9, &message));
        assert_false(notify_message_read("READY=1\0STATUS=x", 16, &message));
        assert_true(notify_message_read("", 1, &message));
        assert_true(notify_message_read("", 0, &message));
}

static void test_a_status_is_one_tame_line(void **state) {
        static char text[600] = "STATUS=";

        (void)state;
        assert_true(read_text("STATUS=a\tb\x1b[1m\x7f"));
        assert_string_equal(message.status, "a?b?[1m?");
        assert_true(read_text("STATUS=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
        assert_string_equal(message.status, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
        /* CSI as one character, a surrogate, overlong forms, beyond U+10FFFF, a cut sequence */
        assert_true(
                read_text("STATUS=\xc2\x9b \xed\xa0\x80 \xc0\x80 \xe0\x80\x80 \xf4\x90\x80\x80 \xe2\x82"));
        assert_string_equal(message.status, "?? ??? ?? ??? ???? ??");
        assert_true(read_text("STATUS=first\nSTATUS=second"));
        assert_string_equal(message.status, "first");
        assert_true(read_text("STATUS="));
        assert_true(message.has_status);
        memset(text + 7, 'y', sizeof text - 8);
        memcpy(text + 7 + NOTIFY_STATUS_BYTES - 2, "\xc3\xa4", 2); /* would be cut in its middle */
        assert_true(read_text(text));
        assert_int_equal(strlen(message.status), NOTIFY_STATUS_BYTES - 2);
}

static void test_numbers_that_are_none_are_passed_over(void **state) {
        (void)state;
        assert_true(read_text("EXTEND_TIMEOUT_USEC=\nWATCHDOG_USEC=-1"));
        assert_false(message.has_extension || message.has_watchdog);
        assert_true(read_text("EXTEND_TIMEOUT_USEC=18446744073709551616\nEXTEND_TIMEOUT_USEC=7"));
        assert_int_equal(message.extension_ns, 7 * NS_PER_US);
        assert_true(read_text("EXTEND_TIMEOUT_USEC=7\nEXTEND_TIMEOUT_USEC=9"));
        assert_int_equal(message.extension_ns, 7 * NS_PER_US);
        assert_true(read_text("EXTEND_TIMEOUT_USEC=18446744073709551615\nWATCHDOG_USEC=0"));
        assert_int_equal(message.extension_ns, NS_FOREVER);
        assert_true(message.has_watchdog && message.watchdog_ns == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_word_is_taken),
                cmocka_unit_test(test_only_the_exact_word_counts),
                cmocka_unit_test(test_stopping_wins_over_ready_and_ready_over_reloading),
                cmocka_unit_test(test_a_barrier_stands_alone),
                cmocka_unit_test(test_messages_that_are_dropped),
                cmocka_unit_test(test_a_status_is_one_tame_line),
                cmocka_unit_test(test_numbers_that_are_none_are_passed_over),
        };

        return cmocka_run_group_tests_name("notify_message", tests, NULL, NULL);
}
