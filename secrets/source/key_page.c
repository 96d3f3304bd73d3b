/* The page that holds a key: see key_page.h. Runs in the supervisor, hence no arena: one page is all that is
 * locked. */

#include "secrets/source/key_page.h"

#include <string.h>
#include <sys/mman.h>

#include "lib/secret_memory.h"

/* The kernel rounds to whole pages, of whatever size they are. */
#define PAGE_LENGTH ((size_t)4096)

uint8_t *key_page_new(const uint8_t key[static KEY_PAGE_BYTES], bool *out_is_locked) {
        void *at = mmap(NULL, PAGE_LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (at == MAP_FAILED)
                return NULL;
        (void)madvise(at, PAGE_LENGTH, MADV_DONTDUMP);
        *out_is_locked = mlock(at, PAGE_LENGTH) == 0;
        memcpy(at, key, KEY_PAGE_BYTES);
        return at;
}

void key_page_free(uint8_t *page) {
        if (!page)
                return;
        secret_wipe(page, KEY_PAGE_BYTES);
        munmap(page, PAGE_LENGTH);
}
