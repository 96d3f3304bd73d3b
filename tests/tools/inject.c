/* inject: makes system calls of a running process fail, one at a time, while it runs on. Its children are
 * left alone.
 *
 *   inject PID
 *
 * Attaches (ptrace), prints "attached", then takes commands from standard input and answers each with a line:
 *
 *   count                    forget what was counted          "counting"
 *   seen                     what was called since            "NAME=TIMES NAME=TIMES ..."
 *   fail NAME ERRNO PLACE    let the PLACE-th call from now on with this name fail with that number;
 *   counts anew
 *                                                             "armed"
 *   calm                     no more failures                 "hit" or "missed", whether there was one
 *
 * At the end of its input it detaches. A call that fails is not made. strace(1) can do the same, but must be
 * started anew for each call, which takes longer than a rotation. */

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_CALL (-1)

struct call {
        const char *name;
        long number;
        unsigned times;
};

#define CALL(name)                                                                                           \
        { #name, SYS_##name, 0 }

/* Without those that cannot fail for want of something, and those (exit, execve) that nobody comes back
 * from. */
static struct call calls[] = {
        CALL(accept4),
        CALL(bind),
        CALL(clone),
        CALL(clone3),
        CALL(connect),
        CALL(epoll_ctl),
        CALL(epoll_pwait),
        CALL(fcntl),
        CALL(fstat),
        CALL(getdents64),
        CALL(getrandom),
        CALL(getsockname),
        CALL(getsockopt),
        CALL(inotify_add_watch),
        CALL(inotify_init1),
        CALL(inotify_rm_watch),
        CALL(ioctl),
        CALL(kill),
        CALL(listen),
        CALL(madvise),
        CALL(memfd_create),
        CALL(mkdirat),
        CALL(mmap),
        CALL(mprotect),
        CALL(newfstatat),
        CALL(openat),
        CALL(pidfd_getfd),
        CALL(pidfd_open),
        CALL(pidfd_send_signal),
        CALL(pipe2),
        CALL(ppoll),
        CALL(prctl),
        CALL(pread64),
        CALL(read),
        CALL(readlinkat),
        CALL(recvfrom),
        CALL(recvmsg),
        CALL(sendmsg),
        CALL(sendto),
        CALL(setpgid),
        CALL(setsockopt),
        CALL(shutdown),
        CALL(signalfd4),
        CALL(socket),
        CALL(socketpair),
        CALL(statx),
        CALL(timerfd_create),
        CALL(timerfd_settime),
        CALL(unlinkat),
        CALL(wait4),
        CALL(waitid),
        CALL(write),
        CALL(writev),
#ifdef SYS_memfd_secret
        CALL(memfd_secret),
#endif
#ifdef SYS_open /* what newer machines have only in the form with ...at */
        CALL(epoll_wait),
        CALL(fork),
        CALL(lstat),
        CALL(mkdir),
        CALL(open),
        CALL(poll),
        CALL(readlink),
        CALL(rmdir),
        CALL(stat),
        CALL(unlink),
        CALL(vfork),
#endif
};

#define CALL_COUNT (sizeof calls / sizeof *calls)

static pid_t target;
static struct call *armed;
static unsigned armed_place;
static int armed_errno;
static bool was_hit, is_failing;

static void die(const char *what) {
        fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* ---- registers ---- */

static void registers(int request, struct user_regs_struct *values) {
        struct iovec place = {.iov_base = values, .iov_len = sizeof *values};

        (void)ptrace(request, target, (void *)NT_PRSTATUS, &place);
}

static void call_skip(void) {
#if defined __x86_64__
        struct user_regs_struct values = {0};

        registers(PTRACE_GETREGSET, &values);
        values.orig_rax = (unsigned long long)NO_CALL;
        registers(PTRACE_SETREGSET, &values);
#elif defined __aarch64__
        int number = NO_CALL;
        struct iovec place = {.iov_base = &number, .iov_len = sizeof number};

        (void)ptrace(PTRACE_SETREGSET, target, (void *)NT_ARM_SYSTEM_CALL, &place);
#else
#error "say where the number of a system call is found on this machine"
#endif
}

static void call_result(long result) {
        struct user_regs_struct values = {0};

        registers(PTRACE_GETREGSET, &values);
#if defined __x86_64__
        values.rax = (unsigned long long)result;
#else
        values.regs[0] = (unsigned long long)result;
#endif
        registers(PTRACE_SETREGSET, &values);
}

/* ---- the calls ---- */

static void call_enter(long number) {
        for (size_t i = 0; i < CALL_COUNT; i++) {
                if (calls[i].number != number)
                        continue;
                calls[i].times++;
                if (armed != &calls[i] || was_hit || calls[i].times != armed_place)
                        return;
                was_hit = is_failing = true;
                call_skip();
                return;
        }
}

static void call_leave(void) {
        if (is_failing)
                call_result(-armed_errno);
        is_failing = false;
}

static void call_stopped(void) {
        struct __ptrace_syscall_info info = {0};

        if (ptrace(PTRACE_GET_SYSCALL_INFO, target, (void *)sizeof info, &info) <= 0)
                return;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                call_enter((long)info.entry.nr);
        else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
                call_leave();
}

/* Calls stop twice; everything else that stops it is passed on as it came. */
static void stopped(int status) {
        int signal = WSTOPSIG(status), event = status >> 16;

        if (signal == (SIGTRAP | 0x80)) {
                call_stopped();
                signal = 0;
        } else if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP)) {
                (void)ptrace(PTRACE_LISTEN, target, 0, 0);
                return;
        } else if (event) {
                signal = 0;
        }
        (void)ptrace(PTRACE_SYSCALL, target, 0, (void *)(intptr_t)signal);
}

/* Returns false when the process has ended. */
static bool stops_handle(void) {
        int status;
        pid_t pid;

        while ((pid = waitpid(target, &status, WNOHANG | __WALL)) > 0) {
                if (!WIFSTOPPED(status))
                        return false;
                stopped(status);
        }
        return pid == 0;
}

/* ---- commands ---- */

static void counts_reset(void) {
        for (size_t i = 0; i < CALL_COUNT; i++)
                calls[i].times = 0;
}

static void arm(const char *name, int code, unsigned place) {
        armed = NULL;
        for (size_t i = 0; i < CALL_COUNT; i++)
                if (strcmp(calls[i].name, name) == 0)
                        armed = &calls[i];
        counts_reset();
        armed_errno = code;
        armed_place = place;
        was_hit = false;
        puts(armed ? "armed" : "unknown");
}

static void counts_print(void) {
        for (size_t i = 0; i < CALL_COUNT; i++)
                if (calls[i].times > 0)
                        printf("%s=%u ", calls[i].name, calls[i].times);
        puts("");
}

static void command_do(const char *line) {
        char name[32];
        unsigned place;
        int code;

        if (strcmp(line, "count") == 0) {
                counts_reset();
                puts("counting");
        } else if (strcmp(line, "seen") == 0) {
                counts_print();
        } else if (strcmp(line, "calm") == 0) {
                armed = NULL;
                puts(was_hit ? "hit" : "missed");
        } else if (sscanf(line, "fail %31s %d %u", name, &code, &place) == 3) {
                arm(name, code, place);
        } else {
                puts("unknown");
        }
        fflush(stdout);
}

/* Returns false at the end of the input. A command fits into one read: the other side waits for each
 * answer. */
static bool commands_read(void) {
        char line[256];
        ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);

        if (length <= 0)
                return false;
        line[length - 1] = '\0';
        command_do(line);
        return true;
}

/* It must be stopped for it, in whatever way; a signal that was on its way to it goes on. */
static void detach(void) {
        int status;
        bool is_signal;

        armed = NULL;
        (void)ptrace(PTRACE_INTERRUPT, target, 0, 0);
        if (waitpid(target, &status, __WALL) < 0 || !WIFSTOPPED(status))
                return;
        if (is_failing)
                call_stopped();
        is_signal = WSTOPSIG(status) != (SIGTRAP | 0x80) && status >> 16 == 0;
        (void)ptrace(PTRACE_DETACH, target, 0, (void *)(intptr_t)(is_signal ? WSTOPSIG(status) : 0));
}

static void attach(void) {
        int status;

        if (ptrace(PTRACE_SEIZE, target, 0, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD) < 0)
                die("attach");
        if (ptrace(PTRACE_INTERRUPT, target, 0, 0) < 0 || waitpid(target, &status, __WALL) < 0)
                die("stop");
        (void)ptrace(PTRACE_SYSCALL, target, 0, 0);
        puts("attached");
        fflush(stdout);
}

int main(int count, char **arguments) {
        sigset_t children;
        struct pollfd sources[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
        struct signalfd_siginfo information;

        if (count != 2)
                return 64;
        target = (pid_t)strtol(arguments[1], NULL, 10);
        sigemptyset(&children);
        sigaddset(&children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &children, NULL);
        sources[1].fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
        attach();
        while (stops_handle() && poll(sources, 2, -1) > 0) {
                if (sources[1].revents)
                        (void)!read(sources[1].fd, &information, sizeof information);
                if (sources[0].revents && !commands_read()) {
                        detach();
                        return 0;
                }
        }
        return 0;
}
