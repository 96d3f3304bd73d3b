/* What an instance is answered that removes the file of its socket: it has gone, and the name stays. */

#include "tests/unit/supervisor/adopt/answering.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

static char folder[] = "/tmp/tacet-unlink-XXXXXX";
static struct sockaddr_un path;
static char other_folder[64];
static char stranger[sizeof path.sun_path]; /* a file of the same name in another folder */

/* The path of the socket is adopted, beside the port. */
static void begin_with_path(void) {
        begin();
        reports = ADOPT_REPORTS_PATHS;
        assert_true(socket_address_set(&addresses[1], SOCK_STREAM, (struct sockaddr *)&path, sizeof path));
        rules.adopt_count = 2;
}

static bool is_there(const char *name) {
        struct stat status;

        return lstat(name, &status) == 0;
}

static void stranger_make(void) {
        int fd = open(stranger, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        close(fd);
}

static int binds(void) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        return bind(fd, (const struct sockaddr *)&path, sizeof path) == 0 && listen(fd, 1) == 0 ? 0 : 1;
}

/* As servers do: away with what an earlier one has left, and with our own at the end. */
static int removes_binds_and_removes(void) {
        if (unlink(path.sun_path) < 0)
                return 1;
        if (binds() != 0)
                return 2;
        return unlink(path.sun_path) == 0 ? 0 : 3;
}

static void test_a_socket_that_is_kept_keeps_its_name_whoever_removes_it(void **state) {
        (void)state;
        begin_with_path();
        assert_int_equal(child_run(binds), 0);
        assert_true(is_there(path.sun_path));
        assert_int_equal(child_run_as(removes_binds_and_removes, 2), 0);
        assert_true(is_there(path.sun_path));
        assert_int_equal(listeners.count, 1);
        end();
        assert_false(is_there(path.sun_path)); /* it goes with us */
}

static int removes_by_every_way(void) {
        const char *name = strrchr(path.sun_path, '/') + 1;

        if (unlinkat(AT_FDCWD, path.sun_path, 0) < 0)
                return 1;
        if (chdir(folder) < 0 || unlink(name) < 0)
                return 2;
        return unlinkat(AT_FDCWD, name, 0) == 0 ? 0 : 3;
}

static void test_every_way_to_name_it_is_the_same(void **state) {
        (void)state;
        begin_with_path();
        assert_int_equal(child_run(binds), 0);
        assert_int_equal(child_run(removes_by_every_way), 0);
        assert_true(is_there(path.sun_path));
        end();
}

static int removes(void) {
        return unlink(path.sun_path) == 0 ? 0 : errno;
}

static void test_a_name_that_no_socket_of_ours_has_is_the_apps_own(void **state) {
        int fd;

        (void)state;
        begin_with_path();
        assert_int_equal(child_run(removes), ENOENT);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&path, sizeof path), 0);
        assert_int_equal(child_run(removes), 0);
        assert_false(is_there(path.sun_path));
        close(fd);
        end();
}

static int removes_strangers(void) {
        return unlink(stranger) == 0 ? 0 : errno;
}

static void test_a_file_of_that_name_elsewhere_is_the_apps_own(void **state) {
        (void)state;
        begin_with_path();
        assert_int_equal(child_run(binds), 0);
        stranger_make();
        assert_int_equal(child_run(removes_strangers), 0);
        assert_false(is_there(stranger));
        assert_int_equal(child_run(removes_strangers), ENOENT);
        end();
}

/* Where the working directory has the socket, and the open one a file of its name. */
static int removes_below_a_descriptor(void) {
        int fd = open(other_folder, O_PATH | O_DIRECTORY);

        if (chdir(folder) < 0)
                return 1;
        return unlinkat(fd, strrchr(path.sun_path, '/') + 1, 0) == 0 ? 0 : 2;
}

static void test_a_name_below_an_open_directory_is_not_followed(void **state) {
        (void)state;
        begin_with_path();
        assert_int_equal(child_run(binds), 0);
        stranger_make();
        assert_int_equal(child_run(removes_below_a_descriptor), 0);
        assert_false(is_there(stranger));
        assert_true(is_there(path.sun_path));
        end();
}

static int removes_a_directory(void) {
        return unlinkat(AT_FDCWD, path.sun_path, AT_REMOVEDIR) == 0 ? 0 : errno;
}

static int removes_nonsense(void) {
        return unlink((const char *)8) == 0 ? 0 : errno; // NOLINT(performance-no-int-to-ptr): a bad address
}

static void test_what_was_an_error_is_one(void **state) {
        (void)state;
        begin_with_path();
        assert_int_equal(child_run(binds), 0);
        assert_int_equal(child_run(removes_a_directory), ENOTDIR);
        assert_int_equal(child_run(removes_nonsense), EFAULT);
        assert_true(is_there(path.sun_path));
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_socket_that_is_kept_keeps_its_name_whoever_removes_it),
                cmocka_unit_test(test_every_way_to_name_it_is_the_same),
                cmocka_unit_test(test_a_name_that_no_socket_of_ours_has_is_the_apps_own),
                cmocka_unit_test(test_a_file_of_that_name_elsewhere_is_the_apps_own),
                cmocka_unit_test(test_a_name_below_an_open_directory_is_not_followed),
                cmocka_unit_test(test_what_was_an_error_is_one),
        };
        int failed;

        if (!mkdtemp(folder))
                return 1;
        snprintf(other_folder, sizeof other_folder, "%s/other", folder);
        if (mkdir(other_folder, 0700) < 0)
                return 1;
        path.sun_family = AF_UNIX;
        snprintf(path.sun_path, sizeof path.sun_path, "%s/app.sock", folder);
        snprintf(stranger, sizeof stranger, "%s/app.sock", other_folder);
        log_setup(LOG_FORMAT_PLAIN, LOG_ERROR, "test");
        failed = cmocka_run_group_tests_name("adopt_unlink", tests, NULL, NULL);
        (void)unlink(stranger);
        (void)unlink(path.sun_path);
        (void)rmdir(other_folder);
        (void)rmdir(folder);
        return failed;
}
