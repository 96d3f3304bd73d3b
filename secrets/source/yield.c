/* Which process the kernel ends first when memory runs out: see yield.h. Runs in the loader before it
 * confines itself.
 *
 * The kernel ends the largest process of the control group, which would be the app: but sources may be large,
 * and a bad one must not harm what runs. Most loads are a few kilobytes and do not call this: it would add a
 * tenth to their time. It is called as soon as the arena holds more than YIELD_BYTES, or when there is a
 * passphrase, whose derivation takes as much memory as the file asks for. After it has confined itself, a
 * load takes a small multiple of what it has read. */

#include "secrets/source/yield.h"

#include <fcntl.h>
#include <stdbool.h>

#include "lib/fd.h"

/* The file of a process that is not dumpable belongs to root, so only root may write it (proc(5)). */
void memory_yield(void) {
        static bool is_said;

        if (!is_said) {
                CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

                if (fd >= 0)
                        (void)fd_write_full(fd, "1000", 4);
        }
        is_said = true;
}
