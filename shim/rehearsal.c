/* Becoming the app, in a child that only tries it: see rehearsal.h. Runs in `tacet exec`, before it loads
 * anything. */

#include "shim/rehearsal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/signals.h"
#include "shim/progress.h"

static void note_drop(const struct launch_message *message, void *context) {
        (void)message;
        (void)context;
}

/* All steps but those that need what is not there yet; the last one finds nothing to execute. */
static _Noreturn void try_child(const struct launch_spec *spec, volatile uint8_t *byte) {
        char *const nothing[] = {(char[]){""}, NULL};
        struct launch_spec tried = *spec;
        struct launch_message failure;

        signals_set_mask(SIGNAL_MASK_ALL, NULL);
        tried.argv = nothing;
        tried.expansion = (struct launch_expansion){0};
        tried.secrets = NULL;
        tried.loader = 0;
        tried.progress = byte;
        launch_become(&tried, NULL, NULL, 0, note_drop, NULL, &failure);
        _exit(0);
}

bool rehearsal_fails(const struct launch_spec *spec, struct launch_message *out) {
        volatile uint8_t *byte;
        bool is_filtered = false;
        int status = 0;
        pid_t pid;

        if ((!spec->identity->is_set && spec->limit_count == 0) ||
                prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER || !(byte = progress_new(1)))
                return false;
        (void)signal(SIGCHLD, SIG_DFL); /* ignored, there would be nothing to reap */
        pid = fork();
        if (pid == 0)
                try_child(spec, byte);
        while (pid > 0 && waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        break;
        if (pid > 0)
                is_filtered = progress_filtered(byte, status, out);
        /* What is pending is not the app's. */
        (void)signal(SIGCHLD, SIG_IGN);
        (void)signal(SIGCHLD, SIG_DFL);
        (void)munmap((void *)(uintptr_t)byte, 1);
        return is_filtered;
}
