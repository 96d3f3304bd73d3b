/* Shims that a system call filter ends: see progress.h. progress_note() runs in the shim, the rest in its
 * parent. */

#include "shim/progress.h"

#include <assert.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static_assert(LAUNCH_STAGE_COUNT < PROGRESS_OVER, "a byte knows them all");

volatile uint8_t *progress_new(size_t count) {
        void *page = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return page == MAP_FAILED ? NULL : page;
}

bool progress_is_cut(const volatile uint8_t *byte) {
        return byte && *byte != PROGRESS_OVER;
}

bool progress_filtered(const volatile uint8_t *byte, int wait_status, struct launch_message *out) {
        const uint8_t noted = byte ? *byte : PROGRESS_NONE;

        if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) != SIGSYS || noted == PROGRESS_NONE ||
                noted > LAUNCH_STAGE_COUNT)
                return false;
        *out = (struct launch_message){.kind = LAUNCH_FILTERED, .stage = noted - 1U};
        return true;
}

/* Words of SystemCallFilter=: by groups where a libc chooses among several. */
static const char *const stage_calls[] = {
        [LAUNCH_CGROUP] = "write",
        [LAUNCH_SESSION] = "setpgid setsid",
        [LAUNCH_TERMINAL] = "ioctl getpgrp getpgid",
        [LAUNCH_SECRETS] = "mmap munmap close",
        [LAUNCH_ADOPT] = "seccomp prctl sendmsg",
        [LAUNCH_DESCRIPTORS] = "fcntl dup2 dup3 close close_range open openat",
        [LAUNCH_LIMITS] = "prlimit64",
        [LAUNCH_GROUPS] = "setgroups",
        [LAUNCH_GROUP] = "setresgid",
        [LAUNCH_USER] = "setresuid prctl",
        [LAUNCH_PARENT] = "prctl getppid",
        [LAUNCH_UMASK] = "umask",
        [LAUNCH_DIRECTORY] = "chdir",
        [LAUNCH_ENVIRONMENT] = "mmap brk getpid",
        [LAUNCH_ARGUMENTS] = "mmap brk",
        [LAUNCH_LOADER] = "wait4 rt_sigaction",
        [LAUNCH_EXECUTE] = "prlimit64 setrlimit rt_sigaction",
};
static_assert(sizeof stage_calls / sizeof *stage_calls == LAUNCH_STAGE_COUNT, "some for each stage");

const char *progress_calls(unsigned stage) {
        return stage < LAUNCH_STAGE_COUNT ? stage_calls[stage] : "";
}
