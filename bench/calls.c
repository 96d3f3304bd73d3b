/* calls: what do system calls cost here? Run it under a wrapper whose seccomp filter is to be measured.
 *
 *   calls PORT
 *
 * Prints "getppid NS", "bind-other NS" (a port that nobody named) and "bind-port NS" a call: of the first,
 * which waits for nobody, the shortest round, so that what else runs does not count; of the binds the
 * median. */

#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 501

static int64_t times[ROUNDS];

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int compare(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
}

static void print_time(const char *what, int rank, int64_t calls) {
        qsort(times, ROUNDS, sizeof *times, compare);
        printf("%s %.1f\n", what, (double)times[rank] / (double)calls);
}

static void measure_getppid(void) {
        for (int round = 0; round < ROUNDS; round++) {
                int64_t begin = now_ns();
                for (int i = 0; i < 1000; i++)
                        syscall(SYS_getppid);
                times[round] = now_ns() - begin;
        }
        print_time("getppid", 0, 1000);
}

static int measure_bind(const char *what, int port) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        for (int round = 0; round < ROUNDS; round++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                int64_t begin = now_ns();
                if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
                        return -1;
                times[round] = now_ns() - begin;
                close(fd);
        }
        print_time(what, ROUNDS / 2, 1);
        return 0;
}

int main(int argc, char **argv) {
        int port = argc == 2 ? atoi(argv[1]) : 0;

        if (port <= 0)
                return 64;
        measure_getppid();
        if (measure_bind("bind-other", 0) < 0 || measure_bind("bind-port", port) < 0)
                return 1;
        return 0;
}
