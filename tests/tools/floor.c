/* floor: the least that an init can be, as a yardstick for tests and measurements. It blocks every signal as
 * its first act, starts the program with vfork, forwards what arrives and reaps until the program ends.
 * Nothing else. */

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASK_BYTES 8

int main(int argc, char **argv) {
        uint64_t every = ~UINT64_C(0), old = 0;
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every, &old, MASK_BYTES);
        if (argc < 2)
                return 125;
        pid_t child = vfork();
        if (child == 0) {
                syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, MASK_BYTES);
                execvp(argv[1], argv + 1);
                _exit(errno == ENOENT ? 127 : 126);
        }
        if (child < 0)
                return 125;
        for (;;) {
                siginfo_t info;
                int signal = (int)syscall(SYS_rt_sigtimedwait, &every, &info, NULL, MASK_BYTES);
                if (signal > 0 && signal != SIGCHLD)
                        kill(child, signal);
                int status;
                pid_t ended;
                while (signal == SIGCHLD && (ended = waitpid(-1, &status, WNOHANG)) > 0)
                        if (ended == child)
                                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
}
