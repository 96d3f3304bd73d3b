/* latency: how long does a signal take through a wrapper, and how long does a killed program stay away?
 *
 *   latency signal COUNT COMMAND...     the command must start `latency child FILE` below it; {} stands
 *   for those words
 *   latency restart COUNT COMMAND...    the same; the program is killed and the time to the main() of the
 *   next one is taken
 *   latency child FILE                  the program: notes its start and each SIGUSR1 in the shared file
 *
 * Prints "median p10 p99" in microseconds. */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 64

struct shared {
        _Atomic int64_t pid, started_ns, signals, signal_ns;
};

static struct shared *shared;

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void pause_ns(int64_t ns) {
        struct timespec span = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        nanosleep(&span, NULL);
}

static void note_signal(int number) {
        (void)number;
        atomic_store(&shared->signal_ns, now_ns());
        atomic_fetch_add(&shared->signals, 1);
}

static struct shared *shared_map(const char *path) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(struct shared)) < 0)
                return NULL;
        void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        return at == MAP_FAILED ? NULL : at;
}

static int run_child(const char *path) {
        int64_t begin = now_ns();
        struct sigaction action = {.sa_handler = note_signal};
        shared = shared_map(path);
        if (!shared)
                return 1;
        sigaction(SIGUSR1, &action, NULL);
        atomic_store(&shared->started_ns, begin);
        atomic_store(&shared->pid, getpid());
        for (;;)
                pause();
}

static int compare(const void *a, const void *b) {
        double left = *(const double *)a, right = *(const double *)b;
        return (left > right) - (left < right);
}

/* Wait until the program has another pid than `old`, ten seconds at most. */
static int64_t program_await(int64_t old) {
        int64_t begin = now_ns();
        while (atomic_load(&shared->pid) == old && now_ns() - begin < INT64_C(10000000000))
                pause_ns(20000);
        return atomic_load(&shared->pid);
}

static double signal_time(pid_t wrapper) {
        int64_t seen = atomic_load(&shared->signals);
        int64_t begin = now_ns();
        kill(wrapper, SIGUSR1);
        while (atomic_load(&shared->signals) == seen && now_ns() - begin < INT64_C(2000000000))
                ;
        double time = (double)(atomic_load(&shared->signal_ns) - begin) / 1e3;
        pause_ns(300000);
        return time;
}

static double restart_time(void) {
        int64_t old = atomic_load(&shared->pid);
        pause_ns(20000000);
        int64_t begin = now_ns();
        kill((pid_t)old, SIGKILL);
        if (program_await(old) == old)
                return -1;
        return (double)(atomic_load(&shared->started_ns) - begin) / 1e3;
}

int main(int argc, char **argv) {
        char path[] = "/dev/shm/tacet-latency-XXXXXX", self[4096], *words[WORDS_MAX] = {0};
        int at = 0;

        if (argc == 3 && !strcmp(argv[1], "child"))
                return run_child(argv[2]);
        if (argc < 4)
                return 64;
        long count = atol(argv[2]);
        double *times = calloc((size_t)count, sizeof(double));
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        close(mkstemp(path));
        shared = shared_map(path);
        if (!shared || length < 0 || !times)
                return 1;
        self[length] = '\0';
        for (int i = 3; i < argc && at < WORDS_MAX - 4; i++) {
                if (strcmp(argv[i], "{}")) {
                        words[at++] = argv[i];
                        continue;
                }
                words[at++] = self;
                words[at++] = "child";
                words[at++] = path;
        }
        pid_t wrapper = fork();
        if (wrapper == 0) {
                execvp(words[0], words);
                _exit(127);
        }
        int failed = program_await(0) == 0;
        pause_ns(50000000);
        for (long i = 0; i < count && !failed; i++) {
                times[i] = !strcmp(argv[1], "signal") ? signal_time(wrapper) : restart_time();
                failed = times[i] < 0;
        }
        kill(wrapper, SIGTERM);
        int status;
        waitpid(wrapper, &status, 0);
        unlink(path);
        if (failed)
                return 1;
        qsort(times, (size_t)count, sizeof(double), compare);
        printf("%.1f %.1f %.1f\n", times[count / 2], times[count / 10], times[count * 99 / 100]);
        return 0;
}
