/* Whole loads: every kind of source and key, what goes wrong with each, and what the parent is left with. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "secrets/age/age.h"
#include "secrets/load.h"

static char folder[64];
static struct load_request request;
static struct load_result result;
static struct error error;
static struct bundle_view view;

/* ---- helpers ---- */

static const char *path_of(const char *name) {
        static char paths[8][160];
        static unsigned next;
        char *path = paths[next++ % 8];

        snprintf(path, sizeof paths[0], "%s/%s", folder, name);
        return path;
}

static void file_write(const char *name, const void *bytes, size_t length) {
        int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, bytes, length), 0);
        close(fd);
}

static void text_write(const char *name, const char *text) {
        file_write(name, text, strlen(text));
}

static void source_add(const char *scheme, const char *rest) {
        static char uris[LOAD_SOURCES_MAX][256];
        char *uri = uris[request.source_count];

        snprintf(uri, sizeof uris[0], "%s%s", scheme, rest);
        request.sources[request.source_count++] =
                (struct load_source){.name = uri, .uri = uri, .where = "command line"};
}

static void key_add(const char *spec) {
        request.keys[request.key_count++] = (struct load_key){.spec = spec, .where = "command line"};
}

static int setup(void **state) {
        (void)state;
        snprintf(folder, sizeof folder, "/tmp/test_load.XXXXXX");
        assert_non_null(mkdtemp(folder));
        memset(&request, 0, sizeof request);
        memset(&result, 0, sizeof result);
        memset(&error, 0, sizeof error);
        request.captured_environment = -1;
        request.wants_inventory = true;
        request.deadline_ns = 5 * NS_PER_S;
        memset(request.digest_key, 7, sizeof request.digest_key);
        result.captured_environment = -1;
        bundle_init(&result.bundle);
        return 0;
}

static int teardown(void **state) {
        char command[128];

        (void)state;
        load_result_deinit(&result);
        if (view.strings)
                munmap(view.strings, view.bytes);
        view.strings = NULL;
        snprintf(command, sizeof command, "rm -rf %s", folder);
        return system(command);
}

/* One load, to its end; also waits for the child and checks that no descriptor stays open after a failure. */
static int load(void) {
        struct load_process process;
        int status, answer, before = dup(0);

        load_result_deinit(&result);
        close(before);
        answer = load_start(&request, &process, &error);
        if (answer == 0) {
                answer = load_finish(&process, &result, &error);
                assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
        }
        if (answer < 0) {
                int after = dup(0);

                assert_int_equal(after, before);
                close(after);
        }
        return answer;
}

static void load_expect(void) {
        if (load() < 0)
                fail_msg("%s", error.text);
        if (view.strings)
                munmap(view.strings, view.bytes);
        view.strings = NULL;
        assert_int_equal(bundle_map(&result.bundle, &view, &error), 0);
}

static void failure_expect(const char *text) {
        if (load() == 0)
                fail_msg("the load succeeded instead of: %s", text);
        if (!strstr(error.text, text))
                fail_msg("'%s' does not say '%s'", error.text, text);
        assert_null(strstr(error.text, "canary"));
        assert_null(strstr(error.hint, "canary"));
}

static const char *value_of(const char *name) {
        for (const char *at = view.strings; at < view.strings + view.bytes; at += strlen(at) + 1)
                if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
                        return at + strlen(name) + 1;
        return "(absent)";
}

static const struct load_item *item_of(const char *name) {
        for (size_t i = 0; i < result.item_count; i++)
                if (strcmp(result.items[i].name, name) == 0)
                        return &result.items[i];
        fail_msg("%s is not in the inventory", name);
        return NULL;
}

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

/* ---- age and keys ---- */

static void age_write(const char *name, const char *text, const struct age_recipients *recipients) {
        struct age_file file;

        assert_int_equal(age_seal((struct bytes){(const uint8_t *)text, strlen(text)}, recipients, false,
                                 &file, &error),
                0);
        file_write(name, file.at, file.length);
        free(file.at);
}

/* An identity in the file `key`, and an age file `f.age` for it. */
static void age_prepare(const char *document) {
        CLEANUP_ARENA struct arena arena = {0};
        struct age_recipients recipients = {0};
        struct secret_bytes identity;
        char recipient[AGE_RECIPIENT_TEXT_BYTES];

        assert_int_equal(arena_init(&arena, 1 << 20, &error), 0);
        assert_int_equal(age_keygen(&arena, &identity, recipient, &error), 0);
        assert_int_equal(age_recipients_add(&recipients, recipient, &arena, &error), 0);
        file_write("key", identity.at, identity.length);
        age_write("f.age", document, &recipients);
        mkdir(path_of("v"), 0700);
        age_write("v/TOKEN.age", "canary-token\n", &recipients);
        text_write("v/README", "not ours");
}

static void test_an_age_document_opens_with_an_identity_file(void **state) {
        (void)state;
        age_prepare("A='x\ny'\nB:base64=eA==\n");
        source_add("age:", path_of("f.age"));
        key_add(path_of("key"));
        load_expect();
        assert_string_equal(value_of("A"), "x\ny");
        assert_string_equal(value_of("B"), "x");
        assert_int_equal(item_of("B")->line, 3);
}

static void test_fingerprints_follow_the_identity_not_the_parent(void **state) {
        char fingerprint[9];

        (void)state;
        age_prepare("A=x\n");
        source_add("age:", path_of("f.age"));
        key_add(path_of("key"));
        load_expect();
        memcpy(fingerprint, item_of("A")->fingerprint, sizeof fingerprint);
        request.digest_key[0] ^= 1;
        load_expect();
        assert_string_equal(item_of("A")->fingerprint, fingerprint);
}

static void test_an_age_directory_gives_one_variable_per_file(void **state) {
        (void)state;
        age_prepare("A=x\n");
        source_add("age-dir:", path_of("v"));
        key_add(path_of("key"));
        load_expect();
        assert_int_equal(result.bundle.count, 1);
        assert_string_equal(value_of("TOKEN"), "canary-token");
}

static void test_errors_inside_an_age_file_name_the_line(void **state) {
        (void)state;
        age_prepare("A=x\ncanary canary\n");
        source_add("age:", path_of("f.age"));
        key_add(path_of("key"));
        failure_expect("/f.age:2:7: expected '='");
}

static void test_a_wrong_key_and_a_torn_file_fail(void **state) {
        (void)state;
        age_prepare("A=x\n");
        rename(path_of("f.age"), path_of("other.age"));
        age_prepare("A=x\n");
        source_add("age:", path_of("other.age"));
        key_add(path_of("key"));
        assert_int_equal(load(), -1);
        request.source_count = 0;
        source_add("age:", path_of("f.age"));
        load_expect();
        assert_int_equal(truncate(path_of("f.age"), 210), 0);
        assert_int_equal(load(), -1);
}

static void test_an_identity_comes_from_a_descriptor_again_and_again(void **state) {
        char spec[16];
        int fd;

        (void)state;
        age_prepare("A=x\n");
        fd = open(path_of("key"), O_RDONLY | O_CLOEXEC);
        snprintf(spec, sizeof spec, "fd:%d", fd);
        source_add("age:", path_of("f.age"));
        key_add(spec);
        load_expect();
        load_expect();
        close(fd);
        failure_expect("Bad file descriptor");
}

static void test_a_pipe_gives_its_identity_once(void **state) {
        char spec[16], key[256];
        int ends[2], fd;
        ssize_t length;

        (void)state;
        age_prepare("A=x\n");
        fd = open(path_of("key"), O_RDONLY | O_CLOEXEC);
        length = read(fd, key, sizeof key);
        close(fd);
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], key, (size_t)length), length);
        close(ends[1]);
        snprintf(spec, sizeof spec, "fd:%d", ends[0]);
        source_add("age:", path_of("f.age"));
        key_add(spec);
        load_expect();
        failure_expect("gives its data only once");
        close(ends[0]);
}

static void test_an_identity_comes_from_the_credentials_directory(void **state) {
        (void)state;
        age_prepare("A=x\n");
        source_add("age:", path_of("f.age"));
        key_add("credential:key");
        unsetenv("CREDENTIALS_DIRECTORY");
        failure_expect("CREDENTIALS_DIRECTORY is not set");
        setenv("CREDENTIALS_DIRECTORY", folder, 1);
        load_expect();
        unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_an_identity_in_the_environment_is_wiped(void **state) {
        char text[128] = "TACET_TEST_KEY=", expected[128];
        FILE *file;

        (void)state;
        age_prepare("A=x\n");
        file = fopen(path_of("key"), "r");
        assert_non_null(fgets(text + strlen(text), 100, file));
        fclose(file);
        memset(expected, 0, sizeof expected);
        putenv(text);
        source_add("age:", path_of("f.age"));
        key_add("env:TACET_TEST_KEY");
        load_expect();
        load_environment_wipe(&request);
        assert_null(getenv("TACET_TEST_KEY"));
        assert_memory_equal(text, expected, sizeof text);
        failure_expect("not set any more: tacet wiped it after the first load");
        assert_non_null(strstr(error.hint, "to rotate"));
}

static void test_a_passphrase_opens_from_a_file(void **state) {
        CLEANUP_ARENA struct arena arena = {0};
        struct age_recipients recipients = {0};
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t) "pass phrase", 11};

        (void)state;
        assert_int_equal(arena_init(&arena, 1 << 20, &error), 0);
        assert_int_equal(age_recipients_add_passphrase(
                                 &recipients, passphrase, 10, &(struct age_limits){0}, &arena, &error),
                0);
        age_write("f.age", "A=x\n", &recipients);
        text_write("pass", "pass phrase\n");
        source_add("age:", path_of("f.age"));
        static char spec[200];
        snprintf(spec, sizeof spec, "passphrase-file:%s", path_of("pass"));
        key_add(spec);
        load_expect();
        assert_string_equal(value_of("A"), "x");
        request.scrypt_log_n_max = 9;
        assert_int_equal(load(), -1);
}

/* The loader at work on a passphrase, which takes it most of a second: what /proc says of it then. */
static void status_of_working_loader(pid_t pid, char *out, size_t room, size_t *out_descriptors) {
        char path[64];

        for (int i = 0; i < 400; i++) {
                int fd;
                ssize_t got;

                snprintf(path, sizeof path, "/proc/%d/status", pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                got = fd < 0 ? -1 : read(fd, out, room - 1);
                fd_close(fd);
                out[got < 0 ? 0 : got] = 0;
                if (got < 0 || strstr(out, "Seccomp:\t2") || strstr(out, "State:\tZ"))
                        break;
                usleep(2000);
        }
        *out_descriptors = 0;
        for (int fd = 0; fd < 64; fd++) {
                struct stat status;

                snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
                *out_descriptors += lstat(path, &status) == 0;
        }
}

static void test_the_loader_decrypts_confined_and_with_one_descriptor(void **state) {
        CLEANUP_ARENA struct arena arena = {0};
        struct age_recipients recipients = {0};
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t) "pass", 4};
        struct load_process process;
        static char spec[200], text[8192];
        size_t descriptors;

        (void)state;
        assert_int_equal(arena_init(&arena, 1 << 20, &error), 0);
        assert_int_equal(age_recipients_add_passphrase(
                                 &recipients, passphrase, 17, &(struct age_limits){0}, &arena, &error),
                0);
        age_write("f.age", "A=x\n", &recipients);
        text_write("pass", "pass\n");
        snprintf(spec, sizeof spec, "passphrase-file:%s", path_of("pass"));
        source_add("age:", path_of("f.age"));
        key_add(spec);
        assert_int_equal(load_start(&request, &process, &error), 0);
        status_of_working_loader(process.pid, text, sizeof text, &descriptors);
        kill(process.pid, SIGKILL);
        assert_int_equal(load_finish(&process, &result, &error), -1);
        waitpid(process.pid, NULL, 0);
        assert_non_null(strstr(text, "Seccomp:\t2"));
        assert_non_null(strstr(text, "NoNewPrivs:\t1"));
        assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
        if (geteuid() == 0)
                assert_int_equal(descriptors, 1);
}

/* ---- the environment ---- */

static void test_a_docker_file_cannot_take_what_tacet_wipes(void **state) {
        char key[256] = "";
        int fd;

        (void)state;
        age_prepare("A=x\n");
        fd = open(path_of("key"), O_RDONLY | O_CLOEXEC);
        assert_true(fd_read_full(fd, key, sizeof key - 1) > 0);
        close(fd);
        setenv("TACET_TEST_KEY", key, 1);
        setenv("TACET_TEST_S_ONE", "canary", 1);
        setenv("TACET_TEST_OPEN", "seen", 1);
        text_write("f", "TACET_TEST_KEY\nTACET_TEST_OPEN\nTACET_TEST_S_ONE\n");
        source_add("env-file:", path_of("f"));
        source_add("env:", "TACET_TEST_S_");
        key_add("env:TACET_TEST_KEY");
        load_expect();
        assert_string_equal(value_of("TACET_TEST_KEY"), "(absent)");
        assert_string_equal(value_of("TACET_TEST_OPEN"), "seen");
        assert_string_equal(value_of("TACET_TEST_S_ONE"), "canary");
        unsetenv("TACET_TEST_KEY");
        unsetenv("TACET_TEST_OPEN");
        unsetenv("TACET_TEST_S_ONE");
}

static void test_a_name_that_the_environment_has_twice_is_refused(void **state) {
        char *twice[] = {(char[]){"TACET_TEST_S_ONE=canary1"}, (char[]){"TACET_TEST_S_ONE=canary2"}, NULL};
        char **before = environ;

        (void)state;
        source_add("env:", "TACET_TEST_S_");
        environ = twice;
        failure_expect("environment: TACET_TEST_S_ONE stands there twice");
        environ = before;
}

static void test_environment_sources_are_taken_and_kept_sealed(void **state) {
        static char first[] = "TACET_TEST_S_ONE=canary1", second[] = "TACET_TEST_S_TWO=canary2";
        size_t variables = 0, left = 0;
        int captured;

        (void)state;
        putenv(first);
        putenv(second);
        for (char **string = environ; *string; string++)
                variables++;
        source_add("env:", "TACET_TEST_S_");
        load_expect();
        assert_int_equal(result.bundle.count, 2);
        assert_string_equal(value_of("TACET_TEST_S_TWO"), "canary2");
        captured = result.captured_environment;
        assert_true(captured >= 0);
        result.captured_environment = -1;
        load_environment_wipe(&request);
        assert_null(getenv("TACET_TEST_S_ONE"));
        for (char **string = environ; *string; string++)
                left++;
        assert_int_equal(left, variables - 2);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[20], 0);
        request.captured_environment = captured;
        load_expect();
        assert_int_equal(result.bundle.count, 2);
        assert_string_equal(value_of("TACET_TEST_S_ONE"), "canary1");
        assert_int_equal(result.captured_environment, -1);
        close(captured);
        request.captured_environment = -1;
        failure_expect("'env:TACET_TEST_S_' holds no variable");
}

/* ---- sockets ---- */

static int socket_listen(const char *name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of(name));
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, 4), 0);
        return fd;
}

/* Serve one connection: check the client's own address, wait for its half-close, answer. */
static pid_t socket_serve(int listener, const char *text, bool closes) {
        pid_t pid = fork();
        struct sockaddr_un peer;
        socklen_t length = sizeof peer;
        char byte;
        int fd;

        if (pid != 0)
                return pid;
        fd = accept(listener, (struct sockaddr *)&peer, &length);
        if (fd < 0 || length < 10 || peer.sun_path[0] != 0 ||
                !memmem(peer.sun_path, length, "/unit/tacet.service/db", 22))
                _exit(1);
        if (read(fd, &byte, 1) != 0)
                _exit(2);
        if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                _exit(3);
        if (!closes)
                pause();
        _exit(0);
}

static void test_a_credential_socket_is_asked_as_systemd_asks(void **state) {
        int listener = socket_listen("s"), status;
        pid_t pid;

        (void)state;
        pid = socket_serve(listener, "A='from a socket'\n", true);
        source_add("unix:", path_of("s"));
        request.sources[0].name = "db";
        load_expect();
        assert_string_equal(value_of("A"), "from a socket");
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        close(listener);
        failure_expect("Connection refused");
        assert_int_equal(error.status, EXIT_STATUS_NO_SOURCE);
}

static void test_a_socket_that_never_ends_meets_the_deadline(void **state) {
        int listener = socket_listen("s");
        int64_t start = time_now_ns();
        pid_t pid;

        (void)state;
        pid = socket_serve(listener, "A=canary\n", false);
        source_add("unix:", path_of("s"));
        request.sources[0].name = "db";
        request.deadline_ns = 600 * NS_PER_MS;
        failure_expect("no end of the data before the deadline");
        assert_true(time_now_ns() - start < 4 * NS_PER_S);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(listener);
}

/* ---- the process ---- */

static void test_a_killed_loader_is_one_failed_load(void **state) {
        struct load_process process;
        int listener = socket_listen("s");

        (void)state;
        source_add("unix:", path_of("s"));
        assert_int_equal(load_start(&request, &process, &error), 0);
        kill(process.pid, SIGKILL);
        assert_int_equal(load_finish(&process, &result, &error), -1);
        assert_string_equal(error.text, "the loader ended without an answer");
        assert_int_equal(process.channel, -1);
        waitpid(process.pid, NULL, 0);
        close(listener);
}

static void score_read(pid_t pid, char out[static 16]) {
        char path[64];
        int fd;

        snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        memset(out, 0, 16);
        assert_true(fd_read_full(fd, out, 15) > 0);
        close(fd);
}

/* A loader that waits for the socket which is the last of its sources has this score. */
static void score_expect(const char *expected) {
        struct load_process process;
        int listener = socket_listen("s"), peer;
        char score[16];

        source_add("unix:", path_of("s"));
        assert_int_equal(load_start(&request, &process, &error), 0);
        peer = accept(listener, NULL, NULL); /* it has read what comes before */
        assert_true(peer >= 0);
        score_read(process.pid, score);
        assert_string_equal(score, expected);
        kill(process.pid, SIGKILL);
        assert_int_equal(load_finish(&process, &result, &error), -1);
        waitpid(process.pid, NULL, 0);
        close(peer);
        close(listener);
}

static void test_a_large_load_goes_first_when_memory_runs_out(void **state) {
        static char large[300 * 1024];

        (void)state;
        if (geteuid() != 0)
                skip();
        memset(large, '#', sizeof large);
        file_write("large", large, sizeof large);
        source_add("env-file:", path_of("large"));
        score_expect("1000\n");
}

static void test_many_files_are_a_large_load_too(void **state) {
        static char part[90 * 1024];

        (void)state;
        if (geteuid() != 0)
                skip();
        memset(part, '#', sizeof part);
        for (int i = 0; i < 3; i++) {
                file_write(i == 0 ? "a" : i == 1 ? "b" : "c", part, sizeof part);
                source_add("env-file:", path_of(i == 0 ? "a" : i == 1 ? "b" : "c"));
        }
        score_expect("1000\n");
}

static void test_a_load_with_a_passphrase_goes_first_when_memory_runs_out(void **state) {
        char key_text[200];

        (void)state;
        if (geteuid() != 0)
                skip();
        text_write("passphrase", "correct horse\n");
        snprintf(key_text, sizeof key_text, "passphrase-file:%s", path_of("passphrase"));
        key_add(key_text);
        score_expect("1000\n");
}

static void test_a_small_load_has_the_score_of_its_parent(void **state) {
        char own[16];

        (void)state;
        score_read(getpid(), own);
        text_write("small", "A=1\n");
        source_add("env-file:", path_of("small"));
        score_expect(own);
}

static void test_a_stopped_loader_is_killed_at_its_deadline(void **state) {
        struct load_process process;
        int listener = socket_listen("s"), status;

        (void)state;
        source_add("unix:", path_of("s"));
        request.deadline_ns = 600 * NS_PER_MS;
        assert_int_equal(load_start(&request, &process, &error), 0);
        usleep(30000); /* its first act is the timer */
        kill(process.pid, SIGSTOP);
        assert_int_equal(load_finish(&process, &result, &error), -1);
        assert_string_equal(
                error.text, "the loader did not answer before its deadline: Connection timed out");
        waitpid(process.pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(listener);
}

static void test_the_loader_dies_with_its_parent(void **state) {
        struct load_process process;
        int listener = socket_listen("s"), ends[2];
        pid_t pid, loader = 0;

        (void)state;
        source_add("unix:", path_of("s"));
        assert_int_equal(pipe(ends), 0);
        pid = fork();
        if (pid == 0) {
                if (load_start(&request, &process, &error) == 0 &&
                        write(ends[1], &process.pid, sizeof loader) > 0)
                        pause();
                _exit(1);
        }
        assert_int_equal(read(ends[0], &loader, sizeof loader), sizeof loader);
        usleep(50000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        for (int i = 0; i < 100; i++) {
                char path[64], text[256] = "";
                int fd;

                snprintf(path, sizeof path, "/proc/%d/stat", loader);
                fd = open(path, O_RDONLY);
                if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || strstr(text, ") Z") ||
                        strstr(text, ") X"))
                        i = 1000;
                fd_close(fd);
                usleep(20000);
                if (i == 99)
                        fail_msg("the loader lives on");
        }
        close(ends[0]);
        close(ends[1]);
        close(listener);
}

/* "canary-value-b7f3e1" with every bit turned over, so that the search does not find itself. */
static const uint8_t needle[] = {0x9c, 0x9e, 0x91, 0x9e, 0x8d, 0x86, 0xd2, 0x89, 0x9e, 0x93, 0x8a, 0x9a, 0xd2,
        0x9d, 0xc8, 0x99, 0xcc, 0x9a, 0xce};

static size_t needle_count(const uint8_t *at, size_t length) {
        size_t found = 0;

        for (size_t i = 0; i + sizeof needle <= length; i++) {
                size_t same = 0;

                while (same < sizeof needle && at[i + same] + needle[same] == 0xff)
                        same++;
                found += same == sizeof needle;
        }
        return found;
}

/* How often it lies in the readable mappings of this process. */
static size_t memory_count(void) {
        static uint8_t page[65536 + sizeof needle];
        FILE *maps = fopen("/proc/self/maps", "r");
        int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        unsigned long start, end;
        char line[512], rights[8];
        size_t found = 0;

        while (fgets(line, sizeof line, maps)) {
                if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) != 3 || rights[0] != 'r')
                        continue;
                for (unsigned long at = start; at < end; at += 65536) {
                        ssize_t got = pread(
                                memory, page, end - at < sizeof page ? end - at : sizeof page, (off_t)at);

                        if (got > 0)
                                found += needle_count(page, (size_t)got);
                        memset(page, 0, sizeof page);
                }
        }
        fclose(maps);
        close(memory);
        return found;
}

/* Written by a child, so that this process never has the text. */
static void needle_write(const char *name, const char *head, const char *tail) {
        pid_t pid = fork();
        char text[128];
        size_t used;

        if (pid == 0) {
                used = (size_t)snprintf(text, sizeof text, "%s", head);
                for (size_t i = 0; i < sizeof needle; i++)
                        text[used++] = (char)~needle[i];
                snprintf(text + used, sizeof text - used, "%s", tail);
                text_write(name, text);
                _exit(0);
        }
        waitpid(pid, NULL, 0);
}

static void test_the_parent_never_holds_a_value(void **state) {
        static volatile uint8_t visible[sizeof needle];

        (void)state;
#ifdef TACET_SANITIZE
        skip(); /* the sanitizer's shadow is terabytes */
#endif
        needle_write("good", "A=x\nB=", "\n");
        needle_write("bad", "A=x\nA=", "\n");
        source_add("env-file:", path_of("good"));
        assert_int_equal(load(), 0);
        assert_int_equal(result.bundle.count, 2);
        assert_int_equal(memory_count(), 0);
        request.source_count = 0;
        source_add("env-file:", path_of("bad"));
        failure_expect("the name is already on line 1");
        assert_int_equal(memory_count(), 0);
        for (size_t i = 0; i < sizeof needle; i++)
                visible[i] = (uint8_t)~needle[i];
        assert_true(memory_count() > 0); /* so the search does see what is there */
        assert_int_equal(visible[0] + needle[0], 0xff);
}

/* Run `body` in a child without privilege and without locked memory; its result is the exit status. */
static void unprivileged(void (*body)(void)) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                struct rlimit none = {0, 0};

                if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 ||
                        (geteuid() == 0 &&
                                (chown(folder, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)))
                        _exit(99);
                body();
                _exit(0);
        }
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
}

static void fallback_body(void) {
        text_write("f", "A=canary-fallback\n");
        source_add("env-file:", path_of("f"));
        if (load() < 0)
                _exit(1);
        if (!result.bundle.is_encrypted || !result.bundle.key || !result.is_unlocked)
                _exit(2);
        if (bundle_map(&result.bundle, &view, &error) < 0)
                _exit(3);
        if (strcmp(view.strings, "A=canary-fallback") != 0)
                _exit(4);
        result.bundle.key[0] ^= 1;
        if (bundle_map(&result.bundle, &view, &error) == 0)
                _exit(5);
        request.require_secret_memory = true;
        if (load() == 0 || !strstr(error.text, "secret memory"))
                _exit(6);
}

static void test_without_locked_memory_the_generation_is_encrypted(void **state) {
        (void)state;
        unprivileged(fallback_body);
}

static void permission_body(void) {
        text_write("f", "A=canary\n");
        source_add("env-file:", path_of("f"));
        if (chmod(path_of("f"), 0) < 0 || load() == 0)
                _exit(1);
        if (!strstr(error.text, "/f': Permission denied") || error.status != EXIT_STATUS_NO_SOURCE)
                _exit(2);
}

static void test_a_file_without_permission_says_so(void **state) {
        (void)state;
        unprivileged(permission_body);
}

static void capture_body(void) {
        static char variable[] = "TACET_TEST_F_ONE=canary1";

        putenv(variable);
        source_add("env:", "TACET_TEST_F_");
        if (load() < 0)
                _exit(1);
        request.captured_environment = result.captured_environment;
        result.captured_environment = -1;
        load_environment_wipe(&request);
        if (load() < 0)
                _exit(2);
        if (!result.bundle.is_encrypted || bundle_map(&result.bundle, &view, &error) < 0)
                _exit(3);
        if (strcmp(view.strings, "TACET_TEST_F_ONE=canary1") != 0)
                _exit(4);
}

static void test_captured_values_survive_without_locked_memory(void **state) {
        (void)state;
        unprivileged(capture_body);
}

static void test_requests_are_checked_without_opening_anything(void **state) {
        static const struct {
                const char *uri, *key, *expected;
        } rows[] = {
                {"agee:/x", "/k", "source 'agee:/x': unknown kind"},
                {"/x", "/k", "source '/x': unknown kind"},
                {"age:", "/k", "nothing stands behind 'age:'"},
                {"env:", "/k", "nothing stands behind 'env:'"},
                {"age:/x", NULL, "an encrypted source needs a key"},
                {"age:/x", "fd:x", "is not a descriptor number"},
                {"age:/x", "fd:", "is empty"},
                {"age:/x", "credential:../x", "is not a credential's name"},
                {"age:/x", "env:A=B", "is not a variable name"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                request.source_count = request.key_count = 0;
                source_add("", rows[i].uri);
                if (rows[i].key)
                        key_add(rows[i].key);
                if (load_request_check(&request, &error) == 0)
                        fail_msg("%s is taken", rows[i].uri);
                if (!strstr(error.text, rows[i].expected))
                        fail_msg("%s: %s", rows[i].uri, error.text);
                assert_int_equal(error.status, EXIT_STATUS_CONFIG);
        }
        request.source_count = request.key_count = 0;
        assert_int_equal(load_request_check(&request, &error), -1);
        source_add("dir:", "/x");
        request.sources[0].dialect = &dialect_tacet;
        assert_int_equal(load_request_check(&request, &error), -1);
        source_add("agedir:", "/x");
        request.sources[0].dialect = NULL;
        assert_int_equal(load_request_check(&request, &error), -1);
        assert_string_equal(error.hint, "did you mean 'age-dir:'?");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_a_document_becomes_sorted_strings_and_an_inventory),
                CASE(test_the_later_source_wins_and_is_counted),
                CASE(test_the_digest_follows_names_and_values_and_the_key),
                CASE(test_dialects_are_as_asked),
                CASE(test_an_open_plaintext_file_is_warned_about),
                CASE(test_files_that_are_none_are_refused_at_once),
                CASE(test_empty_and_large_files_are_refused),
                CASE(test_a_file_without_permission_says_so),
                CASE(test_errors_of_a_named_source_say_which_and_where),
                CASE(test_more_than_execve_takes_names_the_biggest),
                CASE(test_a_directory_gives_one_variable_per_file),
                CASE(test_bad_entries_of_a_directory_are_named),
                CASE(test_a_kubernetes_mount_is_read_as_one_generation),
                CASE(test_a_link_leads_only_to_what_its_owner_owns),
                CASE(test_a_swap_during_the_read_never_mixes_generations),
                CASE(test_an_age_document_opens_with_an_identity_file),
                CASE(test_fingerprints_follow_the_identity_not_the_parent),
                CASE(test_an_age_directory_gives_one_variable_per_file),
                CASE(test_errors_inside_an_age_file_name_the_line),
                CASE(test_a_wrong_key_and_a_torn_file_fail),
                CASE(test_an_identity_comes_from_a_descriptor_again_and_again),
                CASE(test_a_pipe_gives_its_identity_once),
                CASE(test_an_identity_comes_from_the_credentials_directory),
                CASE(test_an_identity_in_the_environment_is_wiped),
                CASE(test_a_passphrase_opens_from_a_file),
                CASE(test_a_docker_file_cannot_take_what_tacet_wipes),
                CASE(test_a_name_that_the_environment_has_twice_is_refused),
                CASE(test_the_loader_decrypts_confined_and_with_one_descriptor),
                CASE(test_environment_sources_are_taken_and_kept_sealed),
                CASE(test_a_credential_socket_is_asked_as_systemd_asks),
                CASE(test_a_socket_that_never_ends_meets_the_deadline),
                CASE(test_a_killed_loader_is_one_failed_load),
                CASE(test_a_large_load_goes_first_when_memory_runs_out),
                CASE(test_many_files_are_a_large_load_too),
                CASE(test_a_load_with_a_passphrase_goes_first_when_memory_runs_out),
                CASE(test_a_small_load_has_the_score_of_its_parent),
                CASE(test_a_stopped_loader_is_killed_at_its_deadline),
                CASE(test_the_loader_dies_with_its_parent),
                CASE(test_the_parent_never_holds_a_value),
                CASE(test_without_locked_memory_the_generation_is_encrypted),
                CASE(test_captured_values_survive_without_locked_memory),
                CASE(test_requests_are_checked_without_opening_anything),
        };

        return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
