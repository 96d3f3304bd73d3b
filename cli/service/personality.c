/* tacet under the names of other inits: their options and environment variables, their behaviour, less their
 * defects.
 *
 * Each personality is a table of options and a few lines that turn them into settings of the supervisor;
 * there is no second supervisor. What differs from the original on purpose stands in tacet(1), PERSONALITIES:
 * 126 and 127 for commands that cannot be executed, no shell for files without #!, no signal lost during the
 * start, the caller's signal mask kept, no terminal taken in the background, descendants ended before the
 * exit of PID 1. */

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/service/init.h"
#include "cli/common/options.h"
#include "cli/service/service.h"
#include "cli/common/startup.h"
#include "cli/common/terminal.h"
#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/log.h"
#include "lib/signals.h"

/* What the options of any personality come to. */
struct personality_state {
        struct config config;
        struct service service;
        bool is_subreaper;
        bool signals_group;
        bool warns_reaped;
        bool is_pause;
        bool is_session;
        int verbosity;
        int parent_death_signal;
        bool is_success[256]; /* exit codes that are reported as 0 */
        uint8_t rewrites[SIGNAL_MAX + 1];
};

#define OPTION_VERSION   (OPTION_HELP - 1)
#define PERSONALITY_DONE 1 /* an option has said all: exit 0 */

/* A row of `personalities`. The functions are called in this order, and nothing is started before the
 * last. */
struct personality {
        const char *name;
        const struct option_table *table;
        void (*begin)(struct personality_state *state); /* environment variables */
        int (*option)(struct personality_state *state, int id, const struct option_reader *reader,
                struct error *error);
        void (*finish)(struct personality_state *state); /* settings, once the service is made */
        const char *log_name;                            /* before its messages */
        /* What --version prints, for tools that read it: the release that is stood in for. */
        const char *version;
        int version_stream; /* where the original prints it */
};

/* ---- tini ---------------------------------------------------------------------------------------------- */

/* tini takes what the environment says first and adds the options to it; its exit codes are those of the
 * app, less the ones that -e maps to 0. */
enum { TINI_SUBREAPER = 1, TINI_PARENT, TINI_VERBOSE, TINI_WARN, TINI_GROUP, TINI_REMAP, TINI_LICENSE };

static const struct option_spec tini_options[] = {
        {.id = OPTION_VERSION, .name = "version", .help = "show the version"},
        {.id = TINI_SUBREAPER,
                .letter = 's',
                .is_repeatable = true,
                .help = "adopt orphans when not PID 1 ($TINI_SUBREAPER)"},
        {.id = TINI_PARENT,
                .letter = 'p',
                .value = "SIGNAL",
                .is_repeatable = true,
                .help = "get SIGNAL when the parent dies"},
        {.id = TINI_VERBOSE,
                .letter = 'v',
                .is_repeatable = true,
                .help = "say more; up to three times ($TINI_VERBOSITY)"},
        {.id = TINI_WARN, .letter = 'w', .is_repeatable = true, .help = "warn of every reaped orphan"},
        {.id = TINI_GROUP,
                .letter = 'g',
                .is_repeatable = true,
                .help = "send signals to the process group ($TINI_KILL_PROCESS_GROUP)"},
        {.id = TINI_REMAP,
                .letter = 'e',
                .value = "CODE",
                .is_repeatable = true,
                .help = "exit with 0 for exit code CODE"},
        {.id = TINI_LICENSE, .letter = 'l', .help = "show the licence"},
        OPTION_SPEC_HELP,
};

static const struct option_table tini_table = {
        .command = "tini",
        .synopsis = "[OPTION...] PROGRAM -- [ARGUMENT...] | --version",
        .purpose = "tacet, standing in for tini.",
        .specs = tini_options,
        .count = sizeof tini_options / sizeof *tini_options,
        .stops_at_operand = true,
};

static void tini_begin(struct personality_state *state) {
        const char *verbosity = getenv("TINI_VERBOSITY");
        uint64_t level;

        /* As tini: a number out of its range is ignored, and the options come on top. */
        state->verbosity = 1;
        if (verbosity && text_to_u64(verbosity, &level) && level <= 3)
                state->verbosity = (int)level;
        state->is_subreaper = getenv("TINI_SUBREAPER") != NULL;
        state->signals_group = getenv("TINI_KILL_PROCESS_GROUP") != NULL;
}

static int tini_option(
        struct personality_state *state, int id, const struct option_reader *reader, struct error *error) {
        uint64_t code;

        switch (id) {
        case TINI_SUBREAPER:
                state->is_subreaper = true;
                return 0;
        case TINI_PARENT:
                state->parent_death_signal = signal_parse(reader->value);
                if (!state->parent_death_signal)
                        return option_usage_error(reader->table, error, "-p wants a signal such as SIGTERM");
                return 0;
        case TINI_VERBOSE:
                state->verbosity++;
                return 0;
        case TINI_WARN:
                state->warns_reaped = true;
                return 0;
        case TINI_GROUP:
                state->signals_group = true;
                return 0;
        case TINI_REMAP:
                if (option_number(reader, 0, 255, &code, error) < 0)
                        return -1;
                state->is_success[code] = true;
                return 0;
        case TINI_LICENSE:
                return puts("tacet: ISC licence, see LICENSE in its source") < 0 ? -1 : PERSONALITY_DONE;
        default:
                return -1;
        }
}

/* Whoever started it may have made it a subreaper already: execve(2) keeps that (prctl(2)). */
static bool adopts_orphans(const struct personality_state *state) {
        int is_subreaper = 0;

        return getpid() == 1 || state->is_subreaper ||
               (prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper) == 0 && is_subreaper);
}

static void tini_finish(struct personality_state *state) {
        if (state->verbosity > 0 && !adopts_orphans(state))
                log_write(LOG_WARNING, "neither PID 1 nor a subreaper (-s, TINI_SUBREAPER): orphans go "
                                       "elsewhere, zombie reaping won't work");
}

/* ---- dumb-init ----------------------------------------------------------------------------------------- */

/* dumb-init gives the app a session and signals all of it: for images whose command is a shell that would
 * not pass anything on. */
enum { DUMB_SINGLE = 1, DUMB_REWRITE, DUMB_VERBOSE };

static const struct option_spec dumb_options[] = {
        {.id = DUMB_SINGLE,
                .letter = 'c',
                .name = "single-child",
                .is_repeatable = true,
                .help = "no session of its own; signals to the process alone ($DUMB_INIT_SETSID=0)"},
        {.id = DUMB_REWRITE,
                .letter = 'r',
                .name = "rewrite",
                .value = "S:R",
                .is_repeatable = true,
                .help = "send signal R for signal S; 0 drops it"},
        {.id = DUMB_VERBOSE,
                .letter = 'v',
                .name = "verbose",
                .is_repeatable = true,
                .help = "say more ($DUMB_INIT_DEBUG=1)"},
        OPTION_SPEC_HELP,
        {.id = OPTION_VERSION, .letter = 'V', .name = "version", .help = "show the version"},
};

static const struct option_table dumb_table = {
        .command = "dumb-init",
        .synopsis = "[OPTION...] COMMAND [ARGUMENT...]",
        .purpose = "tacet, standing in for dumb-init.",
        .specs = dumb_options,
        .count = sizeof dumb_options / sizeof *dumb_options,
        .stops_at_operand = true,
};

static bool variable_is(const char *name, const char *value) {
        const char *text = getenv(name);

        return text && strcmp(text, value) == 0;
}

static void dumb_begin(struct personality_state *state) {
        /* Only "0" turns it off and only "1" is verbose, as in dumb-init: another value means what no
         * value means. */
        state->is_session = !variable_is("DUMB_INIT_SETSID", "0");
        state->verbosity = variable_is("DUMB_INIT_DEBUG", "1") ? 3 : 1;
        state->is_subreaper = false;
        /* UINT8_MAX: not rewritten by an option (yet). */
        memset(state->rewrites, UINT8_MAX, sizeof state->rewrites);
}

static int dumb_rewrite(
        struct personality_state *state, const struct option_reader *reader, struct error *error) {
        const char *colon = strchr(reader->value, ':');
        uint64_t from, to;

        /* Numbers and no names, as dumb-init has it; 0 in the second place drops the signal. */
        if (!colon || !bytes_to_u64(reader->value, (size_t)(colon - reader->value), &from) ||
                !text_to_u64(colon + 1, &to) || from < 1 || from > SIGNAL_MAX || to > SIGNAL_MAX)
                return option_usage_error(reader->table, error,
                        "--rewrite wants S:R, two signal numbers up to 64, such as 15:3");
        state->rewrites[from] = (uint8_t)to;
        return 0;
}

static int dumb_option(
        struct personality_state *state, int id, const struct option_reader *reader, struct error *error) {
        switch (id) {
        case DUMB_SINGLE:
                state->is_session = false;
                return 0;
        case DUMB_REWRITE:
                return dumb_rewrite(state, reader, error);
        case DUMB_VERBOSE:
                state->verbosity = 3;
                return 0;
        default:
                return -1;
        }
}

/* A session of its own needs the terminal free: let go of it. The HUP and CONT that follow from that
 * (credentials(7)) are ours, not the program's. */
static void terminal_let_go(void) {
        sigset_t own;

        if (!isatty(STDIN_FILENO) || ioctl(STDIN_FILENO, TIOCNOTTY) < 0 || getsid(0) != getpid())
                return;
        sigemptyset(&own);
        sigaddset(&own, SIGHUP);
        sigaddset(&own, SIGCONT);
        while (sigtimedwait(&own, NULL, &(struct timespec){0}) > 0)
                continue;
}

/* A session leader's group is orphaned, and the kernel discards TSTP, TTIN and TTOU there (credentials(7)):
 * STOP instead. */
static uint8_t dumb_rewrite_default(const struct personality_state *state, int number) {
        if (state->is_session && (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU))
                return SIGSTOP;
        return (uint8_t)number;
}

static void dumb_finish(struct personality_state *state) {
        struct supervisor_settings *settings = &state->service.settings;

        settings->launch.session = state->is_session ? LAUNCH_OWN_SESSION : LAUNCH_SAME_GROUP;
        settings->signals_group = state->is_session;
        settings->ends_group = state->is_session;
        /* A shell that sent TSTP expects that its job stops, not only what runs in it. */
        settings->suspends_itself = true;
        for (int number = 1; number <= SIGNAL_MAX; number++)
                settings->rewrites[number] = state->rewrites[number] == UINT8_MAX
                                                     ? dumb_rewrite_default(state, number)
                                                     : state->rewrites[number];
        if (state->is_session)
                terminal_let_go();
}

/* ---- catatonit ----------------------------------------------------------------------------------------- */

/* catatonit is what podman puts in front of a container's command; with -P it holds a pod's namespaces. */
enum { CATATONIT_GROUP = 1, CATATONIT_PAUSE, CATATONIT_LICENSE };

static const struct option_spec catatonit_options[] = {
        {.id = CATATONIT_GROUP,
                .letter = 'g',
                .is_repeatable = true,
                .help = "send signals to the process group"},
        {.id = CATATONIT_PAUSE,
                .letter = 'P',
                .is_repeatable = true,
                .help = "start nothing: reap until told to end"},
        {.id = OPTION_VERSION, .letter = 'V', .name = "version", .help = "show the version"},
        {.id = CATATONIT_LICENSE, .letter = 'L', .help = "show the licence"},
        OPTION_SPEC_HELP,
};

static const struct option_table catatonit_table = {
        .command = "catatonit",
        .synopsis = "[OPTION...] [--] COMMAND [ARGUMENT...]",
        .purpose = "tacet, standing in for catatonit.",
        .specs = catatonit_options,
        .count = sizeof catatonit_options / sizeof *catatonit_options,
        .stops_at_operand = true,
};

static void catatonit_begin(struct personality_state *state) {
        state->verbosity = 1;
        state->is_subreaper = true;
}

static int catatonit_option(
        struct personality_state *state, int id, const struct option_reader *reader, struct error *error) {
        (void)reader, (void)error;
        switch (id) {
        case CATATONIT_GROUP:
                state->signals_group = true;
                return 0;
        case CATATONIT_PAUSE:
                state->is_pause = true;
                return 0;
        case CATATONIT_LICENSE:
                return puts("tacet: ISC licence, see LICENSE in its source") < 0 ? -1 : PERSONALITY_DONE;
        default:
                return -1;
        }
}

static void catatonit_finish(struct personality_state *state) {
        (void)state;
}

/* Reap what is adopted until TERM, INT, QUIT or HUP. */
static int pause_run(void) {
        /* An ignored SIGCHLD would be inherited from a careless caller and never wake us. */
        (void)signal(SIGCHLD, SIG_DFL);
        if (getpid() != 1)
                (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        /* So that a file system is not kept busy by a process that does nothing. */
        (void)!chdir("/");
        for (;;) {
                sigset_t all;
                int number;

                /* Every signal is blocked since main, so none is lost between two rounds. */
                sigfillset(&all);
                number = sigwaitinfo(&all, NULL);
                while (waitpid(-1, NULL, WNOHANG) > 0)
                        continue;
                if (number == SIGTERM || number == SIGINT || number == SIGQUIT || number == SIGHUP)
                        return EXIT_STATUS_DONE;
        }
}

/* ---- all of them --------------------------------------------------------------------------------------- */

#define TINI_VERSION "tini version 0.19.0 - tacet." TACET_VERSION

static const struct personality personalities[] = {
        {"tini", &tini_table, tini_begin, tini_option, tini_finish, "tini", TINI_VERSION, STDOUT_FILENO},
        {"tini-static", &tini_table, tini_begin, tini_option, tini_finish, "tini-static", TINI_VERSION,
                STDOUT_FILENO},
        {"dumb-init", &dumb_table, dumb_begin, dumb_option, dumb_finish, "[dumb-init]", "dumb-init v1.2.5",
                STDERR_FILENO},
        {"catatonit", &catatonit_table, catatonit_begin, catatonit_option, catatonit_finish, "catatonit",
                "tini version 0.1.7_catatonit - tacet." TACET_VERSION, STDOUT_FILENO},
};

static const struct personality *personality_find(const char *name) {
        for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++)
                if (strcmp(name, personalities[i].name) == 0)
                        return &personalities[i];
        return NULL;
}

bool personality_is_known(const char *name) {
        return personality_find(name) != NULL;
}

/* The peers leave 1 for a wrong command line. */
static int usage_exit(struct error *error) {
        /* A script that was written for one of them looks for that number, not for ours. */
        error_status(error, EXIT_STATUS_FAILED);
        return cli_error_exit(error);
}

/* The original's line, since tools read it; who it really is stands behind it or, where a tool compares the
 * whole, on the other stream. */
static int version_print(const struct personality *personality) {
        dprintf(personality->version_stream, "%s\n", personality->version);
        return personality->version_stream == STDOUT_FILENO ? 0 : -(puts("tacet " TACET_VERSION) < 0);
}

/* Returns 0 with the operands in reader->rest, PERSONALITY_DONE, or -1 with error. */
static int options_read(const struct personality *personality, struct personality_state *state,
        struct option_reader *reader, char **argv, struct error *error) {
        int id, result;

        option_start(reader, personality->table, argv);
        while ((id = option_next(reader, error)) != OPTION_END) {
                if (id < 0)
                        return -1;
                if (id == OPTION_HELP)
                        return option_help_print(personality->table, STDOUT_FILENO) ? -1 : PERSONALITY_DONE;
                if (id == OPTION_VERSION)
                        return version_print(personality) ? -1 : PERSONALITY_DONE;
                result = personality->option(state, id, reader, error);
                if (result)
                        return result;
        }
        return 0;
}

static int service_run(
        const struct personality *personality, struct personality_state *state, char **command) {
        struct supervisor_settings *settings = &state->service.settings;
        struct error error;
        int status;

        service_config_plain(&state->config);
        if (config_set_command(&state->config, command, &error) < 0 ||
                service_init(&state->service, &state->config, NULL, &error) < 0)
                return startup_error_exit(&error);
        settings->is_subreaper = state->is_subreaper;
        settings->signals_group = state->signals_group;
        settings->reports_reaped = state->warns_reaped;
        /* After the settings are made from the defaults, so that it can change each of them. */
        personality->finish(state);
        if (state->parent_death_signal)
                (void)prctl(PR_SET_PDEATHSIG, state->parent_death_signal);
        /* Comes back: what it returns is looked up in -e before the process ends. */
        status = supervisor_run(settings);
        return status >= 0 && status < 256 && state->is_success[status] ? EXIT_STATUS_DONE : status;
}

int personality_run(const char *name, int argc, char **argv) {
        static const enum log_level levels[] = {LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
        static struct personality_state state; /* large, and PID 1's stack should stay small */
        const struct personality *personality = personality_find(name);
        struct option_reader reader;
        struct error error = {0};
        int result;

        (void)argc;
        assert(personality); /* main asked personality_is_known() */
        startup_hold_no_secret();
        config_init(&state.config);
        personality->begin(&state);
        result = options_read(personality, &state, &reader, argv, &error);
        if (result == PERSONALITY_DONE)
                return fflush(stdout) ? EXIT_STATUS_FAILED : EXIT_STATUS_DONE;
        if (result < 0)
                return usage_exit(&error);
        log_setup(LOG_FORMAT_AUTO,
                levels[state.verbosity < 0    ? 0
                        : state.verbosity > 3 ? 3
                                              : state.verbosity],
                personality->log_name);
        if (state.is_pause)
                return pause_run();
        if (!*reader.rest) {
                option_usage_error(personality->table, &error, "no command given");
                return usage_exit(&error);
        }
        result = service_run(personality, &state, reader.rest);
        config_deinit(&state.config);
        return result;
}
