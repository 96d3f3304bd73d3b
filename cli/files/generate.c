/* Generated values: see generate.h. libsodium's randombytes: the kernel's own generator, without modulo
 * bias. */

#include "cli/files/generate.h"

#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "lib/bytes.h"

static int base64url_make(size_t count, struct arena *arena, struct secret_bytes *out, struct error *error) {
        size_t room = sodium_base64_encoded_len(count, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        uint8_t *raw = arena_take(arena, count, error);

        out->at = arena_take(arena, room, error);
        if (!raw || !out->at)
                return -1;
        randombytes_buf(raw, count);
        sodium_bin2base64((char *)out->at, room, raw, count, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        out->length = room - 1;
        return 0;
}

static int hex_make(size_t count, struct arena *arena, struct secret_bytes *out, struct error *error) {
        uint8_t *raw = arena_take(arena, count, error);

        out->at = arena_take(arena, 2 * count + 1, error);
        if (!raw || !out->at)
                return -1;
        randombytes_buf(raw, count);
        sodium_bin2hex((char *)out->at, 2 * count + 1, raw, count);
        out->length = 2 * count;
        return 0;
}

static int alnum_make(size_t count, struct arena *arena, struct secret_bytes *out, struct error *error) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

        out->at = arena_take(arena, count, error);
        if (!out->at)
                return -1;
        out->length = count;
        for (size_t i = 0; i < count; i++)
                out->at[i] = (uint8_t)letters[randombytes_uniform(sizeof letters - 1)];
        return 0;
}

static const struct {
        const char *prefix;
        int (*make)(size_t count, struct arena *arena, struct secret_bytes *out, struct error *error);
} forms[] = {{"base64url:", base64url_make}, {"hex:", hex_make}, {"alnum:", alnum_make}};

int value_generate(const char *form, struct arena *arena, struct secret_bytes *out, struct error *error) {
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
                const char *rest;
                uint64_t count;

                if (!text_after(form, forms[i].prefix, &rest))
                        continue;
                if (text_to_u64(rest, &count) && count > 0 && count <= GENERATE_COUNT_MAX)
                        return forms[i].make((size_t)count, arena, out, error);
                break;
        }
        /* The word itself is not repeated: it may be a value that was meant to be stored. */
        error_set(error, 0, "--generate takes " GENERATE_FORMS ", N from 1 to %d", GENERATE_COUNT_MAX);
        error_hint(error, "base64url:32 is a good choice: 32 random bytes in 43 characters");
        return error_status(error, EXIT_STATUS_USAGE);
}
