/* measure: how long do commands take? Every round runs each command once, so that what else the machine does
 * hits all alike.
 *
 *   measure ROUNDS +NAME COMMAND... +NAME COMMAND...
 *
 * Prints "NAME median p10 p99 faults", one command a line: microseconds, and the median of the minor page
 * faults of the command and all that it waited for. A command that fails ends the measurement. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 32
#define WARM_UP      5

struct command {
        const char *name;
        char **argv;
        double *microseconds, *faults;
};

static double now_us(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double command_time(const struct command *command, double *out_faults) {
        struct rusage usage = {0};
        double begin = now_us();
        pid_t pid = vfork();
        if (pid == 0) {
                execvp(command->argv[0], command->argv);
                _exit(127);
        }
        int status = -1;
        wait4(pid, &status, 0, &usage);
        double end = now_us();
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                fprintf(stderr, "measure: '%s' failed with wait status %d\n", command->name, status);
                exit(1);
        }
        *out_faults = (double)usage.ru_minflt;
        return end - begin;
}

static int compare(const void *a, const void *b) {
        double left = *(const double *)a, right = *(const double *)b;
        return (left > right) - (left < right);
}

int main(int argc, char **argv) {
        struct command commands[COMMANDS_MAX] = {0};
        int count = 0;
        long rounds = argc > 1 ? atol(argv[1]) : 0;

        for (int i = 2; i < argc; i++) {
                if (argv[i][0] != '+')
                        continue;
                if (count == COMMANDS_MAX)
                        return 64;
                commands[count].name = argv[i] + 1;
                commands[count].argv = argv + i + 1;
                commands[count].microseconds = calloc((size_t)rounds, sizeof(double));
                commands[count].faults = calloc((size_t)rounds, sizeof(double));
                count++;
                argv[i] = NULL; /* ends the command before it */
        }
        if (rounds <= 0 || count == 0)
                return 64;
        int null = open("/dev/null", O_RDWR);
        int out = dup(1);
        dup2(null, 1);
        for (long round = -WARM_UP; round < rounds; round++)
                for (int i = 0; i < count; i++) {
                        double faults, time = command_time(&commands[i], &faults);
                        if (round < 0)
                                continue;
                        commands[i].microseconds[round] = time;
                        commands[i].faults[round] = faults;
                }
        for (int i = 0; i < count; i++) {
                qsort(commands[i].microseconds, (size_t)rounds, sizeof(double), compare);
                qsort(commands[i].faults, (size_t)rounds, sizeof(double), compare);
                dprintf(out, "%s %.1f %.1f %.1f %.0f\n", commands[i].name,
                        commands[i].microseconds[rounds / 2], commands[i].microseconds[rounds / 10],
                        commands[i].microseconds[rounds * 99 / 100], commands[i].faults[rounds / 2]);
        }
        return 0;
}
