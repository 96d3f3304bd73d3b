/* A program of the build: print the loader's seccomp filter as a table of BPF instructions
 * (build/gen/secrets/filter.h).
 *
 * libseccomp writes the program here, once, because doing it in every loader would cost more than decrypting
 * a file (0.4 ms against 0.1 ms). The list is what a parser needs that has all its bytes already: memory, the
 * finished message, and the end. No open, socket, exec, fork, ptrace or signal; no memory that can be
 * executed. */

#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fcntl.h>
#include <linux/filter.h>

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

/* The comment says what for. Their order is of no account: see main(). */
static const int allowed[] = {
        SCMP_SYS(munmap), /* free, scrypt, the seal */
        SCMP_SYS(brk),    /* malloc */
        SCMP_SYS(mlock2), /* the arena */
        SCMP_SYS(mlock),  /* libsodium */
        SCMP_SYS(munlock),
        SCMP_SYS(madvise), /* the arena: DONTDUMP */
        SCMP_SYS(mremap),  /* realloc */
        SCMP_SYS(sendmsg), /* the one message */
        SCMP_SYS(close),
        SCMP_SYS(exit_group),
        SCMP_SYS(ftruncate), /* the size of the seal */
        SCMP_SYS(write),     /* the inventory, into its memfd */
        SCMP_SYS(memfd_create),
        __NR_memfd_secret,
        SCMP_SYS(getrandom),
        SCMP_SYS(futex),         /* locks inside libc */
        SCMP_SYS(clock_gettime), /* where the vDSO cannot answer */
        SCMP_SYS(sysinfo),       /* glibc's qsort asks how large memory is */
#ifdef TACET_SANITIZE
        SCMP_SYS(sched_yield),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(rt_sigprocmask),
#endif
};

static void check(int result, const char *what) {
        if (result >= 0)
                return;
        fprintf(stderr, "make_filter: %s: error %d\n", what, -result);
        exit(1);
}

static void rules_add(scmp_filter_ctx filter) {
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
                check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0), "allow");
        check(seccomp_rule_add(
                      filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
                "mmap");
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
                "mprotect");
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS)),
                "fcntl");
}

int main(void) {
        static struct sock_filter program[4096];
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int fd = memfd_create("filter", MFD_CLOEXEC);
        ssize_t length;

        if (!filter || fd < 0)
                return 1;
        check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "bad architecture");
        /* A binary tree of the numbers instead of a chain. The kernel runs the program once for every call
         * that exists when it is installed (its bitmap of calls that are always allowed), so that is what
         * gets cheaper. */
        check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "binary tree");
        rules_add(filter);
        check(seccomp_export_bpf(filter, fd), "export");
        length = pread(fd, program, sizeof program, 0);
        if (length <= 0 || (size_t)length == sizeof program)
                return 1;
        printf("/* Made by secrets/filter/make_filter.c. */\n");
        for (size_t i = 0; i < (size_t)length / sizeof *program; i++)
                printf("{0x%02x, %u, %u, 0x%08x},\n", program[i].code, program[i].jt, program[i].jf,
                        program[i].k);
        return 0;
}
