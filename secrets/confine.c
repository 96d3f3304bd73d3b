/* Confining the loader: see confine.h. Called in the loader between reading and parsing.
 *
 * Two independent mechanisms. The seccomp filter is an allow-list of about twenty calls (secrets/filter);
 * landlock denies every file, tcp port, abstract socket and signal, should a call pass that list. Neither can
 * be undone, and neither can be applied to PID 1, because the app would inherit both. */

#include "secrets/confine.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/trial.h"

/* linux/landlock.h; older headers lack the later fields. */
struct landlock_attributes {
        uint64_t handled_access_fs;  /* since ABI 1 */
        uint64_t handled_access_net; /* since ABI 4 */
        uint64_t scoped;             /* since ABI 6 */
};

/* How much of the above each ABI knows. All rights of its time are handled and no rule allows any. */
static const struct {
        uint64_t fs, net, scoped;
        size_t size;
} landlock_abis[] = {
        {0x1fff, 0, 0, 8},  /* 1: 5.13 */
        {0x3fff, 0, 0, 8},  /* 2: refer */
        {0x7fff, 0, 0, 8},  /* 3: truncate */
        {0x7fff, 3, 0, 16}, /* 4: tcp bind and connect */
        {0xffff, 3, 0, 16}, /* 5: ioctl on devices */
        {0xffff, 3, 3, 24}, /* 6: abstract unix sockets, signals */
};

#define LANDLOCK_ABIS (sizeof landlock_abis / sizeof *landlock_abis)

static const struct sock_filter loader_filter[] = {
#include <secrets/filter.h> /* made by the build, not in the tree */
};

/* The kernel never refuses to take capabilities away (capset(2)): that is a filter, or a security module, and
 * seccomp lets a root load nevertheless. Of what is in the loader's filter nothing asks for a capability that
 * does harm; and most services have none, so that there is no call to be refused. */
static int capabilities_drop(struct error *error) {
        cap_t held = cap_get_proc(), none = cap_init();
        int result = none ? 0 : error_set(error, errno, "drop capabilities");

        if (none && (!held || cap_compare(held, none) != 0) && cap_set_proc(none) < 0 && errno != EPERM &&
                errno != ENOSYS)
                result = error_set(error, errno, "drop capabilities");
        cap_free(none);
        cap_free(held);
        return result;
}

int confine_files(struct error *error) {
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
        struct landlock_attributes attributes;
        CLEANUP_FD int ruleset = -1;
        size_t row;

        if (abi < 1)
                return 0; /* not built in, or switched off at boot: the filter stands alone */
        row = ((size_t)abi < LANDLOCK_ABIS ? (size_t)abi : LANDLOCK_ABIS) - 1;
        attributes = (struct landlock_attributes){
                landlock_abis[row].fs, landlock_abis[row].net, landlock_abis[row].scoped};
        ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, landlock_abis[row].size, 0);
        if (ruleset < 0)
                return error_set(error, errno, "landlock: make a rule set");
        /* With no_new_privs the kernel has no EPERM (landlock_restrict_self(2)): that is a filter which has
         * forgotten half of it. */
        if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 && errno != EPERM && errno != ENOSYS)
                return error_set(error, errno, "landlock: restrict");
        return 0;
}

/* By prctl(2), which is the same to the kernel as seccomp(2) without flags (kernel/seccomp.c,
 * prctl_set_seccomp()), but is in the lists of calls that services may make (@process of
 * SystemCallFilter=), where seccomp(2) is not. */
static int filter_install(struct error *error) {
        /* The kernel copies the program and does not write to it. */
        struct sock_fprog program = {.len = sizeof loader_filter / sizeof *loader_filter,
                .filter = (struct sock_filter *)(uintptr_t)loader_filter};

        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 &&
                syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                return error_set(error, errno, "seccomp: install the loader's filter");
        return 0;
}

int confine_self(unsigned missing, struct error *error) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_set(error, errno, "set no_new_privs");
        if (!(missing & TRIAL_BIT(TRIAL_CAPSET)) && capabilities_drop(error) < 0)
                return -1;
        if (!(missing & TRIAL_BIT(TRIAL_LANDLOCK)) && confine_files(error) < 0)
                return -1;
        return filter_install(error);
}
