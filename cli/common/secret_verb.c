/* Common start of the secret-file verbs: see secret_verb.h.
 *
 * A value on the command line is seen by every user of the machine (ps), by process accounting and by the
 * shell's history. It cannot be taken back, but it need not stay: the argument area is this process's own
 * memory. */

#include "cli/common/secret_verb.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/startup.h"
#include "cli/common/terminal.h"
#include "lib/memory_limit.h"

struct age_limits verb_limits = {
        .file_bytes_max = CRYPT_BYTES_MAX,
        .scrypt_log_n_max = AGE_SCRYPT_LOG_N_DEFAULT,
};

int verb_carry_out(char **argv, verb_function *work) {
        struct error error = {0};
        sigset_t pipe;
        int status;

        /* A reader that went away is an error like any other: it is told, and what is locked is given up
         * in order. */
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        sigprocmask(SIG_BLOCK, &pipe, NULL);
        /* A file says how much memory its passphrase takes. One that wants more than there is shall be
         * refused with a message, instead of a kill by the kernel that nobody understands. */
        verb_limits.scrypt_memory_max = memory_limit_bytes("");
        if (sodium_init() < 0)
                status = error_set(
                        &error, 0, "libsodium does not start: there is no source of random numbers");
        else
                status = work(argv, &error);
        return status < 0 ? cli_error_exit(&error) : status;
}

bool verb_output_is_closed(void) {
        return startup_had_closed(STDOUT_FILENO);
}

/* The shell's rule for a variable's name, so that a file with a `=` somewhere in its path is no
 * assignment. */
bool argument_is_assignment(const char *argument) {
        size_t length = strspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        return length > 0 && argument[length] == '=' && !(argument[0] >= '0' && argument[0] <= '9');
}

void argument_wipe(char *argument, size_t from) {
        size_t length = strlen(argument);

        if (from < length)
                secret_wipe(argument + from, length - from);
}

void arguments_wipe(char **argv) {
        for (size_t i = 1; argv[0] && argv[i]; i++)
                argument_wipe(argv[i], 0);
}

int argument_refuse_assignment(char *argument, struct error *error) {
        size_t name = strcspn(argument, "=");

        argument_wipe(argument, name);
        error_set(error, 0, "a value on the command line is refused: everybody can read it there");
        error_hint(error,
                "change that value, it is in the shell's history; 'tacet set FILE %.64s' takes the new one "
                "from a "
                "prompt or a pipe",
                argument);
        return error_status(error, EXIT_STATUS_USAGE);
}

int verb_error_busy(const char *path, struct error *error) {
        error_set(error, 0, "'%s' has been locked by another tacet for %lld s", path,
                (long long)(LOCK_WAIT_NS / NS_PER_S));
        return error_hint(error, "is somebody editing it? fuser '%s' shows who", path);
}
