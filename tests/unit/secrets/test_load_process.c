/* Loading as a process: sockets, deadlines, what the loader may, what its parent never holds. */

#include "tests/unit/secrets/loading.h"

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

static void test_a_loader_goes_first_when_memory_runs_out(void **state) {
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

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_a_file_without_permission_says_so),
                CASE(test_a_credential_socket_is_asked_as_systemd_asks),
                CASE(test_a_socket_that_never_ends_meets_the_deadline),
                CASE(test_a_killed_loader_is_one_failed_load),
                CASE(test_a_loader_goes_first_when_memory_runs_out),
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

        return cmocka_run_group_tests(tests, NULL, NULL);
}
