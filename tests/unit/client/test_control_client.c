/* The client of the control socket: what it asks, and what it makes of answers, good, torn, strange or
 * hostile. The other end is this test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/control_client.h"
#include "lib/duration.h"

static struct control_client client; /* large */
static int supervisor;               /* its end of the connection */
static struct error error;

static int connection_make(void **state) {
        int ends[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        memset(&client, 0, sizeof client);
        client.fd = ends[0];
        supervisor = ends[1];
        error = (struct error){0};
        return 0;
}

static int connection_end(void **state) {
        (void)state;
        control_client_close(&client);
        if (supervisor >= 0)
                close(supervisor);
        return 0;
}

/* Write bytes as they are; a message ends with a NUL. */
static void supervisor_write(const char *bytes, size_t length) {
        assert_int_equal(write(supervisor, bytes, length), (ssize_t)length);
}
#define SAY(text)      supervisor_write(text, sizeof text)
#define SAY_PART(text) supervisor_write(text, sizeof text - 1)

static void supervisor_go(void) {
        close(supervisor);
        supervisor = -1;
}

/* The next reply, which has come already. */
static int reply_take(json_t **out) {
        return control_client_reply(&client, 0, out, &error);
}

/* A reply that must be refused; *out stays as it was. */
static void assert_refused(const char *text) {
        json_t *reply = NULL;

        assert_int_equal(reply_take(&reply), -1);
        assert_null(reply);
        assert_string_equal(error.text, text);
}

static void a_call_is_one_json_object_and_a_nul(void **state) {
        char text[512];
        CLEANUP_JSON json_t *call = NULL;
        ssize_t got;

        (void)state;
        assert_int_equal(
                control_client_call(&client, "io.tacet.Try", json_pack("{s:b}", "force", 1), true, &error),
                0);
        got = read(supervisor, text, sizeof text);
        assert_true(got > 0 && text[got - 1] == '\0' && strlen(text) == (size_t)got - 1);
        call = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(call, "method")), "io.tacet.Try");
        assert_true(json_is_true(json_object_get(call, "more")));
        assert_true(json_is_true(json_object_get(json_object_get(call, "parameters"), "force")));
}

static void a_call_without_parameters_has_none(void **state) {
        char text[512];
        CLEANUP_JSON json_t *call = NULL;

        (void)state;
        assert_int_equal(control_client_call(&client, "io.tacet.Try", NULL, false, &error), 0);
        assert_true(read(supervisor, text, sizeof text) > 0);
        call = json_loads(text, 0, NULL);
        assert_null(json_object_get(call, "parameters"));
        assert_true(json_is_false(json_object_get(call, "more")));
}

static void a_call_that_is_too_long_is_refused(void **state) {
        char name[5000];

        (void)state;
        memset(name, 'x', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        assert_int_equal(control_client_call(&client, name, json_object(), false, &error), -1);
}

static void who_hung_up_may_have_said_why(void **state) {
        json_t *reply = NULL;

        (void)state;
        SAY("{\"error\":\"io.tacet.TooManyClients\"}");
        supervisor_go();
        assert_int_equal(control_client_call(&client, "io.tacet.Try", NULL, false, &error), 0);
        assert_int_equal(reply_take(&reply), -1);
        assert_string_equal(error.text, "too many others are asking the supervisor");
}

static void replies_are_told_apart_by_their_nul(void **state) {
        json_t *first = NULL, *second = NULL;

        (void)state;
        SAY("{\"parameters\":{\"n\":1},\"continues\":true}");
        SAY("{\"parameters\":{\"n\":2}}");
        assert_int_equal(reply_take(&first), CONTROL_CLIENT_MORE);
        assert_int_equal(reply_take(&second), 0);
        assert_int_equal(json_integer_value(json_object_get(first, "n")), 1);
        assert_int_equal(json_integer_value(json_object_get(second, "n")), 2);
        json_decref(first);
        json_decref(second);
}

static void a_reply_may_come_in_pieces(void **state) {
        CLEANUP_JSON json_t *reply = NULL;

        (void)state;
        SAY_PART("{\"parameters\":");
        assert_refused("the supervisor does not answer");
        assert_int_equal(error.status, EXIT_STATUS_UNAVAILABLE);
        SAY("{\"n\":7}}");
        assert_int_equal(reply_take(&reply), 0);
        assert_int_equal(json_integer_value(json_object_get(reply, "n")), 7);
}

static void a_torn_reply_is_none(void **state) {
        (void)state;
        SAY_PART("{\"parameters\":{}}");
        supervisor_go();
        assert_refused("the supervisor went away");
        assert_int_equal(error.status, EXIT_STATUS_UNAVAILABLE);
}

static void a_reply_without_end_is_cut_off(void **state) {
        (void)state;
        memset(client.buffer, 'x', sizeof client.buffer);
        client.used = sizeof client.buffer;
        assert_refused("a reply is longer than 262144 bytes");
}

static void what_is_no_reply_is_refused(void **state) {
        static const char *const strange[] = {
                "", "no json", "[]", "{}", "{\"parameters\":3}", "{\"parameters\":{},\"parameters\":{}}"};

        (void)state;
        for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
                supervisor_write(strange[i], strlen(strange[i]) + 1);
                assert_refused("what answers there is no supervisor of tacet");
        }
}

static void a_refusal_says_who_may_ask(void **state) {
        (void)state;
        SAY("{\"error\":\"org.varlink.service.PermissionDenied\"}");
        assert_refused("the supervisor refuses to be asked by this user");
        assert_int_equal(error.status, EXIT_STATUS_PERMISSION);
}

static void a_method_that_it_does_not_know_is_named(void **state) {
        (void)state;
        SAY("{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.tacet.New\"}"
            "}");
        assert_refused("the supervisor does not know 'io.tacet.New'");
        SAY("{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"canary\"}}");
        assert_refused("the supervisor does not know 'canary'");
}

static void an_error_of_a_later_version_is_an_error(void **state) {
        (void)state;
        SAY("{\"error\":\"io.tacet.Later\",\"parameters\":{}}");
        assert_refused("the supervisor replied 'io.tacet.Later'");
        SAY("{\"error\":\"\\u001b[2J\"}");
        assert_int_equal(reply_take(&(json_t *){NULL}), -1);
        assert_null(strchr(error.text, '\033'));
}

static void texts_are_cut_and_cannot_move_the_cursor(void **state) {
        CLEANUP_JSON json_t *reply =
                json_pack("{s:s, s:s, s:i}", "status", "a\033[2Jb\nc", "name", "12345678", "n", 3);
        char text[8];

        (void)state;
        control_text(reply, "status", text, sizeof text);
        assert_null(strpbrk(text, "\033\n"));
        assert_string_equal(control_text(reply, "name", text, sizeof text), "1234567");
        assert_string_equal(control_text(reply, "n", text, sizeof text), "");
        assert_string_equal(control_text(reply, "missing", text, sizeof text), "");
        assert_string_equal(control_text(NULL, "missing", text, sizeof text), "");
}

static void a_path_that_is_no_address_is_told(void **state) {
        char path[200];

        (void)state;
        control_client_close(&client);
        memset(path, 'x', sizeof path - 1);
        path[sizeof path - 1] = '\0';
        assert_int_equal(control_client_open(&client, path, &error), -1);
        assert_int_equal(error.status, EXIT_STATUS_USAGE);
        assert_int_equal(client.fd, -1);
}

static void nobody_there_and_nobody_listening_are_the_same(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        control_client_close(&client);
        snprintf(address.sun_path, sizeof address.sun_path, "/tmp/tacet-client-%d.sock", (int)getpid());
        assert_int_equal(control_client_open(&client, address.sun_path, &error), -1);
        assert_int_equal(error.status, EXIT_STATUS_UNAVAILABLE);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
        error = (struct error){0};
        assert_int_equal(control_client_open(&client, address.sun_path, &error), -1);
        assert_int_equal(error.status, EXIT_STATUS_UNAVAILABLE);
        assert_int_equal(client.fd, -1);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(control_client_open(&client, address.sun_path, &error), 0);
        unlink(address.sun_path);
        close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connection_make, connection_end)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_call_is_one_json_object_and_a_nul),
                TEST(a_call_without_parameters_has_none),
                TEST(a_call_that_is_too_long_is_refused),
                TEST(who_hung_up_may_have_said_why),
                TEST(replies_are_told_apart_by_their_nul),
                TEST(a_reply_may_come_in_pieces),
                TEST(a_torn_reply_is_none),
                TEST(a_reply_without_end_is_cut_off),
                TEST(what_is_no_reply_is_refused),
                TEST(a_refusal_says_who_may_ask),
                TEST(a_method_that_it_does_not_know_is_named),
                TEST(an_error_of_a_later_version_is_an_error),
                TEST(texts_are_cut_and_cannot_move_the_cursor),
                TEST(a_path_that_is_no_address_is_told),
                TEST(nobody_there_and_nobody_listening_are_the_same),
        };

        (void)signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
