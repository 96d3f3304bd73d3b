/* Which descriptor a key names: asked by those who must keep it open for the loader and away from the app. */

#include <limits.h>
#include <string.h>

#include "lib/bytes.h"
#include "secrets/source/request.h"

/* Paths that name a descriptor of the process that opens them: `-i /dev/stdin` is meant like `-i fd:0`, and
 * must not leave the key with the app either. */
static bool path_names_descriptor(const char *path, const char **out_number) {
        if (strcmp(path, "/dev/stdin") == 0)
                *out_number = "0";
        else if (!text_after(path, "/dev/fd/", out_number) && !text_after(path, "/proc/self/fd/", out_number))
                return false;
        return true;
}

int load_key_descriptor(const struct load_key *key) {
        const char *number, *path;
        uint64_t fd;

        if (!text_after(key->spec, "fd:", &number) && !text_after(key->spec, "passphrase-fd:", &number) &&
                !(load_key_path(key, &path) && path_names_descriptor(path, &number)))
                return -1;
        return text_to_u64(number, &fd) && fd <= INT_MAX ? (int)fd : -1;
}
