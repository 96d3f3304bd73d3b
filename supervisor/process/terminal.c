/* Job control: see terminal.h. Called by the supervisor where the app shares its terminal. */

#include "supervisor/process/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/signals.h"

void terminal_open(struct terminal *terminal) {
        terminal->fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
        for (int fd = 0; terminal->fd < 0 && fd <= 2; fd++)
                if (tcgetpgrp(fd) >= 0)
                        terminal->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

bool terminal_is_ours(const struct terminal *terminal) {
        return terminal->fd >= 0 && tcgetpgrp(terminal->fd) == getpgrp();
}

void terminal_give(const struct terminal *terminal, pid_t group) {
        if (group > 0 && terminal_is_ours(terminal))
                (void)tcsetpgrp(terminal->fd, group);
}

void terminal_take_back(const struct terminal *terminal, pid_t group) {
        if (terminal->fd >= 0 && group > 0 && group != getpgrp() && tcgetpgrp(terminal->fd) == group)
                (void)tcsetpgrp(terminal->fd, getpgrp());
}

void terminal_suspend_self(void) {
        signals_set_mask(SIGNAL_MASK_ALL & ~signal_bit(SIGTSTP), NULL);
        (void)kill(0, SIGTSTP);
        signals_set_mask(SIGNAL_MASK_ALL, NULL);
}
