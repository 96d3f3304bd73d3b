/* Loading below a system call filter of somebody else's, which refuses a protection or kills for it. */

#include "tests/unit/secrets/loading.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "secrets/trial.h"

/* Answer one call of this process, and of all that it starts, with `action`. */
static int call_filter(int call, uint32_t action) {
        struct sock_filter program[] = {
                {0x20, 0, 0, 0}, /* load the number */
                {0x15, 0, 1, (uint32_t)call},
                {0x06, 0, 0, action},
                {0x06, 0, 0, SECCOMP_RET_ALLOW},
        };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
                       ? -1
                       : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                                 &(struct sock_fprog){sizeof program / sizeof *program, program}, 0, 0);
}

static const struct row {
        const char *name;
        int calls[2];
        const char *text; /* said when the answer is SIGSYS; NULL: the call is not made */
        bool is_encrypted;
        bool for_root; /* others have nothing to drop, and do not call it */
} rows[] = {
        {"capset", {SYS_capset}, "capset(2)", false, true},
        {"landlock_create_ruleset", {SYS_landlock_create_ruleset}, "landlock(7)", false, false},
        {"landlock_restrict_self", {SYS_landlock_restrict_self}, "landlock(7)", false, false},
        {"memfd_secret", {SYS_memfd_secret}, "memfd_secret(2)", true, false},
        {"seccomp", {SYS_seccomp}, NULL, false, false},
        {"memfd_secret and landlock", {SYS_memfd_secret, SYS_landlock_create_ruleset}, "landlock(7)", true,
                false},
};

/* What test_it_loads() does in a child, since a filter stays. The status says what was wrong. */
static int filtered_body(const struct row *row, uint32_t action, bool is_root) {
        bool kills = action == SECCOMP_RET_KILL_PROCESS;
        char said[1024] = "";
        int answer, count = 0;

        if (!is_root && geteuid() == 0 &&
                (chown(folder, 65534, 65534) < 0 || chown(path_of("f"), 65534, 65534) < 0 ||
                        setresuid(65534, 65534, 65534) < 0))
                return 10;
        for (size_t i = 0; i < 2; i++)
                if (row->calls[i] && call_filter(row->calls[i], action) < 0)
                        return 11;
        while ((answer = load()) == 1 && count++ < 9)
                snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", error.text);
        if (answer != 0)
                return 12;
        if (row->is_encrypted != result.bundle.is_encrypted)
                return 13;
        if (kills && row->text && (!row->for_root || is_root) ? !strstr(said, row->text) : *said)
                return 14;
        /* Once is enough. */
        return load() == 0 ? 0 : 15;
}

static void test_it_loads(uint32_t action) {
        text_write("f", "A=1\n");
        source_add("env-file:", path_of("f"));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                for (int is_root = geteuid() == 0; is_root >= 0; is_root--) {
                        pid_t pid = fork();
                        int status;

                        if (pid == 0)
                                _exit(filtered_body(&rows[i], action, is_root));
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        if (status)
                                fail_msg("%s, %s: status %x", rows[i].name, is_root ? "root" : "nobody",
                                        (unsigned)status);
                }
}

static void test_it_loads_where_a_protection_is_refused(void **state) {
        (void)state;
        test_it_loads(SECCOMP_RET_ERRNO | EPERM);
}

static void test_it_loads_where_a_protection_is_said_to_be_unknown(void **state) {
        (void)state;
        test_it_loads(SECCOMP_RET_ERRNO | ENOSYS);
}

static void test_it_loads_where_a_protection_kills(void **state) {
        (void)state;
        test_it_loads(SECCOMP_RET_KILL_PROCESS);
}

static int required_body(void) {
        if (call_filter(SYS_memfd_secret, SECCOMP_RET_KILL_PROCESS) < 0)
                return 1;
        request.require_secret_memory = true;
        if (load() != 1 || load() != -1)
                return 2;
        return strstr(error.text, "secret memory is required") ? 0 : 3;
}

static int unconfined_body(void) {
        /* Without any way to install its own filter. */
        static struct sock_filter program[] = {
                {0x20, 0, 0, 0},
                {0x15, 4, 0, SYS_seccomp},
                {0x15, 0, 2, SYS_prctl},
                {0x20, 0, 0, 16},
                {0x15, 1, 0, PR_SET_SECCOMP},
                {0x06, 0, 0, SECCOMP_RET_ALLOW},
                {0x06, 0, 0, SECCOMP_RET_ERRNO | EPERM},
        };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                        &(struct sock_fprog){sizeof program / sizeof *program, program}, 0, 0) < 0)
                return 1;
        if (load() != -1)
                return 2;
        return strstr(error.text, "seccomp: install the loader's filter") ? 0 : 3;
}

/* Its status, with one source that could be loaded. */
static int child_status(int (*body)(void)) {
        pid_t pid;
        int status;

        text_write("f", "A=1\n");
        source_add("env-file:", path_of("f"));
        pid = fork();
        if (pid == 0)
                _exit(body());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void test_secret_memory_that_is_required_is_not_done_without(void **state) {
        (void)state;
        assert_int_equal(child_status(required_body), 0);
}

static void test_nothing_is_parsed_without_seccomp(void **state) {
        (void)state;
        assert_int_equal(child_status(unconfined_body), 0);
}

/* ---- what a loader may make its parent believe ---- */

/* A loader that does not say a word: `act` with the page, and then the end. */
static int finish_after(void (*act)(volatile uint8_t *page)) {
        struct load_process process = {.deadline_ns = NS_FOREVER, .trial = trial_page_new(&error)};
        int ends[2], answer;

        assert_non_null(process.trial);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        process.pid = fork();
        if (process.pid == 0) {
                sigset_t all;

                sigfillset(&all);
                sigprocmask(SIG_SETMASK, &all, NULL);
                act(process.trial);
                _exit(0);
        }
        close(ends[1]);
        process.channel = ends[0];
        answer = load_finish(&process, &result, &error);
        assert_null(process.trial);
        assert_int_equal(waitpid(process.pid, NULL, 0), process.pid);
        return answer;
}

static void forbidden_call(void) {
        (void)call_filter(SYS_chroot, SECCOMP_RET_KILL_PROCESS);
        (void)syscall(SYS_chroot, "/");
}

static void act_die_in_landlock(volatile uint8_t *page) {
        *page = TRIAL_LANDLOCK;
        forbidden_call();
}

static void act_die_later(volatile uint8_t *page) {
        trial_run(page, 0);
        forbidden_call();
}

static void act_write_later(volatile uint8_t *page) {
        trial_run(page, 0);
        *page = TRIAL_LANDLOCK;
        forbidden_call();
}

static void act_end_in_landlock(volatile uint8_t *page) {
        *page = TRIAL_LANDLOCK;
}

static void act_be_killed_in_landlock(volatile uint8_t *page) {
        *page = TRIAL_LANDLOCK;
        (void)kill(getpid(), SIGSYS); /* blocked: anybody could send it */
        (void)kill(getpid(), SIGKILL);
}

static void act_nonsense(volatile uint8_t *page) {
        *page = TRIAL_OVER + 1;
        forbidden_call();
}

static void test_only_a_filter_before_the_first_foreign_byte_is_believed(void **state) {
        (void)state;
        assert_int_equal(finish_after(act_die_later), -1);
        assert_int_equal(finish_after(act_write_later), -1);
        assert_int_equal(finish_after(act_end_in_landlock), -1);
        assert_int_equal(finish_after(act_be_killed_in_landlock), -1);
        assert_int_equal(finish_after(act_nonsense), -1);
        assert_string_equal(error.text, "the loader ended without an answer");
        assert_int_equal(finish_after(act_die_in_landlock), 1);
        /* A second time it has not been called. */
        assert_int_equal(finish_after(act_die_in_landlock), -1);
}

static void reaped_before(int wait_status, int expected) {
        struct load_process process = {
                .wait_status = wait_status, .deadline_ns = NS_FOREVER, .trial = trial_page_new(&error)};
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        close(ends[1]);
        process.channel = ends[0];
        *process.trial = TRIAL_SECRET_MEMORY;
        assert_int_equal(load_finish(&process, &result, &error), expected);
}

static void test_a_loader_that_is_reaped_already_is_learned_from_too(void **state) {
        (void)state;
        reaped_before(SIGKILL, -1);
        reaped_before(SIGSYS, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_it_loads_where_a_protection_is_refused),
                CASE(test_it_loads_where_a_protection_is_said_to_be_unknown),
                CASE(test_it_loads_where_a_protection_kills),
                CASE(test_secret_memory_that_is_required_is_not_done_without),
                CASE(test_nothing_is_parsed_without_seccomp),
                CASE(test_only_a_filter_before_the_first_foreign_byte_is_believed),
                CASE(test_a_loader_that_is_reaped_already_is_learned_from_too),
        };

        return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
