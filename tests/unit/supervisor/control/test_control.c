/* The control socket, asked over real connections: when a request is served, and what answers it. */

#include "tests/unit/fleet_script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/control/server.h"
#include "supervisor/sockets/listener.h"

#define STATUS "{\"method\":\"io.tacet.Status\"}"
#define ROTATE "{\"method\":\"io.tacet.Rotate\"}"
#define WAIT   "{\"method\":\"io.tacet.Rotate\",\"parameters\":{\"wait\":true}}"

static char folder[64], path[96];
static struct loop loop;
static struct facts facts;
static struct instances instances;
static struct tree_rest rests[TREE_RESTS_MAX];
static struct trees trees = {.rests = rests};
static struct notify notify;
static struct listeners listeners;
static struct socket_rules rules;
static struct load_request request;
static struct generations generations;
static char reply[65536];

static const struct control_rooms rooms = {.loop = &loop,
        .facts = &facts,
        .fleet = &fleet,
        .instances = &instances,
        .trees = &trees,
        .notify = &notify,
        .listeners = &listeners,
        .rules = &rules,
        .generations = &generations};

/* One replica, whose first generation is loaded and runs, so that a load brings a rollout. */
static void begin(void) {
        const struct fleet_settings settings = settings_handoff(1);
        struct error error = {0};

        memset(&facts, 0, sizeof facts);
        generations.request = &request;
        notify.source.fd = -1;
        assert_int_equal(loop_init(&loop, &error), 0);
        fleet_up(&settings);
        if (control_open(&rooms, path, &error) < 0)
                fail_msg("%s", error.text);
}

static void end(void) {
        struct stat status;

        control_close();
        control_close();
        assert_int_equal(stat(path, &status), -1);
        assert_null(loop.timers);
        loop_deinit(&loop);
}

static int client_connect(void) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memcpy(address.sun_path, path, strlen(path) + 1);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        return fd;
}

/* What was sent is there: the loop sees it in a few turns, accepting first. */
static void turn(void) {
        for (int i = 0; i < 4; i++)
                loop_wait(&loop, time_now_ns());
}

static void ask(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), strlen(text) + 1);
        turn();
}

/* One reply, or "" when there is none, or "gone" when it was hung up. */
static const char *heard(int fd) {
        ssize_t got;

        turn();
        got = recv(fd, reply, sizeof reply - 1, 0);
        assert_true(got >= 0 || errno == EAGAIN || errno == ECONNRESET);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
                return "gone";
        reply[got > 0 ? got : 0] = '\0';
        return reply;
}

static void hears(int fd, const char *part) {
        if (!strstr(heard(fd), part))
                fail_msg("'%s' is not in '%s'", part, reply);
}

static void hears_nothing(int fd) {
        assert_string_equal(heard(fd), "");
}

/* The core hears what was asked. */
static unsigned facts_told(void) {
        struct fleet_event event;
        unsigned count = 0;

        for (; facts_take(&facts, &event); count++)
                tell(event);
        return count;
}

/* A report as the supervisor makes it, after the step in which the core said so. */
static void report(enum fleet_report kind, uint64_t generation) {
        control_report(
                &(struct fleet_action){.kind = FLEET_DO_REPORT, .report = kind, .generation = generation},
                "what happened");
}

static void test_a_request_is_answered_when_the_supervisor_serves_and_not_before(void **state) {
        int fd;

        (void)state;
        begin();
        assert_false(control_serve());
        fd = client_connect();
        ask(fd, STATUS);
        hears_nothing(fd);
        assert_true(control_serve());
        hears(fd, "\"phase\":\"idle\"");
        assert_false(control_serve());
        close(fd);
        end();
}

static void test_requests_are_served_one_at_a_time(void **state) {
        int first, second;

        (void)state;
        begin();
        first = client_connect();
        second = client_connect();
        ask(second, STATUS);
        ask(first, STATUS);
        assert_true(control_serve());
        assert_true((heard(first)[0] != '\0') != (heard(second)[0] != '\0'));
        assert_true(control_serve());
        assert_false(control_serve());
        close(first);
        close(second);
        end();
}

static void test_of_two_requests_in_one_packet_the_second_waits_for_the_first_reply(void **state) {
        static const char two[] = STATUS "\0{\"method\":\"org.varlink.service.GetInfo\"}";
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        assert_int_equal(send(fd, two, sizeof two, MSG_NOSIGNAL), sizeof two);
        turn();
        assert_true(control_serve());
        hears(fd, "\"phase\"");
        assert_true(control_serve());
        hears(fd, "\"vendor\"");
        assert_false(control_serve());
        close(fd);
        end();
}

static void test_a_request_in_pieces_is_served_when_it_is_whole(void **state) {
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        assert_int_equal(send(fd, STATUS, 9, MSG_NOSIGNAL), 9);
        turn();
        assert_false(control_serve());
        ask(fd, &STATUS[9]);
        assert_true(control_serve());
        hears(fd, "\"phase\"");
        close(fd);
        end();
}

static void test_a_rotation_is_a_fact_and_without_wait_its_request_is_the_answer(void **state) {
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        ask(fd, ROTATE);
        assert_int_equal(facts.count, 0);
        assert_true(control_serve());
        assert_int_equal(facts.count, 1);
        assert_int_equal(facts.list[facts.first].kind, FLEET_RELOAD);
        assert_false(facts.list[facts.first].is_forced);
        hears(fd, "{}");
        close(fd);
        end();
}

static void test_who_waits_is_answered_by_the_reports_of_the_load_it_asked_for(void **state) {
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        ask(fd, WAIT);
        assert_true(control_serve());
        assert_int_equal(facts_told(), 1);
        expect("load 2");
        hears_nothing(fd);
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = 2, .status = 66});
        report(FLEET_REPORT_LOAD_FAILED, 0);
        hears(fd, "\"result\":\"load_failed\"");
        ask(fd, STATUS); /* and it may ask again */
        assert_true(control_serve());
        hears(fd, "\"phase\"");
        close(fd);
        end();
}

static void test_what_is_sent_after_a_request_that_waits_is_served_after_its_answer(void **state) {
        static const char two[] = WAIT "\0" STATUS;
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        assert_int_equal(send(fd, two, sizeof two, MSG_NOSIGNAL), sizeof two);
        turn();
        assert_true(control_serve());
        assert_int_equal(facts_told(), 1);
        assert_false(control_serve());
        hears_nothing(fd);
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = 2, .status = 66});
        report(FLEET_REPORT_LOAD_FAILED, 0);
        hears(fd, "\"result\":\"load_failed\"");
        assert_true(control_serve());
        hears(fd, "\"phase\"");
        close(fd);
        end();
}

/* The second asks while the first one's load runs, which may have read the files already. */
static void test_who_asks_while_a_load_runs_waits_for_the_next_one(void **state) {
        int first, second;

        (void)state;
        begin();
        first = client_connect();
        second = client_connect();
        ask(first, WAIT);
        assert_true(control_serve());
        assert_int_equal(facts_told(), 1);
        ask(second, WAIT);
        assert_true(control_serve());
        assert_int_equal(facts_told(), 1);
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = 2, .status = 66});
        report(FLEET_REPORT_LOAD_FAILED, 0);
        hears(first, "\"result\":\"load_failed\"");
        hears_nothing(second);
        tell((struct fleet_event){.kind = FLEET_LOAD_FAILED, .load = 3, .status = 66});
        report(FLEET_REPORT_LOAD_FAILED, 0);
        hears(second, "\"result\":\"load_failed\"");
        close(first);
        close(second);
        end();
}

static void test_who_does_not_speak_the_protocol_is_let_go_and_others_are_not(void **state) {
        int rude, polite;

        (void)state;
        begin();
        rude = client_connect();
        polite = client_connect();
        ask(rude, "GET / HTTP/1.1");
        ask(polite, STATUS);
        while (control_serve())
                ;
        assert_string_equal(heard(rude), "gone");
        while (control_serve())
                ;
        hears(polite, "\"phase\"");
        close(rude);
        close(polite);
        end();
}

static void test_one_client_too_many_is_told_so(void **state) {
        int fds[9];

        (void)state;
        begin();
        for (int i = 0; i < 9; i++)
                fds[i] = client_connect();
        turn();
        hears(fds[8], "TooManyClients");
        assert_string_equal(heard(fds[8]), "gone");
        hears_nothing(fds[7]);
        close(fds[0]);
        turn();
        close(fds[8]);
        fds[8] = client_connect();
        ask(fds[8], STATUS);
        assert_true(control_serve());
        hears(fds[8], "\"phase\"");
        for (int i = 1; i < 9; i++)
                close(fds[i]);
        end();
}

static void test_without_secrets_there_is_nothing_to_rotate(void **state) {
        int fd;

        (void)state;
        begin();
        generations.request = NULL;
        fd = client_connect();
        ask(fd, ROTATE);
        assert_true(control_serve());
        hears(fd, "io.tacet.NoSource");
        assert_int_equal(facts.count, 0);
        close(fd);
        end();
}

static void test_the_end_answers_who_still_waits(void **state) {
        int fd;

        (void)state;
        begin();
        fd = client_connect();
        ask(fd, WAIT);
        assert_true(control_serve());
        control_close();
        assert_false(control_serve());
        assert_true(recv(fd, reply, sizeof reply - 1, 0) > 0);
        assert_non_null(strstr(reply, "\"result\":\"stopped\""));
        close(fd);
        end();
}

static void test_nobody_else_may_use_the_socket_while_it_is_served(void **state) {
        struct error error = {0};
        struct control_rooms others = rooms;
        struct stat status;

        (void)state;
        begin();
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        assert_int_equal(control_open(&others, path, &error), -1);
        assert_non_null(strstr(error.text, "another supervisor"));
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_request_is_answered_when_the_supervisor_serves_and_not_before),
                cmocka_unit_test(test_requests_are_served_one_at_a_time),
                cmocka_unit_test(test_of_two_requests_in_one_packet_the_second_waits_for_the_first_reply),
                cmocka_unit_test(test_a_request_in_pieces_is_served_when_it_is_whole),
                cmocka_unit_test(test_a_rotation_is_a_fact_and_without_wait_its_request_is_the_answer),
                cmocka_unit_test(test_who_waits_is_answered_by_the_reports_of_the_load_it_asked_for),
                cmocka_unit_test(test_what_is_sent_after_a_request_that_waits_is_served_after_its_answer),
                cmocka_unit_test(test_who_asks_while_a_load_runs_waits_for_the_next_one),
                cmocka_unit_test(test_who_does_not_speak_the_protocol_is_let_go_and_others_are_not),
                cmocka_unit_test(test_one_client_too_many_is_told_so),
                cmocka_unit_test(test_without_secrets_there_is_nothing_to_rotate),
                cmocka_unit_test(test_the_end_answers_who_still_waits),
                cmocka_unit_test(test_nobody_else_may_use_the_socket_while_it_is_served),
        };
        int failed;

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        snprintf(folder, sizeof folder, "/tmp/tacet-control-XXXXXX");
        if (!mkdtemp(folder))
                return 1;
        snprintf(path, sizeof path, "%s/control", folder);
        failed = cmocka_run_group_tests_name("control", tests, NULL, NULL);
        (void)rmdir(folder);
        return failed;
}
