/* Protections that a system call filter ends: see trial.h. trial_run() is the loader's first act; the rest
 * runs in its parent.
 *
 * Filters go by the number of the call, so one with arguments that do nothing learns what the real one would.
 * seccomp(2) is not among them: the loader installs its filter by prctl(2), which every list has that lets a
 * service start (confine.c). */

#include "secrets/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fd.h"

volatile uint8_t *trial_page_new(struct error *error) {
        void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (page != MAP_FAILED)
                return page;
        error_set(error, errno, "share a page with the loader");
        return NULL;
}

void trial_page_drop(volatile uint8_t *page) {
        if (page)
                (void)munmap((void *)(uintptr_t)page, 1);
}

/* Only where there is something to drop: then the real call is made too. */
static void capset_try(void) {
        cap_t held = cap_get_proc(), none = cap_init();

        if (held && none && cap_compare(held, none) != 0)
                (void)cap_set_proc(held);
        cap_free(none);
        cap_free(held);
}

static void landlock_try(void) {
        (void)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
        (void)syscall(SYS_landlock_restrict_self, -1, 0);
}

static void secret_memory_try(void) {
        fd_close((int)syscall(SYS_memfd_secret, O_CLOEXEC));
}

static void (*const tries[])(void) = {
        [TRIAL_CAPSET] = capset_try,
        [TRIAL_LANDLOCK] = landlock_try,
        [TRIAL_SECRET_MEMORY] = secret_memory_try,
};

void trial_run(volatile uint8_t *page, unsigned missing) {
        for (unsigned call = TRIAL_CAPSET; call < TRIAL_OVER; call++) {
                if (missing & TRIAL_BIT(call))
                        continue;
                *page = (uint8_t)call;
                tries[call]();
        }
        *page = TRIAL_OVER;
        trial_page_drop(page);
}

enum trial_call trial_fatal(const volatile uint8_t *page) {
        uint8_t call = page ? *page : (uint8_t)TRIAL_NONE;

        return call > TRIAL_NONE && call < TRIAL_OVER ? (enum trial_call)call : TRIAL_NONE;
}

const char *trial_text(enum trial_call call) {
        switch (call) {
        case TRIAL_CAPSET:
                return "a system call filter forbids capset(2): the loader keeps its capabilities, and is "
                       "confined by its own filter, which leaves no call to use one";
        case TRIAL_LANDLOCK:
                return "a system call filter forbids landlock(7): the loader is confined by its own filter "
                       "alone";
        case TRIAL_SECRET_MEMORY:
                return "a system call filter forbids memfd_secret(2): generations are held encrypted";
        case TRIAL_NONE:
        case TRIAL_OVER:
                break;
        }
        return "";
}
