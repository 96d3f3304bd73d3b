/* memory_limit_bytes() over made-up trees of /proc and control groups. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory_limit.h"

#define V2_MOUNT "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static char root[64];

static int root_make(void **state) {
        (void)state;
        strcpy(root, "/tmp/tacet-test-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk) {
        (void)status;
        (void)type;
        (void)walk;
        return remove(path);
}

static int root_remove(void **state) {
        (void)state;
        return nftw(root, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Write root/path, making the folders on the way. */
static void put(const char *path, const char *text) {
        char full[512];
        FILE *file;

        snprintf(full, sizeof full, "%s/%s", root, path);
        for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
                *at = '\0';
                mkdir(full, 0700);
        }
        file = fopen(full, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

static void test_without_proc_no_limit_is_known(void **state) {
        (void)state;
        assert_int_equal(memory_limit_bytes(root), 0);
}

static void test_the_group_of_version_2_has_a_limit(void **state) {
        (void)state;
        put("proc/self/cgroup", "0::/app\n");
        put("proc/self/mountinfo", "29 1 0:5 / /proc rw - proc proc rw\n" V2_MOUNT);
        put("sys/fs/cgroup/app/memory.max", "268435456\n");
        assert_int_equal(memory_limit_bytes(root), 268435456);
}

static void test_a_parent_with_less_wins_over_the_group(void **state) {
        (void)state;
        put("proc/self/cgroup", "0::/slice/app\n");
        put("proc/self/mountinfo", V2_MOUNT);
        put("sys/fs/cgroup/slice/app/memory.max", "max\n");
        put("sys/fs/cgroup/slice/memory.max", "1000\n");
        put("sys/fs/cgroup/memory.max", "2000\n");
        assert_int_equal(memory_limit_bytes(root), 1000);
}

static void test_no_limit_anywhere_is_none(void **state) {
        (void)state;
        put("proc/self/cgroup", "0::/\n");
        put("proc/self/mountinfo", V2_MOUNT);
        put("sys/fs/cgroup/memory.max", "max\n");
        assert_int_equal(memory_limit_bytes(root), 0);
}

static void test_version_1_is_asked_too_and_the_smaller_counts(void **state) {
        (void)state;
        put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/1\n1:name=systemd:/\n0::/u\n");
        put("proc/self/mountinfo", V1_MOUNT "32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n");
        put("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
        put("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "5000\n");
        put("sys/fs/cgroup/unified/u/memory.max", "6000\n");
        assert_int_equal(memory_limit_bytes(root), 5000);
}

static void test_a_container_sees_its_group_as_the_root_of_the_mount(void **state) {
        (void)state;
        put("proc/self/cgroup", "4:memory:/docker/1\n");
        put("proc/self/mountinfo",
                "31 24 0:27 /docker/1 /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n");
        put("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n");
        assert_int_equal(memory_limit_bytes(root), 7000);
}

static void test_a_group_outside_the_mount_falls_back_to_its_root(void **state) {
        (void)state;
        put("proc/self/cgroup", "0::/../sibling\n");
        put("proc/self/mountinfo", V2_MOUNT);
        put("sys/fs/cgroup/memory.max", "8000\n");
        assert_int_equal(memory_limit_bytes(root), 8000);
}

static void test_a_mount_point_with_a_blank_is_found(void **state) {
        (void)state;
        put("proc/self/cgroup", "0::/a\n");
        put("proc/self/mountinfo", "30 24 0:26 / /my\\040groups rw - cgroup2 none rw\n");
        put("my groups/a/memory.max", "9000\n");
        assert_int_equal(memory_limit_bytes(root), 9000);
}

static void test_damaged_files_mean_no_limit(void **state) {
        (void)state;
        put("proc/self/cgroup", "0\n::\n0:/a\n0::a\n");
        put("proc/self/mountinfo", "x\n1 2 3 4 5 6 - cgroup2\n- - - - - -\n");
        assert_int_equal(memory_limit_bytes(root), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, root_make, root_remove)
                TEST(test_without_proc_no_limit_is_known),
                TEST(test_the_group_of_version_2_has_a_limit),
                TEST(test_a_parent_with_less_wins_over_the_group),
                TEST(test_no_limit_anywhere_is_none),
                TEST(test_version_1_is_asked_too_and_the_smaller_counts),
                TEST(test_a_container_sees_its_group_as_the_root_of_the_mount),
                TEST(test_a_group_outside_the_mount_falls_back_to_its_root),
                TEST(test_a_mount_point_with_a_blank_is_found),
                TEST(test_damaged_files_mean_no_limit),
        };

        return cmocka_run_group_tests_name("memory limit", tests, NULL, NULL);
}
