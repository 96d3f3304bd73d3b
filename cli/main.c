/* The program's entry: keep others from our memory, block every signal, find out who we are, call the verb.
 *
 * Signals are blocked that early because PID 1 loses what arrives before anybody waits for it
 * (pid_namespaces(7)); verbs that are not resident get the caller's mask back. */

#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cli/ask/verbs.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/common/startup.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"
#include "cli/service/init.h"
#include "cli/service/verbs.h"
#include "lib/bytes.h"
#include "lib/fd.h"

/* What `tacet VERB` calls, in the order of --help. keeps_signals_blocked: for those that may be PID 1 or
 * start the app, which take signals from a descriptor; all others should simply die of Ctrl-C. */
static const struct verb {
        const char *name;
        int (*run)(int argc, char **argv);
        bool keeps_signals_blocked;
        const char *help;
} verbs[] = {
        {"run", verb_run, true,
                "start a command with secrets in its environment and supervise it; SIGHUP rotates"},
        {"exec", verb_exec, true, "start a command with secrets in its environment and become it"},
        {"check", verb_check, false, "configuration and sources load: names, sizes, sources, fingerprints"},
        {"rotate", verb_rotate, false, "have a running service load its secrets again and move to them"},
        {"rollback", verb_rollback, false, "have a running service go back to the secrets it had before"},
        {"status", verb_status, false, "what a running service does"},
        {"keygen", verb_keygen, false, "make an identity (private key) and its recipient (public key)"},
        {"encrypt", verb_encrypt, false, "encrypt a file for recipients or with a passphrase"},
        {"decrypt", verb_decrypt, false, "decrypt a file"},
        {"set", verb_set, false, "set one secret in an encrypted file"},
        {"unset", verb_unset, false, "remove secrets from an encrypted file"},
        {"list", verb_list, false, "names and sizes of the secrets in an encrypted file"},
        {"edit", verb_edit, false, "edit an encrypted file in $EDITOR, without a plaintext file on disk"},
        {"rekey", verb_rekey, false, "encrypt a file anew for other recipients"},
};

#define VERB_COUNT (sizeof verbs / sizeof *verbs)

/* One write and no stdio: a full or closed output is noticed here, not in a buffer at exit. */
static int help_print(void) {
        char text[4096];
        int used = snprintf(text, sizeof text,
                "Usage: tacet -- COMMAND [ARGUMENT...]     be an init: forward signals, reap, exit as it "
                "does\n"
                "       tacet VERB [OPTION...]             see tacet VERB --help\n"
                "       tacet --personality NAME [...]     be tini, dumb-init or catatonit (as by a link of "
                "that name)\n"
                "\n"
                "Start a service with its secrets in its environment and nowhere else, and rotate them.\n"
                "\n"
                "Verbs:\n");

        for (size_t i = 0; i < VERB_COUNT && used > 0 && (size_t)used < sizeof text; i++)
                used += snprintf(
                        text + used, sizeof text - (size_t)used, "  %-9s %s\n", verbs[i].name, verbs[i].help);
        if (used > 0 && (size_t)used < sizeof text)
                used += snprintf(text + used, sizeof text - (size_t)used,
                        "\nThe manual: tacet(1), tacet.conf(5), tacet.dotenv(5).\n");
        return fd_write_full(STDOUT_FILENO, text, (size_t)used) < 0 ? EXIT_STATUS_FAILED : EXIT_STATUS_DONE;
}

static int usage_error(char *word) {
        const char *nearest = NULL;
        unsigned nearest_distance = 3;
        struct error error;

        /* `tacet NAME=value`: somebody meant to give a secret. It must not stay in the command line. */
        if (argument_is_assignment(word)) {
                (void)argument_refuse_assignment(word, &error);
                return cli_error_exit(&error);
        }
        for (size_t i = 0; i < VERB_COUNT; i++) {
                unsigned distance = text_distance(word, verbs[i].name, 2);

                if (distance < nearest_distance) {
                        nearest_distance = distance;
                        nearest = verbs[i].name;
                }
        }
        error_set(&error, 0, "'%s' is no verb of tacet", word);
        if (nearest)
                error_hint(&error, "did you mean '%s'?", nearest);
        else
                error_hint(&error, "to start a command: tacet -- COMMAND; the verbs: tacet --help");
        error_status(&error, EXIT_STATUS_USAGE);
        return cli_error_exit(&error);
}

/* argv[0] is the verb. No abbreviations: a later verb must not change what a script means. */
static int verb_call(int argc, char **argv) {
        for (size_t i = 0; i < VERB_COUNT; i++)
                if (strcmp(argv[0], verbs[i].name) == 0) {
                        if (!verbs[i].keeps_signals_blocked)
                                startup_restore_signals();
                        return verbs[i].run(argc, argv);
                }
        startup_restore_signals();
        return usage_error(argv[0]);
}

/* `--personality NAME`, for images where a link of that name cannot be made; argv[0] is the option. */
static int personality_option(int argc, char **argv) {
        struct error error;

        if (argc >= 2 && personality_is_known(argv[1]))
                return personality_run(argv[1], argc - 1, argv + 1);
        error_set(&error, 0, "--personality wants tini, dumb-init or catatonit");
        error_status(&error, EXIT_STATUS_USAGE);
        return cli_error_exit(&error);
}

/* With a set-user-ID bit anybody could start anything: `tacet -- sh`. */
static int set_id_refuse(void) {
        struct error error;

        error_set(&error, 0,
                "tacet runs with the rights of its caller and refuses to be set-user-ID or set-group-ID");
        error_hint(&error, "chmod u-s,g-s the program file");
        error_status(&error, EXIT_STATUS_SUPERVISOR);
        return cli_error_exit(&error);
}

int main(int argc, char **argv) {
        const char *name;

        startup_harden();
        startup_capture();
        /* The kernel's own word for how it started this program: getauxval(3). */
        if (getauxval(AT_UID) != getauxval(AT_EUID) || getauxval(AT_GID) != getauxval(AT_EGID))
                return set_id_refuse();
        /* Before any option is looked at: under another init's name all of them are that one's. */
        name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argc > 0 ? argv[0] : "tacet";
        if (personality_is_known(name))
                return personality_run(name, argc, argv);
        if (argc < 2) {
                /* Nothing was asked for, so a script that forgot its arguments must not go on as if it
                 * had worked. */
                (void)help_print();
                return EXIT_STATUS_USAGE;
        }
        if (strcmp(argv[1], "--") == 0)
                return init_run(argc - 1, argv + 1);
        if (strcmp(argv[1], "--personality") == 0)
                return personality_option(argc - 1, argv + 1);
        if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
                return puts("tacet " TACET_VERSION) < 0 || fflush(stdout) ? EXIT_STATUS_FAILED
                                                                          : EXIT_STATUS_DONE;
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
                return help_print();
        return verb_call(argc - 1, argv + 1);
}
