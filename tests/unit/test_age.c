/* age_open, age_seal and age_keygen together: round trips, wrong keys, files torn or flipped at every byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "secrets/age/age.h"

static const struct age_limits limits = {AGE_FILE_BYTES_DEFAULT, AGE_SCRYPT_LOG_N_DEFAULT, 0};

struct fixture {
        struct arena arena;
        struct age_keys keys;
        struct age_recipients recipients;
        struct error error;
};

static int fixture_setup(void **state) {
        struct fixture *fixture = calloc(1, sizeof *fixture);

        *state = fixture;
        return arena_init(&fixture->arena, 4 * 1024 * 1024, &fixture->error);
}

static int fixture_teardown(void **state) {
        struct fixture *fixture = *state;

        arena_deinit(&fixture->arena);
        free(fixture);
        return 0;
}

#define must(fixture, expression)                                                                            \
        do {                                                                                                 \
                if ((expression) < 0)                                                                        \
                        fail_msg("%s: %s", #expression, (fixture)->error.text);                              \
        } while (0)

static void key_make(struct fixture *f, struct age_keys *keys, struct age_recipients *recipients) {
        struct secret_bytes identity;
        char recipient[AGE_RECIPIENT_TEXT_BYTES];

        must(f, age_keygen(&f->arena, &identity, recipient, &f->error));
        assert_int_equal(identity.length, 74);
        assert_int_equal(strlen(recipient), 62);
        if (keys)
                must(f, age_keys_add(keys, secret_view(identity), "identity", &limits, &f->arena, &f->error));
        if (recipients)
                must(f, age_recipients_add(recipients, recipient, &f->arena, &f->error));
}

static struct bytes sealed(struct fixture *f, struct bytes plain, bool is_armored, struct age_file *file) {
        must(f, age_seal(plain, &f->recipients, is_armored, file, &f->error));
        return (struct bytes){file->at, file->length};
}

static int opened(struct fixture *f, struct bytes file, struct secret_bytes *out) {
        f->error = (struct error){0};
        return age_open(file, "FILE", &f->keys, &limits, &f->arena, out, &f->error);
}

static void test_what_is_sealed_opens_at_every_chunk_boundary(void **state) {
        static const size_t sizes[] = {0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073, 200000};
        struct fixture *f = *state;
        uint8_t *plain = malloc(200000);

        randombytes_buf(plain, 200000);
        key_make(f, &f->keys, &f->recipients);
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
                size_t length = sizes[i / 2], mark = f->arena.used;
                struct age_file file;
                struct secret_bytes out;
                struct bytes text = sealed(f, (struct bytes){plain, length}, i % 2, &file);

                must(f, opened(f, text, &out));
                assert_int_equal(out.length, length);
                assert_memory_equal(out.at, plain, length);
                free(file.at);
                arena_release(&f->arena, mark);
        }
        free(plain);
}

static void test_a_wrong_key_is_refused(void **state) {
        struct fixture *f = *state;
        struct age_file file;
        struct secret_bytes out;

        key_make(f, &f->keys, NULL);
        key_make(f, NULL, &f->recipients);
        sealed(f, BYTES_OF("A=1\n"), false, &file);
        assert_int_equal(opened(f, (struct bytes){file.at, file.length}, &out), -1);
        assert_non_null(strstr(f->error.text, "FILE: none of the given keys"));
        assert_int_equal(f->error.status, EXIT_STATUS_DATA);
        free(file.at);
}

static void every_damage_fails(struct fixture *f, bool is_armored) {
        struct age_file file;
        struct secret_bytes out;
        struct bytes text;
        size_t mark;

        key_make(f, &f->keys, &f->recipients);
        key_make(f, NULL, &f->recipients);
        text = sealed(f, BYTES_OF("PASSWORD=correct horse battery staple\n"), is_armored, &file);
        mark = f->arena.used;
        for (size_t cut = 0; cut < text.length - is_armored; cut++) {
                uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read past the end */

                memcpy(exact, file.at, cut);
                exact = realloc(exact, cut > 0 ? cut : 1);
                if (opened(f, (struct bytes){exact, cut}, &out) == 0)
                        fail_msg("a file cut at byte %zu opened", cut);
                assert_true(f->error.text[0] != '\0');
                assert_int_equal(f->arena.used, mark);
                free(exact);
        }
        for (size_t at = 0; at < text.length - is_armored; at++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        file.at[at] ^= (uint8_t)(1u << bit);
                        if (opened(f, text, &out) == 0)
                                fail_msg("a file with bit %u of byte %zu changed opened", bit, at);
                        assert_int_equal(f->arena.used, mark);
                        file.at[at] ^= (uint8_t)(1u << bit);
                }
        must(f, opened(f, text, &out));
        free(file.at);
}

static void test_every_damage_to_a_binary_file_fails(void **state) {
        every_damage_fails(*state, false);
}

static void test_every_damage_to_an_armored_file_fails(void **state) {
        every_damage_fails(*state, true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_what_is_sealed_opens_at_every_chunk_boundary),
                TEST(test_a_wrong_key_is_refused),
                TEST(test_every_damage_to_a_binary_file_fails),
                TEST(test_every_damage_to_an_armored_file_fails),
        };

        return cmocka_run_group_tests_name("age", tests, NULL, NULL);
}
