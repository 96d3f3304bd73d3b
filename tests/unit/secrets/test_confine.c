/* The loader's cage: what a confined process can still do, and that everything else ends it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secrets/confine.h"

/* Run `act` in a confined child; returns its wait status. */
static int confined(void (*act)(void)) {
        struct error error;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                if (confine_self(0, &error) < 0)
                        _exit(99);
                act();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void act_compute(void) {
        char *at = malloc(1 << 20), *more;
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (!at || page == MAP_FAILED || fd < 0)
                _exit(1);
        more = realloc(at, 3 << 20);
        if (!more || mlock2(page, 4096, 0) < 0 || mprotect(page, 4096, PROT_READ) < 0 ||
                munmap(page, 4096) < 0)
                _exit(2);
        free(more);
        if (write(fd, "x", 1) != 1 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 || close(fd) < 0)
                _exit(3);
}

static void test_a_confined_process_can_compute(void **state) {
        (void)state;
        assert_int_equal(confined(act_compute), 0);
}

static void act_open(void) {
        (void)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void act_read(void) {
        (void)syscall(SYS_read, 0, NULL, 0);
}

static void act_socket(void) {
        (void)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

static void act_exec(void) {
        (void)syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void act_fork(void) {
        (void)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void act_ptrace(void) {
        (void)syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
}

static void act_kill(void) {
        (void)syscall(SYS_kill, 1, 0);
}

static void act_code(void) {
        (void)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void act_code_later(void) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        (void)syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

static void act_process_memory(void) {
        (void)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}

static void act_prctl(void) {
        (void)syscall(SYS_prctl, 4, 1, 0, 0, 0);
}

static void act_duplicate(void) {
        (void)syscall(SYS_fcntl, 1, F_DUPFD, 100);
}

static void test_everything_else_kills_it(void **state) {
        static const struct {
                const char *name;
                void (*act)(void);
        } rows[] = {
                {"open", act_open},
                {"read", act_read},
                {"socket", act_socket},
                {"execve", act_exec},
                {"fork", act_fork},
                {"ptrace", act_ptrace},
                {"kill", act_kill},
                {"mmap of code", act_code},
                {"mprotect to code", act_code_later},
                {"process_vm_readv", act_process_memory},
                {"prctl", act_prctl},
                {"fcntl F_DUPFD", act_duplicate},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                int status = confined(rows[i].act);

                if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
                        fail_msg("%s: status %x", rows[i].name, (unsigned)status);
        }
}

static int call_now;

/* With arguments that no call can use, so that an allowed one returns. Those of mmap, mprotect and fcntl ask
 * for what is not allowed. */
static void act_call(void) {
        (void)syscall(call_now, -1L, -1L, -1L, -1L, -1L, -1L);
}

static void test_the_list_of_calls_is_this_and_no_other(void **state) {
        static const int listed[] = {
                SYS_munmap, SYS_brk, SYS_mlock2, SYS_mlock, SYS_munlock, SYS_madvise, SYS_mremap, SYS_sendmsg,
                SYS_close, SYS_exit_group, SYS_ftruncate, SYS_write, SYS_memfd_create, 447 /* memfd_secret */,
                SYS_getrandom, SYS_futex, SYS_clock_gettime, SYS_sysinfo,
#ifdef TACET_SANITIZE
                SYS_sched_yield, SYS_sigaltstack, SYS_getpid, SYS_gettid, SYS_rt_sigprocmask
#endif
        };

        (void)state;
        for (call_now = 0; call_now < 600; call_now++) {
                int status = confined(act_call);
                bool is_listed = false;

#ifdef __x86_64__
                /* uretprobe and uprobe: the kernel itself lets them pass every filter (kernel/seccomp.c), and
                 * they do nothing for who is not being probed. */
                if (call_now == 335 || call_now == 336)
                        continue;
#endif

                for (size_t i = 0; i < sizeof listed / sizeof *listed; i++)
                        is_listed |= listed[i] == call_now;
                if (is_listed == (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
                        fail_msg("call %d: status %x", call_now, (unsigned)status);
        }
}

/* What /proc says of a confined process that waits in a futex, one of the few calls it has that wait. */
static void status_read(char *out, size_t room) {
        struct error error;
        pid_t pid = fork();
        char path[64];
        int fd;

        if (pid == 0) {
                uint32_t word = 0;

                if (confine_self(0, &error) < 0)
                        _exit(99);
                for (;;)
                        (void)syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
        }
        snprintf(path, sizeof path, "/proc/%d/status", pid);
        memset(out, 0, room);
        for (int i = 0; i < 200 && !strstr(out, "Seccomp:\t2"); i++) {
                usleep(5000);
                memset(out, 0, room);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                assert_true(fd >= 0 && read(fd, out, room - 1) > 0);
                close(fd);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void test_no_privilege_is_left(void **state) {
        char text[8192];

        (void)state;
        status_read(text, sizeof text);
        assert_non_null(strstr(text, "Seccomp:\t2"));
        assert_non_null(strstr(text, "NoNewPrivs:\t1"));
        assert_non_null(strstr(text, "CapPrm:\t0000000000000000"));
        assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
        assert_non_null(strstr(text, "CapInh:\t0000000000000000"));
}

static int files_body(void) {
        struct error error;
        struct stat status;

        if (syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) < 1)
                return 77;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine_files(&error) < 0)
                return 1;
        if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
                return 2;
        if (open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES)
                return 3;
        if (execl("/bin/true", "true", (char *)NULL) == 0 || errno != EACCES)
                return 4;
        return stat("/", &status) == 0 ? 0 : 5;
}

static void test_landlock_alone_keeps_it_from_files(void **state) {
        pid_t pid = fork();
        int status;

        (void)state;
        if (pid == 0)
                _exit(files_body());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_confined_process_can_compute),
                cmocka_unit_test(test_everything_else_kills_it),
                cmocka_unit_test(test_the_list_of_calls_is_this_and_no_other),
                cmocka_unit_test(test_no_privilege_is_left),
                cmocka_unit_test(test_landlock_alone_keeps_it_from_files),
        };

        return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
