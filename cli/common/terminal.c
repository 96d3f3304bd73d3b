/* The terminal: see terminal.h. Runs in the verbs that people type, never in PID 1's loop.
 *
 * A hidden prompt must put the echo back whatever happens. Signal handlers would do it late and could copy
 * registers that hold the answer onto the stack, so the signals that stop or end a process are blocked for
 * the time of the question and read from a signalfd beside the terminal: the settings are restored first,
 * then the signal is raised again. */

#include "cli/common/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "lib/fd.h"

/* Somebody who cannot type it twice the same should not be asked for ever. */
#define ASK_TRIES 3

bool terminal_has_color(int fd) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(fd) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

/* Opening tells more than a look at descriptor 0: in `tacet decrypt < file` the person is there all the
 * same, and a daemon has no controlling terminal whatever its descriptors are. */
bool terminal_is_present(void) {
        CLEANUP_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

        return tty >= 0;
}

/* ---- the hidden prompt ---- */

struct question {
        const char *prompt;
        int tty;
        int signals;
        struct termios shown, hidden;
};

/* TCSAFLUSH drops what was typed ahead: it was echoed already, and would be taken for the answer. */
static int question_show(const struct question *question, const struct termios *settings, const char *text) {
        int result;

        do
                result = tcsetattr(question->tty, TCSAFLUSH, settings);
        while (result < 0 && errno == EINTR);
        if (result < 0)
                return -1;
        return fd_write_full(question->tty, text, strlen(text));
}

/* A signal came: put the terminal right, let the signal act, and ask again if we are still here (TSTP and
 * CONT). */
static void question_pass_signal(const struct question *question, int number) {
        sigset_t one, before;

        (void)question_show(question, &question->shown, "\n");
        /* The terminal has its echo by now: the signal may end or stop this process, and the shell wants
         * it. */
        sigemptyset(&one);
        sigaddset(&one, number);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &one, &before);
        sigprocmask(SIG_SETMASK, &before, NULL);
        (void)question_show(question, &question->hidden, question->prompt);
}

/* Wait until the terminal has input. Returns 0 or -1 with errno. */
static int question_wait(const struct question *question) {
        for (;;) {
                struct pollfd watch[2] = {
                        {.fd = question->tty, .events = POLLIN}, {.fd = question->signals, .events = POLLIN}};
                struct signalfd_siginfo info;

                if (poll(watch, 2, -1) < 0 && errno != EINTR)
                        return -1;
                if ((watch[1].revents & POLLIN) &&
                        read(question->signals, &info, sizeof info) == (ssize_t)sizeof info) {
                        question_pass_signal(question, (int)info.ssi_signo);
                        continue;
                }
                if (watch[0].revents)
                        return 0;
        }
}

/* Read one line, byte-exact, straight into the arena. Returns 0 or -1 with error; the caller releases the
 * arena. */
static int question_read(
        const struct question *question, struct arena *arena, struct secret_bytes *out, struct error *error) {
        struct secret_bytes line = {.at = arena_take(arena, TERMINAL_LINE_MAX, error)};
        ssize_t got;

        if (!line.at)
                return -1;
        for (;;) {

                if (question_wait(question) < 0)
                        return error_set(error, errno, "wait for the terminal");
                got = read(question->tty, line.at + line.length, TERMINAL_LINE_MAX - line.length);
                if (got < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (got < 0)
                        return error_set(error, errno, "read from the terminal");
                if (got == 0)
                        return error_set(error, 0, "the terminal's input ended before a line was given");
                line.length += (size_t)got;
                if (line.at[line.length - 1] == '\n' || line.length == TERMINAL_LINE_MAX)
                        break;
        }
        /* The kernel drops what is longer without a word: half a pasted key must not be stored. */
        if (line.length >= TERMINAL_LINE_MAX) {
                error_set(error, 0, "a line of %zu bytes or more: a terminal cuts it there",
                        TERMINAL_LINE_MAX - 1);
                return error_hint(error, "give it on standard input, from a file or a pipe");
        }
        line.length--;
        *out = line;
        return 0;
}

static int question_ask(
        struct question *question, struct arena *arena, struct secret_bytes *out, struct error *error) {
        size_t mark = arena->used;
        int result;

        if (tcgetattr(question->tty, &question->shown) < 0)
                return error_set(error, errno, "read the terminal's settings");
        question->hidden = question->shown;
        question->hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
        /* A program before us may have left the terminal raw: without ICANON there is no line, and
         * without ISIG no way out. */
        question->hidden.c_lflag |= ICANON | ISIG;
        question->hidden.c_iflag |= ICRNL;
        if (question_show(question, &question->hidden, question->prompt) < 0)
                return error_set(error, errno, "turn off the terminal's echo");
        result = question_read(question, arena, out, error);
        (void)question_show(question, &question->shown, "\n");
        if (result < 0)
                arena_release(arena, mark);
        return result;
}

int terminal_ask_hidden(
        const char *prompt, struct arena *arena, struct secret_bytes *out, struct error *error) {
        /* Not SIGTTIN and SIGTTOU: a background job must stop before it touches the terminal's settings. */
        static const int held[] = {
                SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM, SIGUSR1, SIGUSR2, SIGPIPE, SIGXCPU};
        CLEANUP_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        CLEANUP_FD int signals = -1;
        sigset_t mask, before;
        int result;

        if (tty < 0)
                return TERMINAL_NONE;
        sigemptyset(&mask);
        for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
                sigaddset(&mask, held[i]);
        sigprocmask(SIG_BLOCK, &mask, &before);
        signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        result = signals < 0
                         ? error_set(error, errno, "watch for signals")
                         : question_ask(&(struct question){.prompt = prompt, .tty = tty, .signals = signals},
                                   arena, out, error);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return result;
}

int terminal_ask_twice(const char *prompt, const char *again, struct arena *arena, struct secret_bytes *out,
        struct error *error) {
        for (int try = 0; try < ASK_TRIES; try++) {
                struct secret_bytes first = {0}, second = {0};
                size_t mark = arena->used, keep;
                int result = terminal_ask_hidden(prompt, arena, &first, error);

                if (result != 0)
                        return result;
                /* No answer means something to some callers (make one up) and an error to the others; not
                 * a typing error, so it is not asked for again. */
                *out = first;
                if (!first.length)
                        return 0;
                keep = arena->used;
                result = terminal_ask_hidden(again, arena, &second, error);
                if (result == 0 && first.length == second.length &&
                        sodium_memcmp(first.at, second.at, first.length) == 0) {
                        arena_release(arena, keep);
                        return 0;
                }
                arena_release(arena, mark);
                if (result != 0)
                        return result;
                cli_note("the two answers differ, once more");
        }
        return error_set(error, 0, "the two answers differed %d times", ASK_TRIES);
}

int terminal_show(const char *label, struct secret_bytes text, struct error *error) {
        CLEANUP_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

        if (tty < 0 || fd_write_full(tty, label, strlen(label)) < 0 ||
                fd_write_full(tty, text.at, text.length) < 0 || fd_write_full(tty, "\n", 1) < 0)
                return error_set(error, errno, "write to the terminal");
        return 0;
}

char terminal_choose(const char *question, const char *letters) {
        CLEANUP_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

        while (tty >= 0 && fd_write_full(tty, question, strlen(question)) == 0) {
                char line[64];
                ssize_t got = read(tty, line, sizeof line);
                char letter;

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return 0;
                letter = line[0] == '\n' ? letters[0] : (char)(line[0] | 0x20);
                if (strchr(letters, letter))
                        return letter;
        }
        return 0;
}

/* ---- messages ---- */

static void message_print(const char *color, const char *kind, const char *text, const char *hint) {
        bool has_color = terminal_has_color(STDERR_FILENO);
        char line[ERROR_TEXT_BYTES + ERROR_HINT_BYTES + 128];
        int length = snprintf(line, sizeof line, "%stacet: %s%s%s\n%s%s%s%s%s", has_color ? color : "", kind,
                has_color ? "\033[0m" : "", text, *hint ? "  " : "", has_color && *hint ? "\033[1m" : "",
                *hint ? "next: " : "", has_color && *hint ? "\033[0m" : "", hint);

        if (length < 0)
                return;
        if ((size_t)length >= sizeof line)
                length = (int)sizeof line - 1;
        /* One write, so that lines of several processes do not mix; nothing can be done about a failure. */
        (void)!write(STDERR_FILENO, line, (size_t)length);
        if (*hint)
                (void)!write(STDERR_FILENO, "\n", 1);
}

void cli_error_print(const struct error *error) {
        message_print("\033[1;31m", "", error->text, error->hint);
}

/* The error replaces what a file name may hold to play with the terminal. */
static void text_print(const char *color, const char *label, const char *format, va_list arguments)
        __attribute__((format(printf, 3, 0)));
static void text_print(const char *color, const char *label, const char *format, va_list arguments) {
        char text[ERROR_TEXT_BYTES];
        struct error printable;

        vsnprintf(text, sizeof text, format, arguments);
        error_set(&printable, 0, "%s", text);
        message_print(color, label, printable.text, "");
}

void cli_note(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        text_print("\033[1m", "", format, arguments);
        va_end(arguments);
}

void cli_warn(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        text_print("\033[1;33m", "warning: ", format, arguments);
        va_end(arguments);
}

int cli_error_exit(const struct error *error) {
        cli_error_print(error);
        return error->status ? error->status : EXIT_STATUS_FAILED;
}
