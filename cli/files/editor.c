/* The editor of `tacet edit`: see editor.h.
 *
 * Three processes: the verb (has the keys and the plaintext), the guard (has the folder, never a secret in
 * its memory), and the editor, its child. The guard ignores what a terminal sends, so that it outlives the
 * others: when its channel ends, because the verb is done or was killed, it ends the editor and removes
 * the folder. When the guard itself is killed, the kernel kills the editor with it, and a private folder
 * goes with the last of them. */

#include "cli/files/editor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli/common/stream.h"
#include "cli/common/terminal.h"
#include "lib/fd.h"

/* Of the file in the folder, with its NUL; EDIT_NAME_BYTES of edit.c is less. */
#define FILE_NAME_BYTES 128
/* Time for an editor to write its recovery file, which goes with the folder, and to put the terminal
 * right. */
#define HANG_UP_WAIT_MS 2000

/* What the guard answers: once when the folder is there, then once for each run. */
struct guard_answer {
        bool is_error;
        int wait_status; /* of the editor, waitpid(2) */
        struct place place;
        struct error error;
};

/* ---- the guard ---- */

struct guard {
        int channel;
        struct place place;
        sigset_t mask; /* what the verb was started with: the editor's */
        struct termios terminal;
        bool has_terminal;
};

/* A union, because the buffer of a control message has to be aligned as its header is (cmsg(3)). */
static int answer_send(const struct guard *guard, const struct guard_answer *answer, int fd) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec bytes = {.iov_base = (void *)(uintptr_t)answer, .iov_len = sizeof *answer};
        struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

        if (fd >= 0) {
                message.msg_control = control.room;
                message.msg_controllen = sizeof control.room;
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof fd);
                memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        }
        return sendmsg(guard->channel, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* In the editor's process: become it. Exits 127 or 126 as a shell does. */
static void editor_become(const struct guard *guard, const char *name, pid_t parent) {
        static const char *const usual[] = {"editor", "vi", "nano"};
        const char *visual = getenv("VISUAL"), *editor = visual && *visual ? visual : getenv("EDITOR");
        char path[PLACE_PATH_BYTES + FILE_NAME_BYTES + 1], command[4096];

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        /* The guard may have died between its fork and our prctl(2): then no signal will ever come. */
        if (getppid() != parent)
                _exit(127);
        snprintf(path, sizeof path, "%s/%s", guard->place.path, name);
        /* Editors put copies there: swap files, what a filter command gets. */
        (void)setenv("TMPDIR", guard->place.path, 1);
        /* The guard ignores these, and what is ignored survives execve(2). */
        for (int number = 1; number < NSIG; number++)
                if (number == SIGINT || number == SIGQUIT || number == SIGTERM || number == SIGHUP)
                        signal(number, SIG_DFL);
        sigprocmask(SIG_SETMASK, &guard->mask, NULL);
        /* Most values are one word and need no shell; `code --wait` and its like are written for one. The
         * file's path is an argument of its own in both cases, never part of the command. */
        if (!editor || !*editor) {
                for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
                        execlp(usual[i], usual[i], path, (char *)NULL);
        } else if (editor[strcspn(editor, " \t\n|&;<>()$`\\\"'*?[]#~=%{}!")] == '\0') {
                execlp(editor, editor, path, (char *)NULL);
        } else if (snprintf(command, sizeof command, "%s \"$@\"", editor) < (int)sizeof command) {
                execl("/bin/sh", "sh", "-c", command, editor, path, (char *)NULL);
        }
        _exit(errno == ENOENT ? 127 : 126);
}

/* The verb is gone: the editor is asked to go as by a closed terminal, then it has to. */
static void editor_end(pid_t editor, int pidfd) {
        kill(editor, SIGHUP);
        /* A stopped editor would not see it. */
        kill(editor, SIGCONT);
        (void)poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, HANG_UP_WAIT_MS);
        kill(editor, SIGKILL);
}

/* Wait for the editor, or for the end of the verb. Returns its wait status. */
static int editor_wait(const struct guard *guard, pid_t editor) {
        CLEANUP_FD int pidfd = (int)syscall(SYS_pidfd_open, editor, 0);
        struct pollfd watch[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = guard->channel, .events = POLLIN}};
        int status = 0;

        while (pidfd >= 0 && !watch[0].revents) {
                if (poll(watch, 2, -1) < 0 && errno != EINTR)
                        break;
                if (watch[1].revents) {
                        editor_end(editor, pidfd);
                        break;
                }
        }
        while (waitpid(editor, &status, 0) < 0 && errno == EINTR)
                ;
        /* One that was killed left the terminal as it needed it. */
        if (guard->has_terminal && WIFSIGNALED(status))
                (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &guard->terminal);
        return status;
}

/* One request is the name of a file to edit; a channel that ended means that the verb is gone. */
static void guard_serve(struct guard *guard) {
        static struct guard_answer answer;
        char name[FILE_NAME_BYTES];
        ssize_t got;

        while ((got = recv(guard->channel, name, sizeof name - 1, 0)) > 0 || (got < 0 && errno == EINTR)) {
                pid_t guard_pid = getpid(), editor;

                if (got < 0)
                        continue;
                name[got] = '\0';
                answer = (struct guard_answer){0};
                editor = fork();
                if (editor == 0)
                        editor_become(guard, name, guard_pid);
                if (editor < 0) {
                        answer.is_error = true;
                        error_set(&answer.error, errno, "start the editor");
                } else {
                        answer.wait_status = editor_wait(guard, editor);
                }
                if (answer_send(guard, &answer, -1) < 0)
                        return;
        }
}

static void guard_main(int channel, bool is_private, const struct key_options *keys) {
        static const int ignored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
        static struct guard_answer answer;
        struct guard guard = {.channel = channel};
        sigset_t blocked;

        /* A descriptor that was given to the verb (fd:N) is not for the editor. */
        if (channel > 3)
                (void)syscall(SYS_close_range, 3U, (unsigned)channel - 1, 0U);
        /* Nor is anything else: what is close-on-exec would stay open in the guard itself, as long as the
         * editor runs. */
        (void)syscall(SYS_close_range, (unsigned)channel + 1, ~0U, 0U);
        /* An editor starts other programs, and every one of them would have the identity in its
         * environment. */
        key_options_forget_environment(keys);
        for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
                signal(ignored[i], SIG_IGN);
        /* SIGTTOU: the terminal is put right also from the background. */
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTTOU);
        sigaddset(&blocked, SIGPIPE);
        sigprocmask(SIG_BLOCK, &blocked, &guard.mask);
        sigdelset(&guard.mask, SIGPIPE);
        guard.has_terminal = tcgetattr(STDIN_FILENO, &guard.terminal) == 0;
        answer.is_error = place_make(&guard.place, is_private, &answer.error) < 0;
        answer.place = guard.place;
        /* The descriptor travels along, because the verb stays outside of the guard's mount namespace and
         * cannot open the path. */
        if (answer_send(&guard, &answer, guard.place.folder) == 0 && !answer.is_error)
                guard_serve(&guard);
        /* Reached however the verb ended, also by SIGKILL: that is what the guard is for. */
        place_remove(&guard.place);
        _exit(0);
}

/* ---- the verb's side ---- */

/* Wait for the guard. *out_fd, if given, gets the descriptor that came along. */
static int answer_receive(
        const struct editor *editor, struct guard_answer *out, int *out_fd, struct error *error) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec bytes = {.iov_base = out, .iov_len = sizeof *out};
        struct msghdr message = {.msg_iov = &bytes,
                .msg_iovlen = 1,
                .msg_control = control.room,
                .msg_controllen = sizeof control.room};
        ssize_t got;

        do
                got = recvmsg(editor->channel, &message, MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
        if (got != (ssize_t)sizeof *out)
                return error_set(
                        error, got < 0 ? errno : 0, "the process that guards the editor's file has ended");
        if (out_fd && message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
                control.header.cmsg_type == SCM_RIGHTS)
                memcpy(out_fd, CMSG_DATA(&control.header), sizeof *out_fd);
        if (out->is_error) {
                *error = out->error;
                return -1;
        }
        return 0;
}

/* One try: a process that failed to leave its namespaces cannot be used for anything else. */
static int guard_start(
        struct editor *editor, bool is_private, const struct key_options *keys, struct error *error) {
        struct guard_answer answer;
        int ends[2], folder = -1;

        *editor = EDITOR_INIT;
        /* Packets keep their boundaries, and the end of one side is seen by the other as that of a stream
         * is. */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return error_set(error, errno, "make a channel to the editor's guard");
        editor->guard = fork();
        if (editor->guard == 0)
                guard_main(ends[1], is_private, keys);
        fd_close(ends[1]);
        editor->channel = ends[0];
        if (editor->guard < 0)
                return error_set(error, errno, "start the editor's guard");
        if (answer_receive(editor, &answer, &folder, error) < 0)
                return -1;
        editor->place = answer.place;
        editor->place.folder = folder;
        return folder < 0 ? error_set(error, 0, "the editor's guard sent no folder") : 0;
}

int editor_start(
        struct editor *editor, bool wants_visible, const struct key_options *keys, struct error *error) {
        char why[ERROR_TEXT_BYTES];

        if (wants_visible)
                return guard_start(editor, false, keys, error);
        if (guard_start(editor, true, keys, error) == 0)
                return 0;
        /* A namespace cannot be had in many containers. Then a folder of this user's own must do, and the
         * person is told what that means, before the text is in it. */
        editor_stop(editor);
        memcpy(why, error->text, sizeof why);
        if (guard_start(editor, false, keys, error) < 0)
                return -1;
        cli_warn("the text is edited in %s, which other programs of this user can read (%s)",
                editor->place.path, why);
        return 0;
}

/* O_EXCL and O_NOFOLLOW: in a visible folder another program of this user could have put a link there. */
int editor_put(struct editor *editor, const char *name, struct bytes text, struct error *error) {
        CLEANUP_FD int fd = openat(
                editor->place.folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0 || fd_write_full(fd, text.at, text.length) < 0)
                return error_set(error, errno, "write the editor's file %s/%s", editor->place.path, name);
        return 0;
}

static int editor_status_check(int status, struct error *error) {
        const char *visual = getenv("VISUAL"), *name = visual && *visual ? visual : getenv("EDITOR");

        if (!name || !*name)
                name = "editor";
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFSIGNALED(status))
                return error_set(error, 0, "the editor '%s' was ended by signal %d: nothing was changed",
                        name, WTERMSIG(status));
        if (WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 126) {
                error_set(error, 0, "the editor '%s' cannot be started", name);
                return error_hint(error, "set VISUAL or EDITOR to one that can");
        }
        return error_set(error, 0, "the editor '%s' ended with status %d: nothing was changed", name,
                WEXITSTATUS(status));
}

int editor_run(struct editor *editor, const char *name, struct error *error) {
        struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
        struct guard_answer answer;
        int result;

        if (send(editor->channel, name, strlen(name), MSG_NOSIGNAL) < 0)
                return error_set(error, errno, "the process that guards the editor's file has ended");
        /* ^C and ^\ are the editor's keys now. */
        sigaction(SIGINT, &ignore, &interrupt);
        sigaction(SIGQUIT, &ignore, &quit);
        result = answer_receive(editor, &answer, NULL, error);
        sigaction(SIGINT, &interrupt, NULL);
        sigaction(SIGQUIT, &quit, NULL);
        return result < 0 ? -1 : editor_status_check(answer.wait_status, error);
}

/* The editor, or what it ran, decides what has the name now. A link would make us encrypt another file,
 * and a FIFO would have us wait for ever: O_NOFOLLOW, O_NONBLOCK. */
int editor_get(struct editor *editor, const char *name, size_t bytes_max, struct arena *arena,
        struct secret_bytes *out, struct error *error) {
        CLEANUP_FD int fd =
                openat(editor->place.folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return error_set(error, errno, "read the editor's file %s/%s", editor->place.path, name);
        return stream_read(fd, "the edited text", bytes_max, arena, out, error);
}

void editor_stop(struct editor *editor) {
        fd_close(fd_take(&editor->channel));
        if (editor->guard > 0)
                while (waitpid(editor->guard, NULL, 0) < 0 && errno == EINTR)
                        ;
        editor->guard = 0;
        /* Again, in case that the guard was killed. */
        place_remove(&editor->place);
}
