/* The text layers of the age format: base64, bech32, armor. What the public vectors miss is here: bytes above
 * 0x7f, NUL, other spellings. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/age/age.h"
#include "secrets/age/armor.h"
#include "secrets/age/base64.h"
#include "secrets/age/bech32.h"

static struct bytes bytes_of(const char *text) {
        return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static bool decodes(enum base64_form form, const char *text) {
        uint8_t out[64];
        size_t length = 0;

        return base64_decode(form, bytes_of(text), out, &length);
}

static void test_base64_takes_only_what_an_encoder_writes(void **state) {
        static const char *const good[] = {"", "AA", "AAA", "AAAA", "+/+/", "TWFu"};
        static const char *const bad[] = {"A", "AAAAA", "AB", "AAB", "AA==", "AAA=", "A A", "AA\n", "AA\r",
                "-_-_", "AAA*", "====", "="};

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
                assert_true(decodes(BASE64_UNPADDED, good[i]));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(decodes(BASE64_UNPADDED, bad[i]));
}

static void test_base64_padding_is_exact_where_it_is_wanted(void **state) {
        static const char *const good[] = {"", "AA==", "AAA=", "AAAA", "AAAAAA=="};
        static const char *const bad[] = {
                "AA", "AAA", "A===", "====", "AA=A", "=AAA", "AB==", "AAB=", "AA==AAAA", "AA==\n", "AAAA="};

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
                assert_true(decodes(BASE64_PADDED, good[i]));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(decodes(BASE64_PADDED, bad[i]));
}

static void test_base64_takes_64_characters_and_no_other_byte(void **state) {
        size_t taken = 0, length;
        uint8_t out[8];

        (void)state;
        for (unsigned c = 0; c < 256; c++)
                for (unsigned place = 0; place < 4; place++) {
                        uint8_t text[4] = {'A', 'A', 'A', 'A'};

                        text[place] = (uint8_t)c;
                        taken += base64_decode(BASE64_UNPADDED, (struct bytes){text, 4}, out, &length);
                }
        assert_int_equal(taken, 64 * 4);
}

static void test_base64_comes_back_at_every_length(void **state) {
        uint8_t bytes[100], out[128];
        char text[200];

        (void)state;
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(i * 37 + 250);
        for (size_t n = 0; n <= sizeof bytes; n++)
                for (int form = 0; form < 2; form++) {
                        size_t written =
                                base64_encode((enum base64_form)form, (struct bytes){bytes, n}, text);

                        assert_int_equal(written, base64_encoded_bytes((enum base64_form)form, n));
                        assert_true(base64_decode_exactly(
                                (enum base64_form)form, (struct bytes){(uint8_t *)text, written}, out, n));
                        assert_memory_equal(out, bytes, n);
                        assert_false(base64_decode_exactly((enum base64_form)form,
                                (struct bytes){(uint8_t *)text, written}, out, n + 1));
                }
}

static int bech32(
        const char *text, size_t *prefix, uint8_t *out, size_t room, size_t *length, struct error *error) {
        return bech32_decode(bytes_of(text), prefix, out, room, length, error);
}

/* BIP 173, "Test vectors": those whose checksum constant is 1 and whose data is whole bytes, and the invalid
 * ones. */
static void test_bech32_follows_its_specification(void **state) {
        static const char *const good[] = {"A12UEL5L", "a12uel5l",
                "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
                "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"};
        static const char *const bad[] = {"", "1nwldj5", " 1nwldj5",
                "\x7f"
                "1axkwrx",
                "\x80"
                "1eym55h",
                "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "de1lg7wt\xff", "A1G7SGD8",
                "10a06t8", "1qzzfhee", "a12UEL5L", "A12uEL5L", "split1cheo2y9e2w", "a12uel5m"};
        size_t prefix, length;
        uint8_t out[128];
        struct error error;

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
                if (bech32(good[i], &prefix, out, sizeof out, &length, &error) < 0)
                        fail_msg("%s: %s", good[i], error.text);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(bech32(bad[i], &prefix, out, sizeof out, &length, &error), -1);
}

static void test_bech32_has_no_second_spelling(void **state) {
        uint8_t bytes[32], out[33];
        char text[80] = {0};
        size_t prefix, length;

        (void)state;
        memset(bytes, 0xa5, sizeof bytes);
        bech32_encode("age", (struct bytes){bytes, sizeof bytes}, false, text);
        assert_int_equal(bech32(text, &prefix, out, sizeof out, &length, NULL), 0);
        assert_int_equal(prefix, 3);
        assert_int_equal(length, 32);
        assert_memory_equal(out, bytes, 32);
        assert_int_equal(bech32(text, &prefix, out, 31, &length, NULL), -1); /* no room */
        for (size_t i = 0; text[i]; i++) {
                const char was = text[i];

                for (unsigned c = 1; c < 256; c++) {
                        text[i] = (char)c;
                        if (text[i] != was && bech32(text, &prefix, out, sizeof out, &length, NULL) == 0)
                                fail_msg("also %s is a key", text);
                }
                text[i] = was;
        }
}

/* Their checksums are right; the bits that are left over after whole bytes are 2, 7, 5 and (well) 2. */
static void test_bech32_pad_bits_are_few_and_zero(void **state) {
        size_t prefix, length;
        uint8_t out[8];
        struct error error;

        (void)state;
        assert_int_equal(bech32("a1qpamnt9j", &prefix, out, sizeof out, &length, &error), -1);
        assert_non_null(strstr(error.text, "not zero"));
        assert_int_equal(bech32("a1qqqd87cpp", &prefix, out, sizeof out, &length, &error), -1);
        assert_int_equal(bech32("a1q3g6mn3", &prefix, out, sizeof out, &length, &error), -1);
        assert_int_equal(bech32("a1qy089ch6", &prefix, out, sizeof out, &length, &error), 0);
        assert_int_equal(length, 1);
        assert_int_equal(out[0], 1);
}

#define BEGIN "-----BEGIN AGE ENCRYPTED FILE-----\n"
#define END   "-----END AGE ENCRYPTED FILE-----\n"
#define FULL  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static int armor(struct bytes text, size_t *length) {
        uint8_t *out = malloc(armor_decoded_bytes_max(text.length));
        struct error error;
        int status = armor_decode(text, out, length, &error);

        free(out);
        return status;
}

static void test_armor_takes_what_the_reference_takes(void **state) {
        static const struct {
                const char *text;
                size_t length;
        } good[] = {
                {BEGIN END, 0},
                {BEGIN "AAAA\n" END, 3},
                {BEGIN FULL "\n" END, 48},
                {BEGIN FULL "\nAA==\n" END, 49},
                {" \t\n\r\n" BEGIN "AAAA\n" END " \n\t", 3},
                {"-----BEGIN AGE ENCRYPTED FILE-----\r\nAAAA\r\n-----END AGE ENCRYPTED FILE-----\r\n", 3},
                {BEGIN "AAAA\r\n-----END AGE ENCRYPTED FILE-----", 3},
        };
        size_t length;

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                assert_int_equal(armor(bytes_of(good[i].text), &length), 0);
                assert_int_equal(length, good[i].length);
                assert_true(armor_is_present(bytes_of(good[i].text)));
        }
}

static void test_armor_takes_nothing_else(void **state) {
        static const char *const bad[] = {
                "",
                "\n",
                "AAAA",
                BEGIN,
                BEGIN "AAAA\n",
                END,
                BEGIN "AAAA\nAAAA\n" END,
                BEGIN "\nAAAA\n" END,
                BEGIN "AAAA\n\n" END,
                BEGIN FULL "A\n" END,
                BEGIN FULL "AAAA\n" END,
                BEGIN "AAA\n" END,
                BEGIN "AAAA=\n" END,
                BEGIN "AB==\n" END,
                BEGIN " AAAA\n" END,
                BEGIN "AAAA \n" END,
                BEGIN "AA\rAA\n" END,
                BEGIN "AAAA\r\r\n" END,
                BEGIN "AAAA" END,
                BEGIN "AAAA\n" END "x",
                BEGIN "AAAA\n" END BEGIN "AAAA\n" END,
                "x\n" BEGIN "AAAA\n" END,
                " " BEGIN "AAAA\n" END,
                BEGIN "Header: 1\n\nAAAA\n" END,
                BEGIN "AAAA\n-----END AGE ENCRYPTED FILE----\n",
                BEGIN "AAAA\n " END,
                BEGIN FULL "\n" FULL "\nA\n" END,
                "-----BEGIN AGE ENCRYPTED FILE----- \nAAAA\n" END,
                "-----begin age encrypted file-----\nAAAA\n" END,
                BEGIN "=AAA\n" END,
                BEGIN "AA==AAAA\n" END,
        };
        size_t length;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                if (armor(bytes_of(bad[i]), &length) == 0)
                        fail_msg("was taken: %s", bad[i]);
}

/* No byte but the alphabet's, in any place of a line: NUL and 0x80-0xff are what libsodium's decoder would
 * have taken. */
static void test_armor_takes_no_strange_byte_anywhere(void **state) {
        const char text[] = BEGIN "AAAA\n" END;
        const size_t line = sizeof BEGIN - 1;
        size_t length;

        (void)state;
        for (size_t at = 0; at < sizeof text - 2; at++)
                for (unsigned c = 0; c < 256; c++) {
                        char changed[sizeof text];
                        bool is_body = at >= line && at < line + 4;
                        bool is_alphabet = c == '+' || c == '/' || (c >= '0' && c <= '9') ||
                                           (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                        memcpy(changed, text, sizeof text);
                        changed[at] = (char)c;
                        if (changed[at] == text[at] || (is_body && is_alphabet))
                                continue;
                        if (is_body && at == line + 3 && c == '=') /* padding is the one other spelling */
                                continue;
                        if (armor((struct bytes){(uint8_t *)changed, sizeof text - 1}, &length) == 0)
                                fail_msg("byte %u at %zu was taken", c, at);
                }
}

static void test_armor_bounds_the_blanks_around_it(void **state) {
        char text[4096];
        size_t length;

        (void)state;
        for (size_t blanks = 1022; blanks <= 1026; blanks++) {
                memset(text, '\n', blanks);
                strcpy(text + blanks, BEGIN "AAAA\n" END);
                assert_int_equal(armor(bytes_of(text), &length), blanks <= 1024 ? 0 : -1);
                strcpy(text, BEGIN "AAAA\n" END);
                length = strlen(text);
                memset(text + length, '\n', blanks);
                text[length + blanks] = '\0';
                assert_int_equal(armor(bytes_of(text), &length), blanks < 1024 ? 0 : -1);
        }
}

static void test_armor_comes_back_at_every_length(void **state) {
        uint8_t bytes[200], out[512];
        char text[1024];
        size_t length;

        (void)state;
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(255 - i);
        for (size_t n = 0; n <= sizeof bytes; n++) {
                armor_encode((struct bytes){bytes, n}, text);
                assert_int_equal(armor_decode((struct bytes){(uint8_t *)text, armor_encoded_bytes(n)}, out,
                                         &length, NULL),
                        0);
                assert_int_equal(length, n);
                assert_memory_equal(out, bytes, n);
        }
}

static void test_identities_are_found_in_any_text(void **state) {
        static const char *const found[] = {"AGE-SECRET-KEY-1", "age-secret-key-1abc",
                "# x\nAGE-SECRET-KEY-1Q\n", "\r\n \tAGE-SECRET-KEY-PQ-1Q", "AGE-PLUGIN-YUBIKEY-1QQ",
                "Age-Plugin-se-2.x-1q",
                "export KEY=AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
                "{\"k\":\"age-secret-key-pq-1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq\"}"};
        static const char *const other[] = {"", "AGE-", "AGE-SECRET-KEY-", "AGE-SECRET-KEY-2", "AGE-PLUGIN-X",
                "an identity begins with AGE-SECRET-KEY-1...", "age1qqqq", "PAGE-SECRET-KEY-1QQ",
                "-----BEGIN OPENSSH PRIVATE KEY-----\n", "AGE-PLUGIN- -1", "ssh-ed25519 AAAA"};

        (void)state;
        for (size_t i = 0; i < sizeof found / sizeof *found; i++)
                if (!age_text_has_identity(bytes_of(found[i])))
                        fail_msg("not found: %s", found[i]);
        for (size_t i = 0; i < sizeof other / sizeof *other; i++)
                if (age_text_has_identity(bytes_of(other[i])))
                        fail_msg("taken for one: %s", other[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_identities_are_found_in_any_text),
                cmocka_unit_test(test_base64_takes_only_what_an_encoder_writes),
                cmocka_unit_test(test_base64_padding_is_exact_where_it_is_wanted),
                cmocka_unit_test(test_base64_takes_64_characters_and_no_other_byte),
                cmocka_unit_test(test_base64_comes_back_at_every_length),
                cmocka_unit_test(test_bech32_follows_its_specification),
                cmocka_unit_test(test_bech32_has_no_second_spelling),
                cmocka_unit_test(test_bech32_pad_bits_are_few_and_zero),
                cmocka_unit_test(test_armor_takes_what_the_reference_takes),
                cmocka_unit_test(test_armor_takes_nothing_else),
                cmocka_unit_test(test_armor_takes_no_strange_byte_anywhere),
                cmocka_unit_test(test_armor_bounds_the_blanks_around_it),
                cmocka_unit_test(test_armor_comes_back_at_every_length),
        };

        return cmocka_run_group_tests_name("age text", tests, NULL, NULL);
}
