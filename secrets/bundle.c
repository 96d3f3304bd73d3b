/* The holder's side of a sealed generation: see bundle.h. In the supervisor everything but bundle_map(),
 * which is the shim's. Nothing here needs libsodium to be set up, so PID 1 stays small. */

#include "secrets/bundle.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/source/key_page.h"
#include "secrets/seal.h"

void bundle_init(struct bundle *bundle) {
        *bundle = (struct bundle){.fd = -1};
}

void bundle_deinit(struct bundle *bundle) {
        fd_close(bundle->fd);
        key_page_free(bundle->key);
        bundle_init(bundle);
}

void bundle_move(struct bundle *to, struct bundle *from) {
        *to = *from;
        bundle_init(from);
}

/* Count the strings of an area that must consist of whole ones, each with a name. False when it does not. */
static bool strings_count(const char *at, uint64_t bytes, uint32_t *out) {
        uint32_t count = 0;

        if (bytes == 0 || at[bytes - 1] != 0)
                return false;
        for (uint64_t i = 0; i < bytes; count++) {
                size_t length = strlen(at + i);
                const char *equals = memchr(at + i, '=', length);

                if (!equals || equals == at + i)
                        return false;
                i += length + 1;
        }
        *out = count;
        return true;
}

int bundle_map(const struct bundle *bundle, struct bundle_view *out, struct error *error) {
        struct bundle_view view = {.bytes = bundle->bytes};

        if (seal_map(bundle->fd, bundle->is_encrypted, bundle->key, bundle->bytes, &view.strings, error) < 0)
                return -1;
        if (!strings_count(view.strings, view.bytes, &view.count) || view.count != bundle->count) {
                munmap(view.strings, (size_t)view.bytes);
                return error_set(error, 0, "the sealed generation is not what the loader said");
        }
        *out = view;
        return 0;
}
