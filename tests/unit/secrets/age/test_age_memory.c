/* What is left in this process's memory after files were written and opened: nothing of an identity, a
 * passphrase, an SSH seed or a plaintext, anywhere but in the arena, and after arena_deinit() nowhere at all.
 *
 * The needles are made at run time and kept only in a changed form, so that the test does not find itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/age/age.h"
#include "secrets/age/wrap.h"

#ifndef TACET_SANITIZE /* the shadow of a sanitizer is terabytes to look through */

#define NEEDLE_BYTES 24
#define NEEDLES_MAX  8
#define MASK         0x5a
#define PIECE_BYTES  65536

static const struct age_limits limits = {AGE_FILE_BYTES_DEFAULT, AGE_SCRYPT_LOG_N_DEFAULT, 0};

static struct needle {
        const char *name;
        uint8_t masked[NEEDLE_BYTES];
} needles[NEEDLES_MAX];
static size_t needle_count;
static uint8_t piece[PIECE_BYTES + NEEDLE_BYTES]; /* what is read of our own memory; not searched itself */

static void needle_add(const char *name, const uint8_t *secret) {
        struct needle *needle = &needles[needle_count++];

        needle->name = name;
        for (size_t i = 0; i < NEEDLE_BYTES; i++)
                needle->masked[i] = secret[i] ^ MASK;
}

/* Count the places of `needle` in piece[0, length). */
static size_t piece_count(const struct needle *needle, size_t length) {
        size_t found = 0;

        for (size_t at = 0; at + NEEDLE_BYTES <= length; at++) {
                size_t same = 0;

                while (same < NEEDLE_BYTES && (piece[at + same] ^ MASK) == needle->masked[same])
                        same++;
                found += same == NEEDLE_BYTES;
        }
        return found;
}

/* Look through [start, end); pages that cannot be read (memfd_secret, guards) are passed over. */
static size_t range_count(int memory, uintptr_t start, uintptr_t end, const struct needle **out_found) {
        size_t found = 0;

        while (start < end) {
                size_t wanted = end - start < sizeof piece ? end - start : sizeof piece;
                ssize_t length = pread(memory, piece, wanted, (off_t)start);

                for (size_t i = 0; length > 0 && i < needle_count; i++)
                        if (piece_count(&needles[i], (size_t)length) > 0) {
                                *out_found = &needles[i];
                                found++;
                        }
                start += wanted > PIECE_BYTES ? PIECE_BYTES : wanted;
        }
        return found;
}

static size_t memory_count(uintptr_t skip_start, uintptr_t skip_end, const struct needle **out_found) {
        CLEANUP_FD int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        CLEANUP_FD int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        static char text[65536];
        ssize_t length = fd_read_full(maps, text, sizeof text - 1);
        size_t found = 0;

        assert_true(memory >= 0 && length > 0 && (size_t)length < sizeof text - 1);
        text[length] = '\0';
        for (char *line = text; *line; line = strchr(line, '\n') + 1) {
                uintptr_t start = (uintptr_t)strtoull(line, NULL, 16);
                uintptr_t end = (uintptr_t)strtoull(strchr(line, '-') + 1, NULL, 16);

                if (*(strchr(line, ' ') + 1) != 'r' || (start >= skip_start && end <= skip_end))
                        continue;
                if ((uintptr_t)piece >= start && (uintptr_t)piece < end) {
                        found += range_count(memory, start, (uintptr_t)piece, out_found);
                        start = (uintptr_t)piece + sizeof piece;
                }
                found += range_count(memory, start, end, out_found);
        }
        return found;
}

/* Everything that can be done with keys, its secrets in `arena` alone. Not inlined: its frames end with
 * it. */
__attribute__((noinline)) static void secrets_use(struct arena *arena) {
        struct error error;
        struct secret_bytes identity, plain = {arena_take(arena, 4096, &error), 4096}, out;
        struct secret_bytes passphrase = {arena_take(arena, NEEDLE_BYTES, &error), NEEDLE_BYTES};
        char recipient[AGE_RECIPIENT_TEXT_BYTES];

        randombytes_buf(plain.at, plain.length);
        randombytes_buf(passphrase.at, passphrase.length);
        needle_add("plaintext", plain.at + 1000);
        needle_add("passphrase", passphrase.at);
        assert_int_equal(age_keygen(arena, &identity, recipient, &error), 0);
        needle_add("identity text", identity.at + 20);
        for (int is_passphrase = 0; is_passphrase < 2; is_passphrase++) {
                struct age_recipients recipients = {0};
                struct age_keys keys = {0};
                struct age_file file;

                assert_int_equal(
                        age_keys_add(&keys,
                                &(struct age_input){secret_view(identity), "KEYS", &limits, arena}, &error),
                        0);
                needle_add("identity", keys.list[0]->secret + is_passphrase);
                assert_int_equal(age_keys_add_passphrase(&keys, passphrase, arena, &error), 0);
                assert_int_equal(is_passphrase ? age_recipients_add_passphrase(
                                                         &recipients, passphrase, 6, &limits, arena, &error)
                                               : age_recipients_add_keys(&recipients, &keys, arena, &error),
                        0);
                assert_int_equal(age_seal(secret_view(plain), &recipients, is_passphrase, &file, &error), 0);
                assert_int_equal(age_open(&(struct age_input){(struct bytes){file.at, file.length}, "FILE",
                                                  &limits, arena},
                                         &keys, &out, &error),
                        0);
                assert_memory_equal(out.at, plain.at, plain.length);
                file.at[file.length / 2] ^= 1;
                assert_int_equal(age_open(&(struct age_input){(struct bytes){file.at, file.length}, "FILE",
                                                  &limits, arena},
                                         &keys, &out, &error),
                        -1);
                free(file.at);
        }
}

static void test_secrets_are_in_the_arena_and_nowhere_else(void **state) {
        const struct needle *found = NULL;
        struct arena arena;
        uintptr_t start, end;

        (void)state;
        needle_count = 0;
        assert_int_equal(arena_init(&arena, 1024 * 1024, NULL), 0);
        secrets_use(&arena);
        start = (uintptr_t)arena.at;
        end = start + arena.capacity;
        assert_true(memory_count(0, 0, &found) > 0); /* the search finds what is there */
        if (memory_count(start, end, &found) > 0)
                fail_msg("%s is left in memory outside of the arena", found->name);
        arena_deinit(&arena);
        if (memory_count(0, 0, &found) > 0)
                fail_msg("%s is left in memory", found->name);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_secrets_are_in_the_arena_and_nowhere_else)};

        return cmocka_run_group_tests_name("age memory", tests, NULL, NULL);
}

#else

int main(void) {
        printf("1..1\nok 1 - # SKIP not under a sanitizer\n");
        return 0;
}

#endif
