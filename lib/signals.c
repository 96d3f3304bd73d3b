/* Raw signal masks and signal names: see signals.h. */

#include "lib/signals.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"

/* What kill(1) and people call RTMIN: glibc's value, whatever library this program is linked with. */
#define REALTIME_NAMED_MIN 34
#define REALTIME_NAMED_MAX 64

static const struct {
        int number;
        const char *name;
} signal_names[] = {
        {SIGHUP, "HUP"},
        {SIGINT, "INT"},
        {SIGQUIT, "QUIT"},
        {SIGILL, "ILL"},
        {SIGTRAP, "TRAP"},
        {SIGABRT, "ABRT"},
        {SIGABRT, "IOT"},
        {SIGBUS, "BUS"},
        {SIGFPE, "FPE"},
        {SIGKILL, "KILL"},
        {SIGUSR1, "USR1"},
        {SIGSEGV, "SEGV"},
        {SIGUSR2, "USR2"},
        {SIGPIPE, "PIPE"},
        {SIGALRM, "ALRM"},
        {SIGTERM, "TERM"},
        {SIGSTKFLT, "STKFLT"},
        {SIGCHLD, "CHLD"},
        {SIGCHLD, "CLD"},
        {SIGCONT, "CONT"},
        {SIGSTOP, "STOP"},
        {SIGTSTP, "TSTP"},
        {SIGTTIN, "TTIN"},
        {SIGTTOU, "TTOU"},
        {SIGURG, "URG"},
        {SIGXCPU, "XCPU"},
        {SIGXFSZ, "XFSZ"},
        {SIGVTALRM, "VTALRM"},
        {SIGPROF, "PROF"},
        {SIGWINCH, "WINCH"},
        {SIGIO, "IO"},
        {SIGIO, "POLL"},
        {SIGPWR, "PWR"},
        {SIGSYS, "SYS"},
};

void signals_set_mask(uint64_t mask, uint64_t *out_former) {
        long result = syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, out_former, sizeof mask);

        /* Only a bad pointer or size can make this fail: rt_sigprocmask(2). */
        assert(result == 0);
        (void)result;
}

int signals_open(uint64_t mask) {
        return (int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int realtime_parse(const char *text) {
        uint64_t offset = 0;
        const char *rest;
        int number;

        if (strncasecmp(text, "RTMIN", 5) == 0) {
                rest = text + 5;
                if (*rest && (*rest != '+' || !text_to_u64(rest + 1, &offset) || offset > SIGNAL_MAX))
                        return 0;
                number = REALTIME_NAMED_MIN + (int)offset;
        } else if (strncasecmp(text, "RTMAX", 5) == 0) {
                rest = text + 5;
                if (*rest && (*rest != '-' || !text_to_u64(rest + 1, &offset) || offset > SIGNAL_MAX))
                        return 0;
                number = REALTIME_NAMED_MAX - (int)offset;
        } else {
                return 0;
        }
        return number >= REALTIME_NAMED_MIN && number <= REALTIME_NAMED_MAX ? number : 0;
}

int signal_parse(const char *text) {
        uint64_t number;

        if (text_to_u64(text, &number))
                return number >= 1 && number <= SIGNAL_MAX ? (int)number : 0;
        if (strncasecmp(text, "SIG", 3) == 0)
                text += 3;
        for (size_t i = 0; i < sizeof signal_names / sizeof *signal_names; i++)
                if (strcasecmp(text, signal_names[i].name) == 0)
                        return signal_names[i].number;
        return realtime_parse(text);
}

const char *signal_name(int number, char out[static SIGNAL_NAME_BYTES]) {
        for (size_t i = 0; i < sizeof signal_names / sizeof *signal_names; i++)
                if (number == signal_names[i].number) {
                        snprintf(out, SIGNAL_NAME_BYTES, "%s", signal_names[i].name);
                        return out;
                }
        if (number >= REALTIME_NAMED_MIN && number <= REALTIME_NAMED_MAX)
                snprintf(out, SIGNAL_NAME_BYTES, "RTMIN+%d", number - REALTIME_NAMED_MIN);
        else
                snprintf(out, SIGNAL_NAME_BYTES, "%d", number);
        return out;
}
