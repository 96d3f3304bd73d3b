/* probe: the application of the tests. One static program that says what it was given and does what it is
 * told, without a C library or a /proc that has to be there. Signals are handled by raw system calls:
 * libraries keep some real-time signals for themselves, and the tests want all 64.
 *
 *   probe state             print what this process inherited, one "key value" per line, then exit 0
 *   probe env               print the environment
 *   probe env-wait          print it and sleep for ever
 *   probe exit N            exit with N                       probe die SIGNAL     end by that signal
 *   probe log [SIGNAL]      print "ready PID", then the number of every signal that arrives; exit 0 after
 *   SIGNAL (15)
 *   probe wait              print "ready PID" and sleep for ever with default dispositions
 *   probe deaf              the same with every signal ignored
 *   probe clean MS FILE     at SIGTERM work for MS milliseconds, write FILE, exit 0
 *   probe orphans N         start N children that become orphans one after the other and end at once, then
 *   exit 0
 *   probe burst N           let go of N orphans at once; print how long until the last was reaped, and PID
 *   1's time
 *   probe write FILE TEXT   write a file; exit with errno when that fails */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIGNALS_MAX 64
#define MASK_BYTES  8

static int mask_change(int how, uint64_t mask, uint64_t *old) {
        return (int)syscall(SYS_rt_sigprocmask, how, &mask, old, MASK_BYTES);
}

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void sleep_ms(long ms) {
        struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

static void print_limit(const char *name, int resource) {
        struct rlimit limit;
        if (getrlimit(resource, &limit) == 0)
                printf("%s %lld %lld\n", name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
}

static void print_descriptors(void) {
        printf("fds");
        for (int fd = 0; fd < 4096; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        printf(" %d", fd);
        printf("\n");
}

static int run_state(void) {
        uint64_t blocked = 0, ignored = 0;
        char directory[4096];

        mask_change(SIG_BLOCK, 0, &blocked);
        for (int signal = 1; signal <= SIGNALS_MAX; signal++) {
                struct {
                        void *handler;
                        unsigned long flags;
                        void *restorer;
                        uint64_t mask;
                } action;
                if (syscall(SYS_rt_sigaction, signal, NULL, &action, MASK_BYTES) == 0 &&
                        action.handler == (void *)1)
                        ignored |= UINT64_C(1) << (signal - 1);
        }
        printf("pid %d\nppid %d\npgid %d\nsid %d\n", getpid(), getppid(), getpgid(0), getsid(0));
        printf("blocked %016llx\nignored %016llx\n", (unsigned long long)blocked,
                (unsigned long long)ignored);
        print_descriptors();
        printf("cwd %s\n", getcwd(directory, sizeof directory) ? directory : "?");
        mode_t mask = umask(0);
        printf("umask %04o\n", (unsigned)mask);
        printf("uid %d %d\ngid %d %d\n", getuid(), geteuid(), getgid(), getegid());
        print_limit("core", RLIMIT_CORE);
        print_limit("nofile", RLIMIT_NOFILE);
        print_limit("memlock", RLIMIT_MEMLOCK);
        printf("dumpable %d\nnnp %d\npdeathsig ", prctl(PR_GET_DUMPABLE),
                prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        int death = 0;
        prctl(PR_GET_PDEATHSIG, &death);
        printf("%d\ntty %d\n", death, isatty(0) ? (int)tcgetpgrp(0) : -1);
        return 0;
}

static int run_log(int until) {
        uint64_t every = ~UINT64_C(0), old;
        mask_change(SIG_SETMASK, every, &old);
        printf("ready %d\n", getpid());
        fflush(stdout);
        for (;;) {
                siginfo_t info;
                int signal = (int)syscall(SYS_rt_sigtimedwait, &every, &info, NULL, MASK_BYTES);
                if (signal <= 0)
                        continue;
                printf("%d\n", signal);
                fflush(stdout);
                if (signal == until)
                        return 0;
        }
}

static _Noreturn void run_wait(void) {
        printf("ready %d\n", getpid());
        fflush(stdout);
        for (;;)
                pause();
}

static _Noreturn void run_deaf(void) {
        for (int number = 1; number <= SIGNALS_MAX; number++)
                signal(number, SIG_IGN);
        run_wait();
}

static volatile sig_atomic_t asked;

static void note_signal(int number) {
        asked = number;
}

static int write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return errno;
        return 0;
}

static int run_clean(long ms, const char *path) {
        sigset_t term, old;
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, &old);
        signal(SIGTERM, note_signal);
        printf("ready %d\n", getpid());
        fflush(stdout);
        while (!asked)
                sigsuspend(&old);
        sleep_ms(ms);
        return write_file(path, "done\n");
}

static int run_orphans(int count) {
        for (int i = 0; i < count; i++) {
                pid_t middle = fork();
                if (middle == 0) {
                        if (vfork() == 0)
                                _exit(3);
                        _exit(0);
                }
                if (middle < 0 || waitpid(middle, NULL, 0) < 0)
                        return 1;
        }
        return 0;
}

/* How many processes this PID namespace has (needs its /proc). */
static int processes_count(void) {
        DIR *folder = opendir("/proc");
        int count = 0;
        struct dirent *entry;
        while (folder && (entry = readdir(folder)))
                count += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
        if (folder)
                closedir(folder);
        return count;
}

/* Processor time of a process so far, user and system, in clock ticks. */
static long processor_ticks(int pid) {
        char path[32], text[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "re");
        long user = 0, system = 0;
        if (file && fgets(text, sizeof text, file)) {
                char *after_name = strrchr(text, ')');
                if (after_name)
                        sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user,
                                &system);
        }
        if (file)
                fclose(file);
        return user + system;
}

static int run_burst(int count) {
        int gate[2], ready[2];
        char byte = 0;

        if (pipe(gate) < 0 || pipe(ready) < 0)
                return 1;
        int before = processes_count();
        pid_t middle = fork();
        if (middle == 0) {
                int started = 0;
                close(gate[1]);
                while (started < count) {
                        pid_t child = fork();
                        if (child == 0) {
                                close(ready[1]);
                                _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
                        }
                        if (child < 0)
                                break;
                        started++;
                }
                _exit(write(ready[1], &started, sizeof started) != sizeof started);
        }
        int started = 0;
        if (middle < 0 || read(ready[0], &started, sizeof started) != sizeof started || started != count)
                return 1;
        waitpid(middle, NULL, 0);
        close(gate[0]);
        int64_t begin = now_ns();
        close(gate[1]);
        while (processes_count() > before && now_ns() - begin < INT64_C(120000000000))
                sleep_ms(10);
        int64_t end = now_ns();
        printf("%d left, %lld us, %ld ticks\n", processes_count() - before, (long long)(end - begin) / 1000,
                processor_ticks(1));
        return processes_count() > before;
}

int main(int argc, char **argv) {
        const char *verb = argc > 1 ? argv[1] : "state";
        const char *first = argc > 2 ? argv[2] : "15";

        if (!strcmp(verb, "state"))
                return run_state();
        if (!strncmp(verb, "env", 3)) {
                for (char **at = environ; *at; at++)
                        puts(*at);
                if (!strcmp(verb, "env-wait"))
                        run_wait();
                return 0;
        }
        if (!strcmp(verb, "exit"))
                return atoi(first);
        if (!strcmp(verb, "die")) {
                signal(atoi(first), SIG_DFL);
                mask_change(SIG_SETMASK, 0, NULL);
                return raise(atoi(first));
        }
        if (!strcmp(verb, "log"))
                return run_log(atoi(first));
        if (!strcmp(verb, "wait"))
                run_wait();
        if (!strcmp(verb, "deaf"))
                run_deaf();
        if (!strcmp(verb, "clean") && argc == 4)
                return run_clean(atol(first), argv[3]);
        if (!strcmp(verb, "orphans"))
                return run_orphans(atoi(first));
        if (!strcmp(verb, "burst"))
                return run_burst(atoi(first));
        if (!strcmp(verb, "write") && argc == 4)
                return write_file(first, argv[3]);
        fprintf(stderr, "probe: unknown verb '%s'\n", verb);
        return 64;
}
