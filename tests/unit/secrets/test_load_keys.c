/* Loading with keys, and from the environment. */

#include "tests/unit/secrets/loading.h"

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

int main(void) {
        const struct CMUnitTest tests[] = {
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
