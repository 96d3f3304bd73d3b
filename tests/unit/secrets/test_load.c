/* Loading from files and folders: one generation, its order, its warnings, its refusals. */

#include "tests/unit/secrets/loading.h"

/* ---- files ---- */

static void test_a_document_becomes_sorted_strings_and_an_inventory(void **state) {
        static const char expected[] = "A=1\0B=two words\0C=3";

        (void)state;
        text_write("f", "B=two words\nC=3\nA=1\n");
        source_add("env-file:", path_of("f"));
        load_expect();
        assert_int_equal(result.bundle.count, 3);
        assert_int_equal(view.count, 3);
        assert_int_equal(view.bytes, sizeof expected);
        assert_memory_equal(view.strings, expected, sizeof expected);
        assert_int_equal(result.item_count, 3);
        assert_string_equal(result.items[1].name, "B");
        assert_int_equal(result.items[1].value_bytes, 9);
        assert_int_equal(result.items[1].line, 1);
        assert_int_equal(strlen(result.items[1].fingerprint), 8);
        assert_string_equal(result.warning, "");
        assert_false(result.is_unlocked);
}

static void test_the_later_source_wins_and_is_counted(void **state) {
        (void)state;
        text_write("one", "A=1\nB=1\n");
        text_write("two", "B=2\nC=2\n");
        text_write("three", "B=3\n");
        source_add("env-file:", path_of("one"));
        source_add("env-file:", path_of("two"));
        source_add("env-file:", path_of("three"));
        load_expect();
        assert_int_equal(result.bundle.count, 3);
        assert_string_equal(value_of("B"), "3");
        assert_string_equal(value_of("C"), "2");
        assert_int_equal(item_of("B")->source, 2);
        assert_int_equal(item_of("B")->shadowed, 2);
        assert_int_equal(item_of("A")->shadowed, 0);
}

static void test_the_digest_follows_names_and_values_and_the_key(void **state) {
        uint8_t first[BUNDLE_DIGEST_BYTES];
        char fingerprint[9];

        (void)state;
        text_write("f", "A=1\nB=2\n");
        source_add("env-file:", path_of("f"));
        load_expect();
        memcpy(first, result.bundle.digest, sizeof first);
        memcpy(fingerprint, item_of("A")->fingerprint, sizeof fingerprint);
        text_write("f", "# other order\nB=2\nA=1\n");
        load_expect();
        assert_memory_equal(result.bundle.digest, first, sizeof first);
        assert_string_equal(item_of("A")->fingerprint, fingerprint);
        text_write("f", "A=1\nB=3\n");
        load_expect();
        assert_memory_not_equal(result.bundle.digest, first, sizeof first);
        assert_string_equal(item_of("A")->fingerprint, fingerprint);
        text_write("f", "A=1\nB=2\n");
        request.digest_key[0] ^= 1;
        load_expect();
        assert_memory_not_equal(result.bundle.digest, first, sizeof first);
        assert_string_not_equal(item_of("A")->fingerprint, fingerprint);
}

static void test_dialects_are_as_asked(void **state) {
        (void)state;
        text_write("f", "A=\"x\"\n");
        source_add("env-file:", path_of("f"));
        load_expect();
        assert_string_equal(value_of("A"), "\"x\"");
        request.sources[0].dialect = &dialect_tacet;
        load_expect();
        assert_string_equal(value_of("A"), "x");
        text_write("f", "{\"A\":\"y\"}");
        request.sources[0].dialect = &dialect_json;
        load_expect();
        assert_string_equal(value_of("A"), "y");
}

static void test_an_open_plaintext_file_is_warned_about(void **state) {
        (void)state;
        text_write("f", "A=x\n");
        assert_int_equal(chmod(path_of("f"), 0644), 0);
        assert_int_equal(mkdir(path_of(".git"), 0700), 0);
        source_add("env-file:", path_of("f"));
        load_expect();
        assert_non_null(strstr(result.warning, "plaintext that others can read (mode 0644)"));
        assert_non_null(strstr(result.warning, "git work tree"));
}

static void test_files_that_are_none_are_refused_at_once(void **state) {
        (void)state;
        assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
        source_add("env-file:", path_of("fifo"));
        failure_expect("is a FIFO, not a regular file");
        assert_int_equal(error.status, EXIT_STATUS_NO_SOURCE);
        request.source_count = 0;
        source_add("env-file:", folder);
        failure_expect("is a directory, not a regular file");
        request.source_count = 0;
        source_add("env-file:", "/dev/zero");
        failure_expect("is a device, not a regular file");
        request.source_count = 0;
        source_add("age:", path_of("nothing"));
        key_add("/dev/null");
        failure_expect("is a device, not a regular file");
        request.key_count = 0;
        text_write("key", "");
        request.source_count = 0;
        source_add("env-file:", path_of("nothing"));
        failure_expect("/nothing': No such file or directory");
        assert_int_equal(error.status, EXIT_STATUS_NO_SOURCE);
}

static void test_empty_and_large_files_are_refused(void **state) {
        char *text = malloc(5001);

        (void)state;
        text_write("f", "");
        source_add("env-file:", path_of("f"));
        failure_expect("holds no variable");
        memset(text, '#', 5001);
        file_write("f", text, 5001);
        request.source_bytes_max = 5000;
        failure_expect("more than 5000 bytes");
        memcpy(text, "A=b\n", 4);
        file_write("f", text, 5000);
        load_expect();
        assert_string_equal(value_of("A"), "b");
        free(text);
}

static void test_errors_of_a_named_source_say_which_and_where(void **state) {
        (void)state;
        text_write("f", "A=1\n\nA=2\n");
        source_add("env-file:", path_of("f"));
        request.sources[0].name = "db";
        request.sources[0].where = "api.ini:12";
        failure_expect("api.ini:12: source 'db': /tmp/test_load.");
        failure_expect("/f:3: A: the name is already on line 1");
        assert_int_equal(error.status, EXIT_STATUS_DATA);
}

static void test_more_than_execve_takes_names_the_biggest(void **state) {
        (void)state;
        text_write("f", "A=1\nBIG=0123456789\nBIGGER=01234567890\nC=1\nD=22\n");
        source_add("env-file:", path_of("f"));
        request.environment_bytes_max = 86;
        failure_expect("5 variables take 87 bytes, execve(2) leaves room for 86; the biggest: BIGGER 19, BIG "
                       "15, D 5");
        request.environment_bytes_max = 87;
        load_expect();
}

/* ---- directories ---- */

static void test_a_directory_gives_one_variable_per_file(void **state) {
        (void)state;
        mkdir(path_of("d"), 0700);
        mkdir(path_of("d/folder"), 0700);
        text_write("d/PLAIN", "one");
        text_write("d/LINE", "two\n");
        text_write("d/LINES", "a\nb\n\n");
        text_write("d/.hidden", "no");
        assert_int_equal(symlink("PLAIN", path_of("d/LINKED")), 0);
        source_add("dir:", path_of("d"));
        load_expect();
        assert_int_equal(result.bundle.count, 4);
        assert_string_equal(value_of("PLAIN"), "one");
        assert_string_equal(value_of("LINE"), "two");
        assert_string_equal(value_of("LINES"), "a\nb\n");
        assert_string_equal(value_of("LINKED"), "one");
        assert_int_equal(item_of("LINE")->line, 0);
}

static void test_bad_entries_of_a_directory_are_named(void **state) {
        (void)state;
        mkdir(path_of("d"), 0700);
        source_add("dir:", path_of("d"));
        failure_expect("holds no variable");
        text_write("d/tls.crt", "canary");
        failure_expect("/d/tls.crt': the file's name is not a variable name");
        unlink(path_of("d/tls.crt"));
        text_write("d/EMPTY", "\n");
        failure_expect("/d/EMPTY: EMPTY: the value is empty (0 bytes)");
        file_write("d/EMPTY", "canary\0x", 8);
        failure_expect("/d/EMPTY: EMPTY: the value (8 bytes) holds a NUL");
        unlink(path_of("d/EMPTY"));
        mkfifo(path_of("d/PIPE"), 0600);
        failure_expect("/d/PIPE' is a FIFO");
}

static void test_a_kubernetes_mount_is_read_as_one_generation(void **state) {
        (void)state;
        mkdir(path_of("m"), 0700);
        mkdir(path_of("m/..one"), 0700);
        mkdir(path_of("m/..two"), 0700);
        text_write("m/..one/A", "1");
        text_write("m/..two/A", "2");
        assert_int_equal(symlink("..one", path_of("m/..data")), 0);
        assert_int_equal(symlink("..data/A", path_of("m/A")), 0);
        source_add("dir:", path_of("m"));
        load_expect();
        assert_string_equal(value_of("A"), "1");
        assert_int_equal(symlink("..two", path_of("m/..data_tmp")), 0);
        assert_int_equal(rename(path_of("m/..data_tmp"), path_of("m/..data")), 0);
        load_expect();
        assert_int_equal(result.bundle.count, 1);
        assert_string_equal(value_of("A"), "2");
}

/* Swap the mount's generation as the kubelet does, over and over. */
static pid_t kubelet_start(void) {
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (unsigned n = 0;; n++) {
                char fresh[32], stale[32], name[64], value[16];

                snprintf(fresh, sizeof fresh, "m/..g%u", n);
                mkdir(path_of(fresh), 0700);
                for (int i = 0; i < 8; i++) {
                        snprintf(name, sizeof name, "%s/V%d", fresh, i);
                        snprintf(value, sizeof value, "%u", n);
                        file_write(name, value, strlen(value));
                }
                if (symlink(fresh + 2, path_of("m/..data_tmp")) < 0 ||
                        rename(path_of("m/..data_tmp"), path_of("m/..data")) < 0)
                        _exit(1);
                snprintf(stale, sizeof stale, "m/..g%u", n - 1);
                for (int i = 0; n > 0 && i < 8; i++) {
                        snprintf(name, sizeof name, "%s/V%d", stale, i);
                        unlink(path_of(name));
                }
                rmdir(path_of(stale));
                usleep(1000);
        }
}

static void test_a_link_leads_only_to_what_its_owner_owns(void **state) {
        (void)state;
        if (geteuid() != 0)
                skip();
        mkdir(path_of("d"), 0777);
        text_write("rootonly", "canary");
        text_write("theirs", "their own");
        assert_int_equal(chown(path_of("theirs"), 65534, 65534), 0);
        source_add("dir:", path_of("d"));
        assert_int_equal(symlink("../rootonly", path_of("d/A")), 0);
        load_expect();
        assert_string_equal(value_of("A"), "canary");
        assert_int_equal(lchown(path_of("d/A"), 65534, 65534), 0);
        failure_expect("Operation not permitted");
        unlink(path_of("d/A"));
        assert_int_equal(symlink("../theirs", path_of("d/A")), 0);
        assert_int_equal(lchown(path_of("d/A"), 65534, 65534), 0);
        load_expect();
        assert_string_equal(value_of("A"), "their own");
        unlink(path_of("d/A"));
        mkdir(path_of("private"), 0700);
        text_write("private/B", "canary");
        assert_int_equal(symlink("../private", path_of("d/..data")), 0);
        load_expect();
        assert_int_equal(lchown(path_of("d/..data"), 65534, 65534), 0);
        failure_expect("Operation not permitted");
}

static void test_a_swap_during_the_read_never_mixes_generations(void **state) {
        int loaded = 0;
        pid_t pid;

        (void)state;
        mkdir(path_of("m"), 0700);
        source_add("dir:", path_of("m"));
        pid = kubelet_start();
        for (int i = 0; i < 60 || (loaded == 0 && i < 2000); i++) {
                if (load() < 0) {
                        /* Before the first swap there is nothing; too many moves say so. */
                        if (!strstr(error.text, "holds no variable") && !strstr(error.text, "moved 5 times"))
                                fail_msg("%s", error.text);
                        continue;
                }
                loaded++;
                assert_int_equal(bundle_map(&result.bundle, &view, &error), 0);
                assert_int_equal(view.count, 8);
                for (int n = 1; n < 8; n++) {
                        char name[8];

                        snprintf(name, sizeof name, "V%d", n);
                        assert_string_equal(value_of(name), value_of("V0"));
                }
                munmap(view.strings, view.bytes);
                view.strings = NULL;
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_true(loaded > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_a_document_becomes_sorted_strings_and_an_inventory),
                CASE(test_the_later_source_wins_and_is_counted),
                CASE(test_the_digest_follows_names_and_values_and_the_key),
                CASE(test_dialects_are_as_asked),
                CASE(test_an_open_plaintext_file_is_warned_about),
                CASE(test_files_that_are_none_are_refused_at_once),
                CASE(test_empty_and_large_files_are_refused),
                CASE(test_errors_of_a_named_source_say_which_and_where),
                CASE(test_more_than_execve_takes_names_the_biggest),
                CASE(test_a_directory_gives_one_variable_per_file),
                CASE(test_bad_entries_of_a_directory_are_named),
                CASE(test_a_kubernetes_mount_is_read_as_one_generation),
                CASE(test_a_link_leads_only_to_what_its_owner_owns),
                CASE(test_a_swap_during_the_read_never_mixes_generations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
