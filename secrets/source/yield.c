/* Who goes first when memory runs out: see yield.h. Runs in the loader before it confines itself.
 *
 * The kernel ends the largest process of the control group, which would be the app: sources may be large, and
 * a bad one must harm nothing that runs. A load of a few kilobytes does not need to say so, and most are: it
 * would be a tenth of what its own work takes. So it is said as soon as the arena holds more than
 * YIELD_BYTES, or when there is a passphrase, whose derivation takes as much as the file asks for. What a
 * load takes after it has confined itself is a small multiple of what it has read. */

#include "secrets/source/yield.h"

#include <fcntl.h>
#include <stdbool.h>

#include "lib/fd.h"

/* Root alone may say this of a process that is not dumpable. */
void memory_yield(void) {
        static bool is_said;

        if (!is_said) {
                CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

                if (fd >= 0)
                        (void)fd_write_full(fd, "1000", 4);
        }
        is_said = true;
}
