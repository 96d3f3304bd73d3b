/* Which descriptor a key names: asked by those who must keep it open for the loader and away from the app. */

#include <limits.h>

#include "lib/bytes.h"
#include "secrets/load.h"

int load_key_descriptor(const struct load_key *key) {
        const char *number;
        uint64_t fd;

        if (!text_after(key->spec, "fd:", &number) && !text_after(key->spec, "passphrase-fd:", &number))
                return -1;
        return text_to_u64(number, &fd) && fd <= INT_MAX ? (int)fd : -1;
}
