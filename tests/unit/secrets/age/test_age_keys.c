/* Identity files and recipients: what is taken, what is refused and how it is called, and that no message
 * repeats a key. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/age/age.h"
#include "secrets/age/bech32.h"
#include "secrets/age/base64.h"
#include "secrets/age/wrap.h"
#include "tests/unit/secrets/age/age_keys.inc"

static const struct age_limits limits = {AGE_FILE_BYTES_DEFAULT, AGE_SCRYPT_LOG_N_DEFAULT, 0};

static struct arena arena;
static struct age_keys keys;
static struct age_recipients recipients;
static struct error error;

static int setup(void **state) {
        (void)state;
        keys = (struct age_keys){0};
        recipients = (struct age_recipients){0};
        error = (struct error){0};
        return arena_init(&arena, 1024 * 1024, &error);
}

static int teardown(void **state) {
        (void)state;
        arena_deinit(&arena);
        return 0;
}

static struct bytes bytes_of(const char *text) {
        return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static int keys_add(const char *text) {
        return age_keys_add(&keys, &(struct age_input){bytes_of(text), "KEYS", &limits, &arena}, &error);
}

static void must_say(const char *expected) {
        if (!strstr(error.text, expected))
                fail_msg("'%s' where '%s' was expected", error.text, expected);
        assert_null(strstr(error.text, "60KUMGNPQZ")); /* a part of TEST_IDENTITY */
        assert_null(strstr(error.hint, "60KUMGNPQZ"));
        assert_int_equal(error.status, EXIT_STATUS_DATA);
}

static void test_identity_files_may_have_comments_empty_lines_and_crlf(void **state) {
        char text[AGE_RECIPIENT_TEXT_BYTES];

        (void)state;
        assert_int_equal(keys_add("# created: today\r\n\r\n" TEST_IDENTITY "\r\n#\n\n"), 0);
        assert_int_equal(keys_add(TEST_IDENTITY), 0); /* no line end */
        assert_int_equal(keys.count, 2);
        assert_true(age_key_recipient(&keys, 1, text));
        assert_string_equal(text, TEST_RECIPIENT);
}

static void test_what_is_no_identity_is_called_by_line(void **state) {
        static const struct {
                const char *text, *expected;
        } bad[] = {
                {"", "KEYS: there is no identity"},
                {"# only\n", "KEYS: there is no identity"},
                {TEST_IDENTITY "\n " TEST_IDENTITY "\n", "KEYS: line 2: neither an identity"},
                {TEST_IDENTITY " \n", "KEYS: line 1: column 75: not a printable"},
                {"#\n" TEST_RECIPIENT "\n", "KEYS: line 2: a public key stands where"},
                {TEST_SSH_PUBLIC, "KEYS: line 1: a public key stands where"},
                {"age-secret-key-1u60kumgnpqzgl0yfhz82t6jk9t44rc38hemv5w7p02tyzj9pm2rqmqwqv4", "upper case"},
                {"AGE-SECRET-KEY-1u60", "KEYS: line 1: column 17: upper and lower case are mixed"},
                {"AGE-SECRET-KEY-1U60KUMGNPQZGL0YFHZ82T6JK9T44RC38HEMV5W7P02TYZJ9PM2RQMQWQV5", "checksum"},
                {"AGE-SECRET-KEY-1U60KUMGNPQZGL0YFHZ82T6JK9T44RC38HEMV5W7P02TYZJ9PM2RQMQWQ", "checksum"},
                {"AGE-SECRET-KEY-1U60KUMGNPQBGL0YFHZ82T6JK9T44RC38HEMV5W7P02TYZJ9PM2RQMQWQV4",
                        "KEYS: line 1: column 27: not a character"},
                {"AGE-SECRET-KEY-1", "too short"},
                {"AGE-SECRET-KEY-", "no prefix"},
                {"AGE-PLUGIN-YUBIKEY-1QQQ", "plugin"},
                {"PASSWORD=x", "neither"},
                {TEST_SSH_ENCRYPTED, "protected with a passphrase"},
                {TEST_SSH_ECDSA, "another type than ssh-ed25519"},
                {"-----BEGIN RSA PRIVATE KEY-----\n", "not supported"},
                {TEST_IDENTITY "\n\xff\n", "line 2: neither"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(keys_add(bad[i].text), -1);
                must_say(bad[i].expected);
                assert_int_equal(keys.count, 0);
                assert_int_equal(arena.used, 0);
        }
}

static void test_a_nul_ends_no_line_early(void **state) {
        static const char text[] = TEST_IDENTITY "\0\n";

        (void)state;
        assert_int_equal(
                age_keys_add(&keys, &(struct age_input){BYTES_OF(text), "KEYS", &limits, &arena}, &error),
                -1);
        must_say("KEYS: line 1: column 75: not a printable");
}

static void test_more_keys_than_fit_are_refused_whole(void **state) {
        char *text = calloc(AGE_KEYS_MAX + 2, sizeof TEST_IDENTITY);

        (void)state;
        for (size_t i = 0; i < AGE_KEYS_MAX; i++)
                strcat(text, TEST_IDENTITY "\n");
        assert_int_equal(keys_add(text), 0);
        assert_int_equal(keys.count, AGE_KEYS_MAX);
        keys.count = 1;
        assert_int_equal(keys_add(text), -1);
        must_say("more than 256 keys");
        assert_int_equal(keys.count, 1);
        free(text);
}

static void test_hybrid_identities_are_read_or_refused_by_name(void **state) {
        (void)state;
        if (hybrid_is_built_in())
                assert_int_equal(keys_add(TEST_HYBRID_IDENTITY), 0);
        else {
                assert_int_equal(keys_add(TEST_HYBRID_IDENTITY), -1);
                must_say("post-quantum");
                assert_non_null(strstr(error.hint, "libsodium 1.0.22"));
        }
}

static void test_hybrid_recipients_do_not_mix_or_are_refused_by_name(void **state) {
        static const uint8_t key[HYBRID_PUBLIC_BYTES] = {1};
        char text[2048] = {0};

        (void)state;
        bech32_encode("age1pq", (struct bytes){key, sizeof key}, false, text);
        assert_int_equal(strlen(text), 1959);
        if (hybrid_is_built_in()) {
                assert_int_equal(age_recipients_add(&recipients, text, &arena, &error), 0);
                assert_int_equal(age_recipients_add(&recipients, TEST_RECIPIENT, &arena, &error), -1);
                must_say("cannot be in one file");
        } else {
                assert_int_equal(age_recipients_add(&recipients, text, &arena, &error), -1);
                must_say("post-quantum");
        }
}

static void test_a_hybrid_key_opens_what_it_sealed(void **state) {
        struct age_file file;
        struct secret_bytes out;

        (void)state;
        if (!hybrid_is_built_in())
                skip();
        assert_int_equal(keys_add(TEST_HYBRID_IDENTITY), 0);
        assert_int_equal(age_recipients_add_keys(&recipients, &keys, &arena, &error), 0);
        assert_int_equal(age_seal(BYTES_OF("A=1"), &recipients, true, &file, &error), 0);
        assert_int_equal(
                age_open(&(struct age_input){(struct bytes){file.at, file.length}, "F", &limits, &arena},
                        &keys, &out, &error),
                0);
        assert_memory_equal(out.at, "A=1", 3);
        free(file.at);
}

/* ---- OpenSSH private keys ---- */

static void test_an_ssh_key_opens_what_its_public_key_seals(void **state) {
        struct age_file file;
        struct secret_bytes out;

        (void)state;
        assert_int_equal(keys_add(TEST_SSH_KEY), 0);
        assert_int_equal(
                age_recipients_add(&recipients,
                        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHwZZkRWrfw2LKsdYXDlkEcVPSn4rr5uFfh4ogVOb0Hw",
                        &arena, &error),
                0);
        assert_int_equal(age_recipients_add_keys(&recipients, &keys, &arena, &error), 0);
        assert_int_equal(recipients.count, 1); /* the same one */
        assert_int_equal(age_seal(BYTES_OF("A=1"), &recipients, false, &file, &error), 0);
        assert_int_equal(
                age_open(&(struct age_input){(struct bytes){file.at, file.length}, "F", &limits, &arena},
                        &keys, &out, &error),
                0);
        assert_memory_equal(out.at, "A=1", 3);
        free(file.at);
}

static void test_every_damage_to_an_ssh_key_is_refused(void **state) {
        char text[sizeof TEST_SSH_KEY];
        const size_t end = strlen(TEST_SSH_KEY) - 1; /* the last line end may go */
        size_t taken = 0;

        (void)state;
        for (size_t cut = 0; cut < end; cut++) {
                memcpy(text, TEST_SSH_KEY, cut);
                text[cut] = '\0';
                assert_int_equal(keys_add(text), -1);
        }
        for (size_t at = 0; at < end; at++) {
                memcpy(text, TEST_SSH_KEY, sizeof text);
                text[at] ^= 1;
                taken += keys_add(text) == 0;
                keys.count = 0;
                arena_release(&arena, 0);
        }
        assert_in_range(taken, 0, 11); /* the characters of the comment, 7 bytes, are under no check */
}

/* The key file with its binary content changed: `at` of 0xff bytes more are appended when `at` is its
 * length. */
static int ssh_changed(size_t at, uint8_t change) {
        char text[1024], joined[1024];
        uint8_t binary[512] = {0};
        size_t characters = 0, length = 0;
        const char *body = strchr(TEST_SSH_KEY, '\n') + 1;

        for (; *body != '-'; body++)
                if (*body != '\n')
                        joined[characters++] = *body;
        assert_true(
                base64_decode(BASE64_PADDED, (struct bytes){(uint8_t *)joined, characters}, binary, &length));
        binary[at] ^= change;
        length += at == length;
        characters = base64_encode(BASE64_PADDED, (struct bytes){binary, length}, joined);
        snprintf(text, sizeof text, "%s%.*s\n%s", "-----BEGIN OPENSSH PRIVATE KEY-----\n", (int)characters,
                joined, "-----END OPENSSH PRIVATE KEY-----\n");
        keys.count = 0;
        arena_release(&arena, 0);
        return keys_add(text);
}

/* Offsets into the binary: 15 magic, 3 strings, count, 51 + 4 public key, 4 length, then the private section
 * at 98. */
static void test_the_parts_of_an_ssh_key_must_fit_together(void **state) {
        const size_t section = 98, seed = section + 8 + 15 + 36 + 4, comment = seed + 64 + 4,
                     padding = comment + 7;
        size_t end = padding + 6;

        (void)state;
        assert_int_equal(ssh_changed(0, 0), 0);
        assert_int_equal(ssh_changed(comment, 1), 0);
        assert_int_equal(ssh_changed(seed, 1), -1);
        must_say("do not belong together");
        for (size_t at = 0; at < end; at++)
                if (ssh_changed(at, 0x80) == 0 && (at < comment || at >= padding))
                        fail_msg("byte %zu of an SSH key may be changed", at);
        assert_int_equal(ssh_changed(end, 1), -1);         /* one more behind it */
        assert_int_equal(ssh_changed(padding - 8, 7), -1); /* a comment that takes the padding in, or none */
        assert_int_equal(ssh_changed(padding - 8, 1), -1);
}

/* ---- encrypted identity files ---- */

static void identity_sealed(bool is_armored, const char *text, struct age_file *file) {
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t)TEST_PASSPHRASE, sizeof TEST_PASSPHRASE - 1};

        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 4, &limits, &arena, &error), 0);
        assert_int_equal(age_seal(bytes_of(text), &recipients, is_armored, file, &error), 0);
        assert_int_equal(age_keys_add_passphrase(&keys, passphrase, &arena, &error), 0);
}

static void test_an_identity_file_may_be_an_age_file(void **state) {
        struct age_file file;
        char text[AGE_RECIPIENT_TEXT_BYTES];

        (void)state;
        for (int is_armored = 0; is_armored < 2; is_armored++) {
                setup(NULL);
                identity_sealed(is_armored, "# mine\n" TEST_IDENTITY "\n", &file);
                assert_int_equal(age_keys_add(&keys,
                                         &(struct age_input){(struct bytes){file.at, file.length}, "KEYS",
                                                 &limits, &arena},
                                         &error),
                        0);
                assert_int_equal(keys.count, 2);
                assert_true(age_key_recipient(&keys, 1, text));
                assert_string_equal(text, TEST_RECIPIENT);
                assert_false(age_key_recipient(&keys, 0, text));
                for (size_t i = 0; i + sizeof TEST_IDENTITY - 1 <= arena.used;
                        i++) /* the text itself is wiped */
                        assert_memory_not_equal(arena.at + i, TEST_IDENTITY, sizeof TEST_IDENTITY - 1);
                free(file.at);
                if (!is_armored)
                        arena_deinit(&arena);
        }
}

static void test_an_age_file_in_an_age_file_is_no_identity_file(void **state) {
        struct age_file inner, outer;
        char text[4096] = {0};

        (void)state;
        identity_sealed(true, TEST_IDENTITY "\n", &inner);
        memcpy(text, inner.at, inner.length);
        recipients.count = 0;
        identity_sealed(false, text, &outer);
        assert_int_equal(
                age_keys_add(&keys,
                        &(struct age_input){(struct bytes){outer.at, outer.length}, "KEYS", &limits, &arena},
                        &error),
                -1);
        must_say("inside an age file");
        assert_int_equal(keys.count, 2);
        free(inner.at);
        free(outer.at);
}

static void key_encoded(const char *prefix, size_t length, bool is_upper, char out[static 128]) {
        static const uint8_t key[48] = {9};

        memset(out, 0, 128);
        bech32_encode(prefix, (struct bytes){key, length}, is_upper, out);
}

static void test_keys_of_another_length_or_prefix_are_refused(void **state) {
        char text[128];

        (void)state;
        key_encoded("age-secret-key-", 32, true, text);
        assert_int_equal(keys_add(text), 0);
        for (size_t length = 0; length <= 48; length++) {
                key_encoded("age-secret-key-", length, true, text);
                assert_int_equal(keys_add(text), length == 32 ? 0 : -1);
                key_encoded("age", length, false, text);
                assert_int_equal(
                        age_recipients_add(&recipients, text, &arena, &error), length == 32 ? 0 : -1);
        }
        key_encoded("age-secret-key-x-", 32, true, text);
        assert_int_equal(keys_add(text), -1);
        key_encoded("age1x", 32, false, text);
        assert_int_equal(age_recipients_add(&recipients, text, &arena, &error), -1);
        must_say("not supported");
}

/* ---- recipients ---- */

static void test_recipients_files_may_have_comments_and_doubles(void **state) {
        (void)state;
        assert_int_equal(
                age_recipients_add_file(&recipients,
                        BYTES_OF("# team\r\n" TEST_RECIPIENT "\r\n\n" TEST_SSH_PUBLIC TEST_RECIPIENT "\n"),
                        "FILE", &arena, &error),
                0);
        assert_int_equal(recipients.count, 2);
}

static void test_what_is_no_recipient_is_refused_and_not_repeated(void **state) {
        static const struct {
                const char *text, *expected;
        } bad[] = {
                {TEST_IDENTITY, "recipient: an identity (secret)"},
                {"", "neither age1"},
                {"age1", "too short"},
                {"AGE1N2LEGV3JVTYFFF3L60HC4UJLJDJU46UFQA960A0ZE23FXHUKU32S5WPKLV", "neither age1"},
                {"age1n2legv3jvtyfff3l60hc4ujljdju46ufqa960a0ze23fxhuku32s5wpkl",
                        "recipient age1n2legv3j...: the checksum"},
                {"age1n2legv3jvtyfff3l60hc4ujljdju46ufqa960a0ze23fxhuku32s5wpklv ", "column 63"},
                {TEST_SSH_ECDSA_PUBLIC, "another type"},
                {"ssh-rsa AAAAB3NzaC1yc2E", "another type"},
                {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHwZZkRWrfw2LKsdYXDlkEcVPSn4rr5uFfh4ogVOb0H",
                        "damaged"},
                {"ssh-ed25519 ", "damaged"},
                /* the neutral element, and a point of order eight */
                {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                        "usable"},
                {"-----BEGIN AGE ENCRYPTED FILE-----", "private key or an encrypted file"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(age_recipients_add(&recipients, bad[i].text, &arena, &error), -1);
                must_say(bad[i].expected);
                assert_int_equal(recipients.count, 0);
                assert_int_equal(arena.used, 0);
        }
        assert_int_equal(age_recipients_add_file(
                                 &recipients, BYTES_OF("\n" TEST_RECIPIENT "\nx\n"), "FILE", &arena, &error),
                -1);
        must_say("FILE: line 3: neither");
        assert_int_equal(recipients.count, 0);
}

static void test_a_passphrase_stands_alone(void **state) {
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t)TEST_PASSPHRASE, sizeof TEST_PASSPHRASE - 1};
        struct secret_bytes empty = {passphrase.at, 0};
        const struct age_limits tight = {.scrypt_memory_max = 256 * 1024 * 1024};

        (void)state;
        assert_int_equal(age_recipients_add_passphrase(&recipients, empty, 4, &limits, &arena, &error), -1);
        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 0, &limits, &arena, &error), -1);
        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 23, &limits, &arena, &error), -1);
        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 18, &tight, &arena, &error), -1);
        assert_non_null(strstr(error.text, "needs 260 MiB of memory and the limit is 256 MiB"));
        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 4, &limits, &arena, &error), 0);
        assert_int_equal(age_recipients_add(&recipients, TEST_RECIPIENT, &arena, &error), -1);
        must_say("only recipient");
        assert_int_equal(
                age_recipients_add_passphrase(&recipients, passphrase, 4, &limits, &arena, &error), -1);
        assert_int_equal(recipients.count, 1);
}

static void test_nobody_is_no_recipient(void **state) {
        struct age_file file;

        (void)state;
        assert_int_equal(age_seal(BYTES_OF("A=1"), &recipients, false, &file, &error), -1);
        assert_non_null(strstr(error.text, "no recipient"));
}

static void test_fingerprint_keys_follow_the_identity_and_never_a_passphrase(void **state) {
        uint8_t first[32], second[32];
        struct secret_bytes passphrase = {(uint8_t *)(uintptr_t)TEST_PASSPHRASE, sizeof TEST_PASSPHRASE - 1};

        (void)state;
        assert_false(age_fingerprint_key(&keys, first));
        assert_int_equal(age_keys_add_passphrase(&keys, passphrase, &arena, &error), 0);
        assert_false(age_fingerprint_key(&keys, first));
        assert_int_equal(keys_add(TEST_IDENTITY), 0);
        assert_true(age_fingerprint_key(&keys, first));
        assert_true(age_fingerprint_key(&keys, second));
        assert_memory_equal(first, second, 32);
        keys.count = 0;
        assert_int_equal(keys_add(TEST_SSH_KEY), 0);
        assert_true(age_fingerprint_key(&keys, second));
        assert_memory_not_equal(first, second, 32);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(test_identity_files_may_have_comments_empty_lines_and_crlf),
                TEST(test_what_is_no_identity_is_called_by_line),
                TEST(test_a_nul_ends_no_line_early),
                TEST(test_more_keys_than_fit_are_refused_whole),
                TEST(test_hybrid_identities_are_read_or_refused_by_name),
                TEST(test_hybrid_recipients_do_not_mix_or_are_refused_by_name),
                TEST(test_a_hybrid_key_opens_what_it_sealed),
                TEST(test_an_ssh_key_opens_what_its_public_key_seals),
                TEST(test_every_damage_to_an_ssh_key_is_refused),
                TEST(test_the_parts_of_an_ssh_key_must_fit_together),
                TEST(test_keys_of_another_length_or_prefix_are_refused),
                TEST(test_an_identity_file_may_be_an_age_file),
                TEST(test_an_age_file_in_an_age_file_is_no_identity_file),
                TEST(test_recipients_files_may_have_comments_and_doubles),
                TEST(test_what_is_no_recipient_is_refused_and_not_repeated),
                TEST(test_a_passphrase_stands_alone),
                TEST(test_nobody_is_no_recipient),
                TEST(test_fingerprint_keys_follow_the_identity_and_never_a_passphrase),
        };

        return cmocka_run_group_tests_name("age keys", tests, NULL, NULL);
}
