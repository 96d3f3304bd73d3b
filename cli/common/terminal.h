#pragma once

/* The person at the terminal: hidden prompts, questions, errors with their next step.
 *
 * Questions go to /dev/tty, the controlling terminal, so that standard input and output stay free for
 * content. Messages go to standard error, in one write(2) each. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"
#include "lib/secret_memory.h"

/* `fd` is a terminal and colour is welcome there: NO_COLOR is unset or empty, TERM is not "dumb". */
bool terminal_has_color(int fd);

/* True when there is a controlling terminal to ask at. */
bool terminal_is_present(void);

#define TERMINAL_NONE 1 /* there is no controlling terminal */
/* Bytes of a line, with its line feed: what the kernel's line editing keeps (termios(3)). */
#define TERMINAL_LINE_MAX ((size_t)4096)

/* Ask on /dev/tty, without echo, for one line. The line (without its end) lies in `arena`. The terminal's
 * settings are restored on every way out, also when a signal stops or ends the process: the signals are
 * held back meanwhile and raised again afterwards, so no handler runs and none can miss.
 * Returns 0; TERMINAL_NONE; -1 with error (end of input, too long, a signal that is otherwise ignored). */
int terminal_ask_hidden(
        const char *prompt, struct arena *arena, struct secret_bytes *out, struct error *error);

/* Ask twice until both answers are equal, three times at the most: nobody sees what is typed, and a secret
 * with a slip in it is lost.
 * again   the second prompt
 * out     in `arena`; an empty first answer is given back at once, without the second question
 * Returns 0; TERMINAL_NONE; -1 with error. */
int terminal_ask_twice(const char *prompt, const char *again, struct arena *arena, struct secret_bytes *out,
        struct error *error);

/* Write LABEL, `text` and a line end on /dev/tty: for the one secret that is made up for a person to keep.
 * Never to standard output or error, which may be a file or a log. Returns 0 or -1 with error. */
int terminal_show(const char *label, struct secret_bytes text, struct error *error);

/* Ask a question with one-letter answers ("ed": the first is the default, taken for an empty line).
 * Returns the letter in lower case; 0 when there is no terminal or it ends. */
char terminal_choose(const char *question, const char *letters);

/* Print "tacet: TEXT" on standard error, and the hint on a line of its own; coloured at a terminal. */
void cli_error_print(const struct error *error);

/* The same for a remark that stops nothing: "tacet: TEXT", "tacet: warning: TEXT". Control characters in what
 * is quoted are replaced (text_tame()). */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print the error and give the exit status for it: its own, else EXIT_STATUS_FAILED. */
int cli_error_exit(const struct error *error);
