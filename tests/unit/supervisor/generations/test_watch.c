/* Watching real files with inotify(7): which changes ask for a load, and that many ask for one.
 *
 * There is one watch in a process, so all tests share it: each leaves the files as it found them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/log.h"
#include "supervisor/generations/watch.h"

#define LIMIT_NS (20 * NS_PER_S)
#define TURN_NS  (5 * NS_PER_MS)
#define DELAY_NS (50 * NS_PER_MS)

static char root[] = "/tmp/tacet-watch-XXXXXX";
static char folder_uri[PATH_MAX], file_uri[PATH_MAX], quiet_uri[PATH_MAX], key_path[PATH_MAX];
static struct loop loop;
static struct facts facts;
static struct load_request request;

static void uri_set(char out[static PATH_MAX], const char *scheme, const char *name) {
        snprintf(out, PATH_MAX, "%s%s/%s", scheme, root, name);
}

static void file_write(const char *name) {
        const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
}

static void turn(void) {
        loop_wait(&loop, time_now_ns() + TURN_NS);
}

/* What has happened by now asks for nothing. */
static void expect_nothing(void) {
        turn();
        assert_null(loop.timers);
        assert_int_equal(facts.count, 0);
}

/* Exactly one load, that nobody waits for; nothing is due behind it. */
static void expect_load(void) {
        const int64_t limit_ns = time_now_ns() + LIMIT_NS;
        struct fleet_event event;

        while (!facts.count && time_now_ns() < limit_ns)
                turn();
        assert_true(facts_take(&facts, &event));
        assert_int_equal(event.kind, FLEET_RELOAD);
        assert_true(event.is_quiet);
        assert_false(event.is_forced);
        expect_nothing();
}

/* In a folder of their own: what is watched in one test is not what another touches. */
static int group_begin(void **state) {
        struct error error = {0};

        (void)state;
        if (!mkdtemp(root) || chdir(root) < 0 || mkdir("secrets", 0700) < 0 || mkdir("files", 0700) < 0 ||
                mkdir("keys", 0700) < 0)
                return -1;
        uri_set(folder_uri, "dir:", "secrets");
        uri_set(file_uri, "env-file:", "files/env");
        uri_set(quiet_uri, "env-file:", "files/quiet");
        uri_set(key_path, "", "keys/key");
        request = (struct load_request){
                .captured_environment = -1,
                .sources = {{.name = "folder", .uri = folder_uri, .is_watched = true},
                        {.name = "file", .uri = file_uri, .is_watched = true},
                        {.name = "quiet", .uri = quiet_uri}},
                .source_count = 3,
                .keys = {{.spec = key_path}},
                .key_count = 1,
        };
        file_write("secrets/TOKEN");
        file_write("files/env");
        file_write("files/quiet");
        file_write("keys/key");
        if (loop_init(&loop, &error) < 0)
                return -1;
        watch_open(&loop, &facts, &request, DELAY_NS);
        return 0;
}

static int group_end(void **state) {
        char command[128];

        (void)state;
        loop_deinit(&loop);
        snprintf(command, sizeof command, "rm -r %s", root);
        return system(command);
}

static void test_every_change_of_a_file_in_a_watched_folder_asks_for_a_load(void **state) {
        (void)state;
        expect_nothing();
        file_write("secrets/TOKEN");
        expect_load();
        file_write("secrets/OTHER");
        expect_load();
        assert_int_equal(rename("secrets/OTHER", "secrets/RENAMED"), 0);
        expect_load();
        assert_int_equal(chmod("secrets/RENAMED", 0640), 0);
        expect_load();
        assert_int_equal(unlink("secrets/RENAMED"), 0);
        expect_load();
}

static void test_names_that_are_no_secrets_do_not_matter(void **state) {
        (void)state;
        file_write("secrets/.hidden");
        assert_int_equal(unlink("secrets/.hidden"), 0);
        expect_nothing();
        file_write("neighbour");
        file_write("files/neighbour");
        file_write("keys/neighbour");
        expect_nothing();
}

static void test_a_source_that_is_not_watched_does_not_matter(void **state) {
        (void)state;
        file_write("files/quiet");
        expect_nothing();
}

static void test_a_file_is_watched_in_its_new_shape_when_it_was_replaced(void **state) {
        (void)state;
        for (int i = 0; i < 3; i++) {
                file_write("files/new");
                expect_nothing();
                assert_int_equal(rename("files/new", "files/env"), 0);
                expect_load();
                file_write("files/env");
                expect_load();
        }
}

static void test_a_key_is_watched_with_the_sources(void **state) {
        (void)state;
        file_write("keys/key");
        expect_load();
}

static void test_a_folder_that_went_and_came_again_is_watched_again(void **state) {
        (void)state;
        assert_int_equal(rename("secrets", "away"), 0);
        expect_load();
        file_write("away/TOKEN");
        expect_nothing();
        assert_int_equal(rename("away", "secrets"), 0);
        expect_load();
        file_write("secrets/TOKEN");
        expect_load();
}

/* As the kubelet does: TOKEN -> ..data/TOKEN, and ..data is switched by a rename. */
static void test_a_volume_that_is_switched_is_watched_behind_its_link(void **state) {
        (void)state;
        assert_int_equal(mkdir("secrets/..one", 0700), 0);
        assert_int_equal(mkdir("secrets/..two", 0700), 0);
        file_write("secrets/..one/SWITCHED");
        file_write("secrets/..two/SWITCHED");
        expect_nothing();
        assert_int_equal(symlink("..one", "secrets/..data"), 0);
        expect_load();
        file_write("secrets/..two/SWITCHED");
        expect_nothing();
        assert_int_equal(symlink("..two", "secrets/..new"), 0);
        assert_int_equal(rename("secrets/..new", "secrets/..data"), 0);
        expect_load();
        file_write("secrets/..one/SWITCHED");
        expect_nothing();
        file_write("secrets/..two/SWITCHED");
        expect_load();
        assert_int_equal(unlink("secrets/..data"), 0);
        expect_load();
}

/* After a storm of any length. */
static void calm_await(void) {
        while (loop.timers)
                turn();
        facts_forget(&facts);
}

static void test_changes_are_one_load_when_it_is_quiet(void **state) {
        int64_t first_ns;

        (void)state;
        file_write("secrets/TOKEN");
        file_write("files/env");
        turn();
        first_ns = loop.timers ? loop.timers->deadline_ns : 0;
        file_write("keys/key");
        turn();
        if (facts.count) { /* a machine that stood still for so long */
                calm_await();
                return;
        }
        assert_true(loop.timers && loop.timers->deadline_ns > first_ns);
        expect_load();
}

static void test_a_storm_without_a_pause_is_loaded_all_the_same(void **state) {
        const int64_t begin_ns = time_now_ns();

        (void)state;
        while (!facts.count && time_now_ns() < begin_ns + LIMIT_NS) {
                file_write("secrets/TOKEN");
                turn();
        }
        assert_int_equal(facts.count, 1);
        calm_await();
}

/* A link to itself leads nowhere: the source is loaded every minute, until it can be watched again. */
static void test_what_cannot_be_watched_is_loaded_at_times_until_it_can_be(void **state) {
        const int64_t begin_ns = time_now_ns();
        struct fleet_event event;

        (void)state;
        assert_int_equal(symlink("env", "files/loop"), 0);
        assert_int_equal(rename("files/loop", "files/env"), 0);
        while (!facts.count && time_now_ns() < begin_ns + LIMIT_NS)
                turn();
        assert_true(facts_take(&facts, &event));
        assert_non_null(loop.timers);
        assert_true(loop.timers->deadline_ns > begin_ns + 59 * NS_PER_S);
        watch_load_begins();
        assert_non_null(loop.timers);
        file_write("files/new");
        assert_int_equal(rename("files/new", "files/env"), 0);
        watch_load_begins(); /* somebody else asked for a load */
        assert_null(loop.timers);
        expect_load(); /* the change itself */
        file_write("files/env");
        expect_load();
        watch_load_begins();
        expect_nothing();
}

static void test_where_nothing_is_to_be_watched_nothing_is_opened(void **state) {
        static struct load_request none;

        (void)state;
        watch_open(NULL, NULL, NULL, DELAY_NS);
        watch_open(NULL, NULL, &none, DELAY_NS);
        file_write("secrets/TOKEN"); /* the one that runs is as it was */
        expect_load();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_change_of_a_file_in_a_watched_folder_asks_for_a_load),
                cmocka_unit_test(test_names_that_are_no_secrets_do_not_matter),
                cmocka_unit_test(test_a_source_that_is_not_watched_does_not_matter),
                cmocka_unit_test(test_a_file_is_watched_in_its_new_shape_when_it_was_replaced),
                cmocka_unit_test(test_a_key_is_watched_with_the_sources),
                cmocka_unit_test(test_a_folder_that_went_and_came_again_is_watched_again),
                cmocka_unit_test(test_a_volume_that_is_switched_is_watched_behind_its_link),
                cmocka_unit_test(test_changes_are_one_load_when_it_is_quiet),
                cmocka_unit_test(test_a_storm_without_a_pause_is_loaded_all_the_same),
                cmocka_unit_test(test_what_cannot_be_watched_is_loaded_at_times_until_it_can_be),
                cmocka_unit_test(test_where_nothing_is_to_be_watched_nothing_is_opened),
        };

        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        return cmocka_run_group_tests_name("watch", tests, group_begin, group_end);
}
