/* Locks on folders: one holder at a time, bounded waiting, and nothing left behind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/file_lock.h"

static char directory[64];

static int directory_make(void **state) {
        (void)state;
        strcpy(directory, "/tmp/test-lock-XXXXXX");
        return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

/* Fails when a lock has left something behind. */
static int directory_remove(void **state) {
        (void)state;
        return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

static void a_folder_is_locked_by_any_name_in_it_for_one_holder(void **state) {
        char path[128];
        int first = folder_lock("socket", 0);

        (void)state;
        assert_true(first >= 0);
        snprintf(path, sizeof path, "%s/another", directory);
        assert_int_equal(folder_lock(path, 0), -1);
        close(first);
        first = folder_lock(path, 0);
        assert_true(first >= 0);
        assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
        close(first);
}

static void one_that_is_not_let_go_of_is_waited_for_and_then_done_without(void **state) {
        int holder = folder_lock("socket", 0);
        int64_t before_ns = time_now_ns();

        (void)state;
        assert_int_equal(folder_lock("socket", 30 * NS_PER_MS), -1);
        assert_true(time_now_ns() - before_ns >= 30 * NS_PER_MS);
        assert_int_equal(file_lock(-1, NS_FOREVER), -1);
        assert_int_equal(errno, EBADF);
        close(holder);
}

static void where_there_is_no_folder_there_is_no_lock(void **state) {
        static char path[PATH_MAX + 2];

        (void)state;
        assert_int_equal(folder_lock("missing/socket", NS_FOREVER), -1);
        memset(path, '/', sizeof path - 1); /* longer than any path */
        assert_int_equal(folder_lock(path, NS_FOREVER), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_folder_is_locked_by_any_name_in_it_for_one_holder,
                        directory_make, directory_remove),
                cmocka_unit_test_setup_teardown(one_that_is_not_let_go_of_is_waited_for_and_then_done_without,
                        directory_make, directory_remove),
                cmocka_unit_test_setup_teardown(
                        where_there_is_no_folder_there_is_no_lock, directory_make, directory_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
