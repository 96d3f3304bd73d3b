/* Loads of real sources: what they tell the core, what is kept of them, and how one is called off. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/generations/generations.h"

#define LIMIT_NS (20 * NS_PER_S) /* less than a loader waits for its source */

static char folder[64], uri[128];
static struct loop loop;
static struct facts facts;
static struct children children;
static struct load_request request;
static struct generations generations;

static void value_write(const char *value) {
        char path[96];
        int fd;

        snprintf(path, sizeof path, "%s/TOKEN", folder);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, value, strlen(value)), strlen(value));
        close(fd);
}

/* One source: `scheme` and the folder, or what stands in it. */
static void begin(const char *scheme, const char *name) {
        struct error error = {0};

        memset(&facts, 0, sizeof facts);
        memset(&generations, 0, sizeof generations);
        snprintf(uri, sizeof uri, "%s%s%s", scheme, folder, name);
        request = (struct load_request){.captured_environment = -1,
                .sources = {{.name = "test", .uri = uri, .where = "test"}},
                .source_count = 1};
        assert_int_equal(loop_init(&loop, &error), 0);
        generations_open(&generations, &loop, &facts, &children, &request);
}

static void end(void) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;

        generations_cancel(&generations);
        for (uint64_t number = 1; number <= generations.last; number++)
                generations_drop(&generations, number);
        while (!children.has_none && time_now_ns() < limit_ns) {
                children_reap(&children);
                usleep(1000);
        }
        assert_true(children.has_none); /* no loader is left */
        assert_null(children.first);
        assert_int_equal(facts.count, 0);
        loop_deinit(&loop);
}

static struct fleet_event await_fact(void) {
        int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct fleet_event event = {0};

        while (!facts.count && time_now_ns() < limit_ns)
                loop_wait(&loop, limit_ns);
        assert_true(facts_take(&facts, &event));
        assert_int_equal(facts.count, 0);
        children_reap(&children);
        return event;
}

static struct fleet_event load(uint32_t number) {
        struct fleet_event event;

        generations_load(&generations, number);
        event = await_fact();
        assert_int_equal(event.load, number);
        return event;
}

static void assert_loaded(const struct fleet_event *event, uint64_t generation) {
        if (event->kind != FLEET_LOADED)
                fail_msg("%s", generations.load_error);
        assert_int_equal(event->generation, generation);
}

static void test_a_load_brings_a_generation_with_its_digest_and_secrets(void **state) {
        const struct bundle *bundle;
        struct fleet_event event;

        (void)state;
        value_write("one");
        begin("dir:", "");
        event = load(7);
        assert_loaded(&event, 1);
        bundle = generations_bundle(&generations, 1);
        assert_non_null(bundle);
        assert_int_equal(bundle->count, 1);
        assert_memory_equal(event.digest, bundle->digest, sizeof event.digest);
        assert_null(generations_bundle(&generations, 2));
        assert_string_equal(generations.load_error, "");
        end();
}

static void test_equal_secrets_have_equal_digests_and_a_number_of_their_own(void **state) {
        struct fleet_event first, second, third;

        (void)state;
        value_write("one");
        begin("dir:", "");
        first = load(1);
        second = load(2);
        value_write("two");
        third = load(3);
        assert_loaded(&first, 1);
        assert_loaded(&second, 2);
        assert_loaded(&third, 3);
        assert_memory_equal(first.digest, second.digest, sizeof first.digest);
        assert_memory_not_equal(first.digest, third.digest, sizeof first.digest);
        end();
}

static void test_what_is_dropped_is_closed_and_the_others_stay(void **state) {
        int fds[FLEET_GENERATIONS_MAX];
        struct fleet_event event;

        (void)state;
        value_write("one");
        begin("dir:", "");
        event = load(1);
        assert_loaded(&event, 1);
        event = load(2);
        assert_loaded(&event, 2);
        assert_int_equal(generations_descriptors(&generations, fds), 2);
        generations_drop(&generations, 1);
        generations_drop(&generations, 1);
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        assert_true(fcntl(fds[1], F_GETFD) >= 0);
        assert_null(generations_bundle(&generations, 1));
        assert_non_null(generations_bundle(&generations, 2));
        assert_int_equal(generations_descriptors(&generations, fds), 1);
        end();
}

static void test_a_load_that_failed_says_why_and_the_next_one_succeeds(void **state) {
        struct fleet_event event;

        (void)state;
        begin("dir:", "/none");
        event = load(1);
        assert_int_equal(event.kind, FLEET_LOAD_FAILED);
        assert_int_not_equal(event.status, 0);
        assert_non_null(strstr(generations.load_error, folder));
        assert_int_equal(generations.last, 0);
        value_write("one");
        snprintf(uri, sizeof uri, "dir:%s", folder);
        event = load(2);
        assert_loaded(&event, 1);
        assert_string_equal(generations.load_error, "");
        end();
}

static void test_what_a_variable_says_is_kept_over_the_wipe_of_the_environment(void **state) {
        struct fleet_event first, second;

        (void)state;
        begin("dir:", "");
        request.sources[0].uri = "env:TACET_TEST_";
        assert_int_equal(setenv("TACET_TEST_TOKEN", "one", 1), 0);
        first = load(1);
        assert_loaded(&first, 1);
        assert_null(getenv("TACET_TEST_TOKEN"));
        assert_true(request.captured_environment >= 0);
        second = load(2);
        assert_loaded(&second, 2);
        assert_memory_equal(first.digest, second.digest, sizeof first.digest);
        fd_cleanup(&request.captured_environment);
        end();
}

static void test_more_generations_than_there_are_places_fail_to_load(void **state) {
        struct fleet_event event;

        (void)state;
        value_write("one");
        begin("dir:", "");
        for (uint32_t number = 1; number <= FLEET_GENERATIONS_MAX; number++) {
                event = load(number);
                assert_loaded(&event, number);
        }
        event = load(20);
        assert_int_equal(event.kind, FLEET_LOAD_FAILED);
        assert_non_null(strstr(generations.load_error, "generations at once"));
        generations_drop(&generations, 3);
        event = load(21);
        assert_loaded(&event, FLEET_GENERATIONS_MAX + 1);
        end();
}

/* Somebody who takes the question and never answers it. */
static int silent_listen(void) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof address.sun_path, "%s/silent", folder);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, 4), 0);
        return fd;
}

static void silent_close(int fd) {
        char path[96];

        snprintf(path, sizeof path, "%s/silent", folder);
        (void)unlink(path);
        close(fd);
}

static void test_a_load_that_is_called_off_tells_nothing_and_leaves_nobody(void **state) {
        int silent = silent_listen();

        (void)state;
        begin("unix:", "/silent");
        generations_load(&generations, 1);
        assert_true(generations.load.pid > 0);
        assert_non_null(children.first);
        generations_cancel(&generations);
        generations_cancel(&generations);
        assert_int_equal(generations.load.pid, 0);
        assert_int_equal(generations.channel.fd, -1);
        assert_null(children.first);
        end(); /* it has been killed: else it would wait for its deadline */
        silent_close(silent);
}

static void test_the_load_after_one_that_was_called_off_is_answered_for_itself(void **state) {
        int silent = silent_listen();
        struct fleet_event event;

        (void)state;
        begin("unix:", "/silent");
        generations_load(&generations, 1);
        generations_cancel(&generations);
        silent_close(silent);
        value_write("one");
        snprintf(uri, sizeof uri, "dir:%s", folder);
        event = load(2);
        assert_loaded(&event, 1);
        end();
}

static void test_the_loader_that_was_started_early_is_the_one_of_the_first_load(void **state) {
        struct fleet_event event;
        pid_t pid;

        (void)state;
        value_write("one");
        begin("dir:", "");
        generations_load_early(&generations);
        pid = generations.load.pid;
        assert_true(pid > 0);
        generations_load(&generations, 1);
        assert_int_equal(generations.load.pid, pid);
        event = await_fact();
        assert_loaded(&event, 1);
        end();
}

static void test_a_loader_that_was_started_early_and_not_asked_for_is_ended(void **state) {
        int silent = silent_listen();

        (void)state;
        begin("unix:", "/silent");
        generations_load_early(&generations);
        assert_true(generations.load.pid > 0);
        end();
        silent_close(silent);
}

static void test_where_something_is_watched_nothing_is_loaded_early(void **state) {
        (void)state;
        begin("dir:", "");
        request.sources[0].is_watched = true;
        generations_load_early(&generations);
        assert_int_equal(generations.load.pid, 0);
        assert_null(children.first);
        end();
        begin("dir:", "");
        generations.request = NULL;
        generations_load_early(&generations);
        assert_int_equal(generations.load.pid, 0);
        end();
}

static void test_only_the_newest_generation_remembers_when_it_was_asked_for(void **state) {
        struct fleet_event event;
        int64_t before_ns, after_ns;

        (void)state;
        value_write("one");
        begin("dir:", "");
        before_ns = time_now_ns();
        event = load(1);
        after_ns = time_now_ns();
        assert_loaded(&event, 1);
        assert_in_range(generations_asked_ns(&generations, 1), before_ns, after_ns - 1);
        event = load(2);
        assert_loaded(&event, 2);
        after_ns = time_now_ns();
        assert_true(generations_asked_ns(&generations, 1) >= after_ns); /* who goes back asks now */
        assert_true(generations_asked_ns(&generations, 2) < after_ns);
        end();
}

static int folder_make(void **state) {
        (void)state;
        snprintf(folder, sizeof folder, "/tmp/tacet-generations-XXXXXX");
        return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
        char path[96];

        (void)state;
        snprintf(path, sizeof path, "%s/TOKEN", folder);
        (void)unlink(path);
        snprintf(path, sizeof path, "%s/silent", folder);
        (void)unlink(path);
        return rmdir(folder);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_FOLDER(test_a_load_brings_a_generation_with_its_digest_and_secrets),
                IN_FOLDER(test_equal_secrets_have_equal_digests_and_a_number_of_their_own),
                IN_FOLDER(test_what_is_dropped_is_closed_and_the_others_stay),
                IN_FOLDER(test_a_load_that_failed_says_why_and_the_next_one_succeeds),
                IN_FOLDER(test_what_a_variable_says_is_kept_over_the_wipe_of_the_environment),
                IN_FOLDER(test_more_generations_than_there_are_places_fail_to_load),
                IN_FOLDER(test_a_load_that_is_called_off_tells_nothing_and_leaves_nobody),
                IN_FOLDER(test_the_load_after_one_that_was_called_off_is_answered_for_itself),
                IN_FOLDER(test_the_loader_that_was_started_early_is_the_one_of_the_first_load),
                IN_FOLDER(test_a_loader_that_was_started_early_and_not_asked_for_is_ended),
                IN_FOLDER(test_where_something_is_watched_nothing_is_loaded_early),
                IN_FOLDER(test_only_the_newest_generation_remembers_when_it_was_asked_for),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("generations", tests, NULL, NULL);
}
