/* A whole file, armored or not, against an X25519 key, an SSH key and a passphrase (a small scrypt limit
 * keeps it quick). The seeds are files that open, so that what follows the header is reached. */

#include <string.h>

#include "secrets/age/open.h"
#include "tests/fuzz/fuzz.h"

#include "tests/unit/secrets/age/age_keys.inc"

static const struct age_limits limits = {64 * 1024, 5, 1 << 24};

static void keys_make(struct arena *arena, struct age_keys *keys) {
        struct error error = {0};

        HOLDS(arena_init(arena, 1024 * 1024, &error) == 0);
        HOLDS(age_keys_add(keys, &(struct age_input){BYTES_OF(TEST_IDENTITY), "identity", &limits, arena},
                      &error) == 0);
        HOLDS(age_keys_add(
                      keys, &(struct age_input){BYTES_OF(TEST_SSH_KEY), "ssh", &limits, arena}, &error) == 0);
        HOLDS(age_keys_add_passphrase(keys,
                      (struct secret_bytes){
                              (uint8_t *)(uintptr_t)TEST_PASSPHRASE, sizeof TEST_PASSPHRASE - 1},
                      arena, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct arena arena;
        static struct age_keys keys;
        static struct age_difference difference;
        const struct age_recipients nobody = {0};
        struct bytes file = {data, size};
        struct age_description description;
        struct secret_bytes out = {0};
        enum age_fault fault;
        struct error error = {0};
        size_t mark;

        if (!arena.at)
                keys_make(&arena, &keys);
        mark = arena.used;
        if (age_open_telling(&(struct age_input){file, NULL, &limits, &arena}, &keys, &out, &fault, &error) ==
                0) {
                HOLDS(age_is_age_file(file) && out.length < size && fault == AGE_FAULT_NONE);
                HOLDS(age_describe(file, "FILE", &limits, &description, &error) == 0);
                HOLDS(description.recipient_stanzas > 0);
                arena_release(&arena, mark);
                HOLDS(age_difference_find(&(struct age_input){file, "FILE", &limits, &arena}, &keys, &nobody,
                              &difference, &error) == 0);
                HOLDS(difference.named > 0 && difference.named <= difference.before);
                HOLDS(difference.added == 0 && difference.removed == difference.before);
        } else {
                HOLDS(fault != AGE_FAULT_NONE && error.text[0] != '\0' && arena.used == mark);
                (void)age_describe(file, "FILE", &limits, &description, &error);
                if (size)
                        (void)age_difference_find(&(struct age_input){file, "FILE", &limits, &arena}, &keys,
                                &nobody, &difference, &error);
        }
        HOLDS(arena.used == mark);
        return 0;
}
