/* Requests of the control socket: what is taken, and that everything else is refused as a whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/control/request.h"

static struct control_request taken(const char *text) {
        struct control_request request;

        assert_int_equal(control_request_parse(text, strlen(text), &request), 0);
        return request;
}

static void expect_garbage(const char *text) {
        struct control_request request;

        assert_int_equal(control_request_parse(text, strlen(text), &request), -1);
}

static void test_every_method_is_known(void **state) {
        struct control_request request;

        (void)state;
        assert_int_equal(taken("{\"method\":\"io.tacet.Status\"}").method, CONTROL_STATUS);
        assert_int_equal(taken("{\"method\":\"io.tacet.Status\",\"parameters\":{}}").method, CONTROL_STATUS);
        assert_int_equal(
                taken("{\"method\":\"io.tacet.Status\",\"parameters\":null}").method, CONTROL_STATUS);
        assert_int_equal(taken("{\"method\":\"org.varlink.service.GetInfo\"}").method, CONTROL_GET_INFO);
        request = taken("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                        "\"parameters\":{\"interface\":\"io.tacet\"}}");
        assert_int_equal(request.method, CONTROL_GET_INTERFACE);
        assert_string_equal(request.name, "io.tacet");
        request = taken("{\"method\":\"io.tacet.Rotate\",\"parameters\":{\"force\":true,\"emergency\":false,"
                        "\"wait\":true},\"more\":true,\"oneway\":false,\"upgrade\":false}");
        assert_int_equal(request.method, CONTROL_ROTATE);
        assert_true(request.is_forced && request.waits && request.is_more);
        assert_false(request.is_emergency || request.is_oneway);
        request = taken("{\"method\":\"io.tacet.Rotate\",\"parameters\":{\"wait\":null}}");
        assert_int_equal(request.method, CONTROL_ROTATE);
        assert_false(request.is_forced || request.waits || request.is_more);
}

static void expect_refusal(const char *text, enum control_method method, const char *name) {
        struct control_request request = taken(text);

        assert_int_equal(request.method, method);
        assert_string_equal(request.name, name);
}

static void test_what_is_not_there_is_named(void **state) {
        (void)state;
        expect_refusal("{\"method\":\"io.tacet.Open\"}", CONTROL_NO_METHOD, "io.tacet.Open");
        expect_refusal("{\"method\":\"io.tacet.\"}", CONTROL_NO_METHOD, "io.tacet.");
        expect_refusal("{\"method\":\"io.other.Open\"}", CONTROL_NO_INTERFACE, "io.other");
        expect_refusal("{\"method\":\"\"}", CONTROL_NO_INTERFACE, "");
        expect_refusal("{\"method\":\"Open\"}", CONTROL_NO_INTERFACE, "Open");
        expect_refusal("{\"method\":\"io.tacet.Status\",\"parameters\":{\"all\":true}}", CONTROL_NO_PARAMETER,
                "all");
        expect_refusal(
                "{\"method\":\"io.tacet.Rotate\",\"parameters\":{\"wait\":1}}", CONTROL_NO_PARAMETER, "wait");
        expect_refusal("{\"method\":\"io.tacet.Status\",\"parameters\":{\"force\":true}}",
                CONTROL_NO_PARAMETER, "force");
        expect_refusal("{\"method\":\"org.varlink.service.GetInterfaceDescription\"}", CONTROL_NO_PARAMETER,
                "interface");
        expect_refusal(
                "{\"method\":\"io.tacet.\\u001b[31m\\\"\\\\\"}", CONTROL_NO_METHOD, "io.tacet.?[31m??");
}

static void test_names_are_cut(void **state) {
        char text[1024];

        (void)state;
        snprintf(text, sizeof text, "{\"method\":\"%0600d\"}", 0);
        assert_int_equal(strlen(taken(text).name), CONTROL_NAME_BYTES_MAX - 1);
}

static void test_everything_else_is_garbage(void **state) {
        static char text[CONTROL_REQUEST_BYTES_MAX + 64];

        (void)state;
        expect_garbage("");
        expect_garbage("null");
        expect_garbage("[]");
        expect_garbage("{}");
        expect_garbage("{\"method\":null}");
        expect_garbage("{\"method\":\"io.tacet.Status\"} x");
        expect_garbage("{\"method\":\"io.tacet.Status\",\"method\":\"io.tacet.Status\"}");
        expect_garbage("{\"method\":\"io.tacet.Status\",\"parameters\":[]}");
        expect_garbage("{\"method\":\"io.tacet.Status\",\"more\":1}");
        expect_garbage("{\"method\":\"io.tacet.Status\",\"upgrade\":true}");
        expect_garbage("{\"method\":\"io.tacet.Status\",\"extra\":null}");
        expect_garbage("{\"method\":\"io.tacet.Status\\u0000\"}");
        expect_garbage("{\"method\":\"\xff\"}");
        memset(text, ' ', sizeof text - 1);
        memcpy(text, "{\"method\":\"io.tacet.Status\"}", 29 - 1);
        expect_garbage(text);
        text[CONTROL_REQUEST_BYTES_MAX - 1] = '\0';
        assert_int_equal(taken(text).method, CONTROL_STATUS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_method_is_known),
                cmocka_unit_test(test_what_is_not_there_is_named),
                cmocka_unit_test(test_names_are_cut),
                cmocka_unit_test(test_everything_else_is_garbage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
