/* A program of the build: print the app's seccomp filter and the numbers of the calls that it reports
 * (build/gen/shim/adopt_filter.h), as rows of macros that the includer defines.
 *
 *   ADOPT_INSTRUCTION(code, jt, jf, k)         the BPF program for internet addresses
 *   ADOPT_PATHS_INSTRUCTION(code, jt, jf, k)   the one for paths, which reports what removes a file as well
 *   ADOPT_ALL_INSTRUCTION(code, jt, jf, k)     the one that reports connect(2), beside all others
 *   ADOPT_CALL(arch, number, call)             what a reported call is, by AUDIT_ARCH_* and number
 *
 * libseccomp writes the program here, once: the shim installs it with one system call, without allocating.
 * Everything is allowed, also what no list knows; only those calls are reported, in every way in which this
 * kernel can run them (32-bit programs too, by socketcall(2) as well). */

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a kernel of the first architecture also runs. */
static const struct {
        uint32_t native, also;
} compatible[] = {
        {SCMP_ARCH_X86_64, SCMP_ARCH_X86},
        {SCMP_ARCH_X86_64, SCMP_ARCH_X32},
        {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
};
#define X32_BIT          0x40000000
#define NUMBERS_MAX      1024
#define COMPATIBLE_COUNT (sizeof compatible / sizeof *compatible)

static const struct {
        const char *name, *call;
} calls[] = {
        {"bind", "ADOPT_CALL_BIND"},
        {"listen", "ADOPT_CALL_LISTEN"},
        {"getsockopt", "ADOPT_CALL_ASK_LISTENING"},
        {"socketcall", "ADOPT_CALL_SOCKETCALL"},
        {"connect", "ADOPT_CALL_CONNECT"},
        {"unlink", "ADOPT_CALL_UNLINK"},
        {"unlinkat", "ADOPT_CALL_UNLINKAT"},
};

static void check(int result, const char *what) {
        if (result >= 0)
                return;
        fprintf(stderr, "make_adopt: %s: error %d\n", what, -result);
        exit(1);
}

/* By number: of a name libseccomp knows one number only, and a 32-bit bind has two ways. */
static void print_calls(uint32_t arch) {
        /* x32 calls come with the architecture of x86_64 and a bit in their number. */
        uint32_t audit = arch == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : arch;
        int first = arch == SCMP_ARCH_X32 ? X32_BIT : 0;

        for (int number = first; number < first + NUMBERS_MAX; number++) {
                char *name = seccomp_syscall_resolve_num_arch(arch, number);

                for (size_t i = 0; name && i < sizeof calls / sizeof *calls; i++)
                        if (strcmp(name, calls[i].name) == 0)
                                printf("ADOPT_CALL(0x%08xU, %d, %s)\n", audit, number, calls[i].call);
                free(name);
        }
}

static void print_program(scmp_filter_ctx filter, const char *macro) {
        static struct sock_filter program[4096];
        int fd = memfd_create("filter", MFD_CLOEXEC);
        ssize_t length;

        check(fd, "memfd_create");
        check(seccomp_export_bpf(filter, fd), "export");
        length = pread(fd, program, sizeof program, 0);
        if (length <= 0 || (size_t)length == sizeof program)
                check(-1, "read the program");
        for (size_t i = 0; i < (size_t)length / sizeof *program; i++)
                printf("%s(0x%02x, %u, %u, 0x%08xU)\n", macro, program[i].code, program[i].jt, program[i].jf,
                        program[i].k);
        close(fd);
}

static scmp_filter_ctx filter_make(void) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

        if (!filter)
                check(-1, "begin a filter");
        for (size_t i = 0; i < COMPATIBLE_COUNT; i++)
                if (compatible[i].native == seccomp_arch_native())
                        check(seccomp_arch_add(filter, compatible[i].also), "add an architecture");
        check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW), "other architectures");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(bind), 0), "report bind");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(listen), 0), "report listen");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(getsockopt), 2,
                      SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_ACCEPTCONN)),
                "report the question for SO_ACCEPTCONN");
        return filter;
}

int main(void) {
        scmp_filter_ctx filter = filter_make();

        printf("/* Made by shim/filter/make_adopt.c. */\n");
        print_calls(seccomp_arch_native());
        for (size_t i = 0; i < COMPATIBLE_COUNT; i++)
                if (compatible[i].native == seccomp_arch_native())
                        print_calls(compatible[i].also);
        print_program(filter, "ADOPT_INSTRUCTION");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(unlink), 0), "report unlink");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(unlinkat), 0), "report unlinkat");
        print_program(filter, "ADOPT_PATHS_INSTRUCTION");
        check(seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(connect), 0), "report connect");
        print_program(filter, "ADOPT_ALL_INSTRUCTION");
        seccomp_release(filter);
        return 0;
}
