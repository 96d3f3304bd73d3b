/* age_open, age_seal and age_keygen together: round trips, wrong keys, files torn or flipped at every
 * byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <sys/resource.h>

#include "secrets/age/age.h"
#include "secrets/age/format.h"
#include "secrets/age/hkdf.h"
#include "secrets/age/stream.h"

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
                must(f, age_keys_add(keys,
                                &(struct age_input){secret_view(identity), "identity", &limits, &f->arena},
                                &f->error));
        if (recipients)
                must(f, age_recipients_add(recipients, recipient, &f->arena, &f->error));
}

static struct bytes sealed(struct fixture *f, struct bytes plain, bool is_armored, struct age_file *file) {
        must(f, age_seal(plain, &f->recipients, is_armored, file, &f->error));
        return (struct bytes){file->at, file->length};
}

static int opened(struct fixture *f, struct bytes file, struct secret_bytes *out) {
        f->error = (struct error){0};
        return age_open(&(struct age_input){file, "FILE", &limits, &f->arena}, &f->keys, out, &f->error);
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

static void passphrase_use(struct fixture *f, const char *text, unsigned log_n) {
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t)text, strlen(text)};

        if (log_n > 0)
                must(f, age_recipients_add_passphrase(
                                &f->recipients, passphrase, log_n, &limits, &f->arena, &f->error));
        else
                must(f, age_keys_add_passphrase(&f->keys, passphrase, &f->arena, &f->error));
}

static void test_a_passphrase_opens_what_it_sealed_and_no_other_does(void **state) {
        struct fixture *f = *state;
        struct age_file file;
        struct secret_bytes out;
        struct bytes text;

        passphrase_use(f, "correct horse", 5);
        text = sealed(f, BYTES_OF("A=1\n"), false, &file);
        assert_int_equal(opened(f, text, &out), -1);
        assert_non_null(strstr(f->error.text, "no key was given"));
        passphrase_use(f, "correct horsf", 0);
        assert_int_equal(opened(f, text, &out), -1);
        assert_non_null(strstr(f->error.text, "FILE: wrong passphrase"));
        passphrase_use(f, "correct horse", 0);
        must(f, opened(f, text, &out));
        assert_memory_equal(out.at, "A=1\n", 4);
        free(file.at);
}

/* The limits are compared before a byte is taken: a refusal at 2^20 (1 GiB) must come at once. */
static void test_scrypt_is_refused_over_its_limits_before_it_takes_memory(void **state) {
        static const char file[] = "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 20\n"
                                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                                   "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
        const uint64_t need = (UINT64_C(1) << 30) + 4 * 1024 * 1024;
        struct age_limits tight = limits;
        struct fixture *f = *state;
        struct secret_bytes out;
        struct rlimit old, few;

        passphrase_use(f, "x", 0);
        assert_return_code(getrlimit(RLIMIT_AS, &old), 0);
        tight.scrypt_log_n_max = 19;
        assert_int_equal(age_open(&(struct age_input){BYTES_OF(file), "FILE", &tight, &f->arena}, &f->keys,
                                 &out, &f->error),
                -1);
        assert_non_null(strstr(f->error.text, "work factor 20 is over the limit 19"));
        tight.scrypt_log_n_max = 20;
        tight.scrypt_memory_max = need - 1;
        assert_int_equal(age_open(&(struct age_input){BYTES_OF(file), "FILE", &tight, &f->arena}, &f->keys,
                                 &out, &f->error),
                -1);
        assert_non_null(strstr(f->error.text, "needs 1028 MiB of memory and the limit is 1027 MiB"));
#ifndef TACET_SANITIZE /* a sanitizer needs all the addresses there are */
        tight.scrypt_memory_max = need;
        few = old;
        few.rlim_cur = 512 * 1024 * 1024;
        assert_return_code(setrlimit(RLIMIT_AS, &few), 0);
        assert_int_equal(age_open(&(struct age_input){BYTES_OF(file), "FILE", &tight, &f->arena}, &f->keys,
                                 &out, &f->error),
                -1);
        assert_non_null(
                strstr(f->error.text, "take 1024 MiB of memory for the passphrase: Cannot allocate memory"));
        assert_return_code(setrlimit(RLIMIT_AS, &old), 0);
#else
        (void)few;
#endif
}

static void test_each_of_many_recipients_opens_the_file(void **state) {
        struct fixture *f = *state;
        struct age_keys keys = {0};
        struct age_file file;
        struct secret_bytes out;
        struct bytes text;

        for (unsigned i = 0; i < 20; i++)
                key_make(f, &keys, &f->recipients);
        text = sealed(f, BYTES_OF("A=1\n"), true, &file);
        for (unsigned i = 0; i < 20; i++) {
                f->keys.list[0] = keys.list[i];
                f->keys.count = 1;
                must(f, opened(f, text, &out));
                assert_int_equal(out.length, 4);
        }
        free(file.at);
}

/* A file key of zeros would open anything; a nonce used twice with one key, too, but keys are never used
 * twice. */
static void test_every_file_has_its_own_key_and_nonce(void **state) {
        struct fixture *f = *state;
        struct age_header header;
        struct age_file file;
        uint8_t nonces[2][16], macs[2][AGE_MAC_BYTES], key[HKDF_BYTES], zero_mac[HKDF_BYTES];
        const uint8_t zero[AGE_FILE_KEY_BYTES] = {0};

        key_make(f, NULL, &f->recipients);
        for (unsigned i = 0; i < 2; i++) {
                struct bytes text = sealed(f, BYTES_OF("A=1\n"), false, &file);

                must(f, age_header_parse(text, &header, &f->error));
                memcpy(nonces[i], file.at + header.text.length, 16);
                memcpy(macs[i], header.mac, sizeof header.mac);
                hkdf_sha256(key, (struct bytes){zero, sizeof zero}, BYTES_OF(""), "header");
                hmac_sha256(zero_mac, (struct bytes){key, sizeof key},
                        (struct bytes){file.at, header.signed_length}, BYTES_OF(""));
                assert_memory_not_equal(zero_mac, header.mac, sizeof zero_mac);
                free(file.at);
        }
        assert_memory_not_equal(nonces[0], nonces[1], sizeof nonces[0]);
        assert_memory_not_equal(macs[0], macs[1], sizeof macs[0]);
}

static void test_only_possible_payload_lengths_have_a_plaintext(void **state) {
        const size_t chunk = STREAM_CHUNK_BYTES + STREAM_TAG_BYTES;
        size_t payload, plain;

        (void)state;
        for (size_t length = 0; length < 3 * chunk; length++) {
                bool is_possible =
                        length == 16 || (length > 16 && (length % chunk == 0 || length % chunk > 16));
                int status = stream_plaintext_bytes(length, &plain, NULL);

                assert_int_equal(status, is_possible ? 0 : -1);
                if (status < 0)
                        continue;
                assert_int_equal(stream_payload_bytes(plain, &payload, NULL), 0);
                assert_int_equal(payload, length);
        }
        assert_int_equal(stream_payload_bytes(SIZE_MAX - 100, &payload, NULL), -1);
}

static void test_a_file_is_described_without_a_key(void **state) {
        struct fixture *f = *state;
        struct age_description description;
        struct age_file file;
        struct bytes text;

        key_make(f, NULL, &f->recipients);
        key_make(f, NULL, &f->recipients);
        text = sealed(f, BYTES_OF("A=1\n"), true, &file);
        assert_true(age_is_age_file(text));
        must(f, age_describe(text, "FILE", &limits, &description, &f->error));
        assert_true(description.is_armored);
        assert_false(description.has_passphrase);
        assert_int_equal(description.recipient_stanzas, 2);
        assert_int_equal(description.unknown_stanzas, 0);
        free(file.at);
        assert_false(age_is_age_file(BYTES_OF("A=1\n")));
        assert_false(age_is_age_file(BYTES_OF("")));
        assert_true(age_is_age_file(BYTES_OF("age-encryption.org/v2\n")));
        assert_int_equal(age_describe(BYTES_OF("A=1\n"), "FILE", &limits, &description, &f->error), -1);
        assert_non_null(strstr(f->error.text, "FILE: not an age file"));
}

static void test_a_file_over_the_limit_is_refused_unread(void **state) {
        const struct age_limits small = {.file_bytes_max = 100};
        struct fixture *f = *state;
        struct age_file file;
        struct secret_bytes out;
        struct bytes text;

        key_make(f, &f->keys, &f->recipients);
        text = sealed(f, BYTES_OF("A=1\n"), false, &file);
        assert_int_equal(
                age_open(&(struct age_input){text, "FILE", &small, &f->arena}, &f->keys, &out, &f->error),
                -1);
        assert_non_null(strstr(f->error.text, "are more than the limit of 100"));
        free(file.at);
}

static void test_an_arena_that_is_too_small_is_an_error_and_keeps_nothing(void **state) {
        struct fixture *f = *state;
        CLEANUP_ARENA struct arena small = {0};
        uint8_t *plain = calloc(1, 100000);
        struct age_file file;
        struct secret_bytes out;
        struct bytes text;

        key_make(f, &f->keys, &f->recipients);
        text = sealed(f, (struct bytes){plain, 100000}, false, &file);
        must(f, arena_init(&small, 65536, &f->error));
        assert_int_equal(
                age_open(&(struct age_input){text, "FILE", &limits, &small}, &f->keys, &out, &f->error), -1);
        assert_int_equal(small.used, 0);
        free(file.at);
        free(plain);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_what_is_sealed_opens_at_every_chunk_boundary),
                TEST(test_a_wrong_key_is_refused),
                TEST(test_every_damage_to_a_binary_file_fails),
                TEST(test_every_damage_to_an_armored_file_fails),
                TEST(test_a_passphrase_opens_what_it_sealed_and_no_other_does),
                TEST(test_scrypt_is_refused_over_its_limits_before_it_takes_memory),
                TEST(test_each_of_many_recipients_opens_the_file),
                TEST(test_every_file_has_its_own_key_and_nonce),
                TEST(test_only_possible_payload_lengths_have_a_plaintext),
                TEST(test_a_file_is_described_without_a_key),
                TEST(test_a_file_over_the_limit_is_refused_unread),
                TEST(test_an_arena_that_is_too_small_is_an_error_and_keeps_nothing),
        };

        return cmocka_run_group_tests_name("age", tests, NULL, NULL);
}
