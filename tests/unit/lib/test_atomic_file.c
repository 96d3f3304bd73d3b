/* Atomic replacement: what is kept, what is refused, and that a failure leaves the old file and nothing
 * else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/atomic_file.h"
#include "lib/duration.h"
#include "lib/fd.h"

static char directory[64];

static int directory_make(void **state) {
        (void)state;
        strcpy(directory, "/tmp/test-atomic-XXXXXX");
        return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static size_t directory_count(void) {
        DIR *open = opendir(directory);
        size_t count = 0;

        while (readdir(open))
                count++;
        closedir(open);
        return count - 2;
}

static int directory_remove(void **state) {
        static const char *const names[] = {"file", "link", "loose", "sub/file", "sub"};

        (void)state;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                (void)remove(names[i]);
        return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

static void file_put(const char *name, const char *text, mode_t mode) {
        int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void file_is(const char *name, const char *text) {
        char got[64] = {0};
        int fd = open(name, O_RDONLY);

        assert_true(fd >= 0);
        assert_true(fd_read_full(fd, got, sizeof got - 1) >= 0);
        close(fd);
        assert_string_equal(got, text);
}

static int replace(const char *name, const char *text, struct error *error) {
        struct atomic_file file;
        int result = atomic_file_open(&file, name, 0, error);

        if (result == 0 || result == ATOMIC_FILE_NEW)
                result = atomic_file_replace(
                        &file, (struct bytes){(const uint8_t *)text, strlen(text)}, 0640, error);
        atomic_file_close(&file);
        return result;
}

static void an_old_file_keeps_mode_and_owner(void **state) {
        struct error error;
        struct stat status;

        (void)state;
        file_put("file", "old", 0604);
        if (geteuid() == 0)
                assert_int_equal(chown("file", 1234, 4321), 0);
        assert_int_equal(replace("file", "new", &error), 0);
        file_is("file", "new");
        assert_int_equal(stat("file", &status), 0);
        assert_int_equal(status.st_mode & 07777, 0604);
        if (geteuid() == 0) {
                assert_int_equal(status.st_uid, 1234);
                assert_int_equal(status.st_gid, 4321);
        }
        assert_int_equal(directory_count(), 1);
}

static void a_new_file_gets_the_mode_asked_for(void **state) {
        struct error error;
        struct stat status;

        (void)state;
        assert_int_equal(replace("./file", "new", &error), 0);
        file_is("file", "new");
        assert_int_equal(stat("file", &status), 0);
        assert_int_equal(status.st_mode & 07777, 0640);
        assert_int_equal(directory_count(), 1);
}

static void a_symbolic_link_stays_and_its_target_is_replaced(void **state) {
        struct error error;
        struct stat status;

        (void)state;
        assert_int_equal(mkdir("sub", 0700), 0);
        file_put("sub/file", "old", 0600);
        assert_int_equal(symlink("sub/file", "link"), 0);
        assert_int_equal(replace("link", "new", &error), 0);
        file_is("sub/file", "new");
        assert_int_equal(lstat("link", &status), 0);
        assert_true(S_ISLNK(status.st_mode));
        assert_int_equal(remove("sub/file"), 0);
        assert_int_equal(replace("link", "new", &error), -1);
        assert_non_null(strstr(error.text, "symbolic link to a file that does not exist"));
}

static void what_is_not_a_regular_file_is_refused(void **state) {
        struct error error;

        (void)state;
        assert_int_equal(replace("/dev/null", "new", &error), -1);
        assert_non_null(strstr(error.text, "not a regular file"));
        assert_int_equal(replace(".", "new", &error), -1);
        assert_int_equal(replace("nowhere/file", "new", &error), -1);
        assert_non_null(strstr(error.text, "nowhere"));
}

static void two_creators_cannot_both_create(void **state) {
        struct atomic_file one, two;
        struct error error;

        (void)state;
        assert_int_equal(atomic_file_open(&one, "file", 0, &error), ATOMIC_FILE_NEW);
        assert_int_equal(atomic_file_open(&two, "file", 0, &error), ATOMIC_FILE_NEW);
        assert_int_equal(atomic_file_replace(&one, BYTES_OF("one"), 0600, &error), 0);
        assert_int_equal(atomic_file_replace(&two, BYTES_OF("two"), 0600, &error), ATOMIC_FILE_EXISTS);
        atomic_file_close(&two);
        assert_int_equal(atomic_file_open(&two, "file", 0, &error), ATOMIC_FILE_BUSY);
        atomic_file_close(&two);
        atomic_file_close(&one);
        file_is("file", "one");
        assert_int_equal(directory_count(), 1);
}

static void the_lock_follows_the_name_to_the_new_file(void **state) {
        struct atomic_file file;
        struct error error;
        int status;
        pid_t other;

        (void)state;
        file_put("file", "0", 0600);
        assert_int_equal(atomic_file_open(&file, "file", 0, &error), 0);
        other = fork();
        if (other == 0) {
                struct atomic_file mine;
                char text[8] = {0};

                /* An flock(2) belongs to all copies of its descriptor. */
                atomic_file_close(&file);
                if (atomic_file_open(&mine, "file", 10 * NS_PER_S, &error) != 0 ||
                        read(mine.target, text, sizeof text) != 1 || text[0] != '2')
                        _exit(1);
                _exit(0);
        }
        usleep(50000);
        assert_int_equal(atomic_file_replace(&file, BYTES_OF("1"), 0600, &error), 0);
        usleep(50000);
        assert_true(atomic_file_is_current(&file));
        assert_int_equal(atomic_file_replace(&file, BYTES_OF("2"), 0600, &error), 0);
        atomic_file_close(&file);
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
}

static void a_full_disk_leaves_the_old_file_and_nothing_else(void **state) {
        struct error error;
        struct rlimit before, small;
        static char large[4096];

        (void)state;
        memset(large, 'x', sizeof large - 1);
        file_put("file", "old", 0600);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur = 1000;
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(replace("file", large, &error), -1);
        assert_int_equal(replace("loose", large, &error), -1);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        signal(SIGXFSZ, SIG_DFL);
        assert_non_null(strstr(error.text, "File too large"));
        file_is("file", "old");
        assert_int_equal(directory_count(), 1);
}

static void an_owner_that_cannot_be_kept_is_an_error(void **state) {
        struct error error;
        int status;
        pid_t child;

        (void)state;
        if (geteuid() != 0)
                skip();
        file_put("file", "old", 0666);
        assert_int_equal(chmod(directory, 0777), 0);
        child = fork();
        if (child == 0)
                _exit(setgid(65534) || setuid(65534) || replace("file", "new", &error) != -1 ||
                        !strstr(error.text, "keep the owner"));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        file_is("file", "old");
        assert_int_equal(directory_count(), 1);
}

static void a_file_replaced_behind_the_lock_is_noticed(void **state) {
        struct atomic_file file;
        struct error error;

        (void)state;
        file_put("file", "old", 0600);
        assert_int_equal(atomic_file_open(&file, "file", 0, &error), 0);
        assert_true(atomic_file_is_current(&file));
        file_put("loose", "new", 0600);
        assert_int_equal(rename("loose", "file"), 0);
        assert_false(atomic_file_is_current(&file));
        atomic_file_close(&file);
        atomic_file_close(&file);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, directory_make, directory_remove)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_DIRECTORY(an_old_file_keeps_mode_and_owner),
                IN_DIRECTORY(a_new_file_gets_the_mode_asked_for),
                IN_DIRECTORY(a_symbolic_link_stays_and_its_target_is_replaced),
                IN_DIRECTORY(what_is_not_a_regular_file_is_refused),
                IN_DIRECTORY(two_creators_cannot_both_create),
                IN_DIRECTORY(the_lock_follows_the_name_to_the_new_file),
                IN_DIRECTORY(a_full_disk_leaves_the_old_file_and_nothing_else),
                IN_DIRECTORY(an_owner_that_cannot_be_kept_is_an_error),
                IN_DIRECTORY(a_file_replaced_behind_the_lock_is_noticed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
