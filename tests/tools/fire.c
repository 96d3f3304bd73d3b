/* fire: start a wrapper many times and send it one SIGTERM at a random moment of its start; count what got
 * lost.
 *
 *   fire [--pid1] COUNT WINDOW_US COMMAND...
 *
 * Whatever the moment, the whole must end: before exec by the default action in the new process, later
 * because the wrapper passes the signal on. A run that has not ended 30 s later (as PID 1: 150 ms) has lost
 * it. With --pid1 the wrapper is PID 1 of its own PID namespace, where the kernel itself drops a signal that
 * arrives before it is blocked; the run is then ended by SIGKILL. Prints "lost N of COUNT" and exits 0;
 * anything that cannot be set up exits 1. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS      30000
#define PATIENCE_PID1_MS 150

static uint64_t random_next(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static void wait_us(long us) {
        struct timespec begin, now;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        do
                clock_gettime(CLOCK_MONOTONIC, &now);
        while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

/* Start the command; the new process is there when this returns, its exec may not have happened yet. */
static pid_t command_start(char **argv, int is_pid1) {
        unsigned long flags = SIGCHLD | (is_pid1 ? CLONE_NEWPID : 0);
        pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
        if (pid == 0) {
                execvp(argv[0], argv);
                _exit(127);
        }
        return pid;
}

int main(int argc, char **argv) {
        int is_pid1 = argc > 1 && strcmp(argv[1], "--pid1") == 0;
        argv += is_pid1;
        argc -= is_pid1;
        if (argc < 4)
                return 1;
        long count = atol(argv[1]), window_us = atol(argv[2]), lost = 0;
        uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

        for (long i = 0; i < count; i++) {
                pid_t pid = command_start(argv + 3, is_pid1);
                if (pid < 0)
                        return 1;
                int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
                wait_us((long)(random_next(&state) % (uint64_t)window_us));
                kill(pid, SIGTERM);
                struct pollfd end = {.fd = pidfd, .events = POLLIN};
                int ready = poll(&end, 1, is_pid1 ? PATIENCE_PID1_MS : PATIENCE_MS);
                lost += ready == 0;
                if (ready == 0) {
                        kill(pid, SIGTERM);
                        poll(&end, 1, PATIENCE_PID1_MS);
                        kill(pid, SIGKILL);
                }
                int status;
                waitpid(pid, &status, 0);
                close(pidfd);
                if (WIFEXITED(status) && WEXITSTATUS(status) >= 125 && WEXITSTATUS(status) <= 127) {
                        fprintf(stderr, "fire: the command does not start (exit %d)\n", WEXITSTATUS(status));
                        return 1;
                }
        }
        printf("lost %ld of %ld\n", lost, count);
        return 0;
}
