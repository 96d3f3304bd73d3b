/* The process as it was started: see startup.h. */

#include "cli/common/startup.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/common/terminal.h"
#include "lib/fd.h"
#include "lib/secret_memory.h"
#include "lib/signals.h"

/* The process's own, filled once by startup_capture() and startup_harden() and only read afterwards. */
static struct launch_inheritance inheritance;
static unsigned closed_streams;

const struct launch_inheritance *startup_inheritance(void) {
        return &inheritance;
}

void startup_capture(void) {
        struct sigaction action = {0};

        signals_set_mask(SIGNAL_MASK_ALL, &inheritance.signal_mask);
        /* An ignored SIGCHLD survives execve(2), and with it waitpid(2) finds no child. We need it ours,
         * while the app gets what its caller chose. */
        inheritance.ignores_child = sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
        closed_streams = fd_hold_standard_streams();
}

bool startup_had_closed(int stream) {
        return closed_streams & 1U << stream;
}

void startup_restore_signals(void) {
        signals_set_mask(inheritance.signal_mask, NULL);
}

int startup_error_exit(const struct error *error) {
        /* A shortage may be over at the next try, while the other statuses tell a service manager that
         * trying again is useless (RestartPreventExitStatus= of systemd.service(5)). */
        bool is_shortage = error->code == ENOMEM || error->code == EMFILE || error->code == ENFILE ||
                           error->code == EAGAIN;

        cli_error_print(error);
        return error->status && !is_shortage ? error->status : EXIT_STATUS_SUPERVISOR;
}

void startup_harden(void) {
        inheritance.has_core_limit = getrlimit(RLIMIT_CORE, &inheritance.core_limit) == 0;
        process_harden();
}

void startup_hold_no_secret(void) {
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
