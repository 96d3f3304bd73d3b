/* dumpable NAME COMMAND...: who owns /proc/PID/mem of the process NAME in the moment of its execve(2), before
 * its first instruction?
 *
 * proc(5): the process's user where that one may read it, root where the process is not dumpable. Everything
 * that COMMAND starts is traced until a process called NAME is found, stopped by ptrace(2) at the end of
 * execve; the answer is one line of standard output. Processes go on afterwards. The exit status is 0 when
 * there was one. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)

static int is_called(int pid, const char *name) {
        char path[64], comm[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        file = fopen(path, "r");
        if (!file)
                return 0;
        if (!fgets(comm, sizeof comm, file))
                comm[0] = '\0';
        fclose(file);
        comm[strcspn(comm, "\n")] = '\0';
        return strcmp(comm, name) == 0;
}

static void owner_print(int pid) {
        struct stat status;
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        if (stat(path, &status) == 0)
                printf("owner %u\n", (unsigned)status.st_uid);
        fflush(stdout);
}

int main(int count, char **arguments) {
        int status, found = 0;
        pid_t pid;

        if (count < 3)
                return 64;
        pid = fork();
        if (pid == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                execvp(arguments[2], arguments + 2);
                _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid || ptrace(PTRACE_SETOPTIONS, pid, NULL, OPTIONS) < 0)
                return 1;
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        while ((pid = waitpid(-1, &status, __WALL)) > 0) {
                int signal = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;

                if (!WIFSTOPPED(status))
                        continue;
                if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8) && !found &&
                        is_called(pid, arguments[1])) {
                        owner_print(pid);
                        found = 1;
                }
                if (signal == SIGTRAP || signal == SIGSTOP)
                        signal = 0;
                ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal);
        }
        return !found;
}
