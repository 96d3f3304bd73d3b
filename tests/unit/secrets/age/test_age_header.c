/* The header's grammar and the structure of the known stanzas, beyond what the public vectors hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/age/open.h"
#include "secrets/age/wrap.h"
#include "tests/unit/secrets/age/age_keys.inc"

#define V1  "age-encryption.org/v1\n"
#define B43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define B64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define MAC "--- " B43 "\n"

static struct bytes bytes_of(const char *text) {
        return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void test_a_header_is_split_into_its_parts(void **state) {
        const char text[] = V1 "-> a b ~!\n" B64 "\n\n-> grease\nAAA\n" MAC "payload";
        struct age_header header;
        struct age_stanza stanza;
        struct age_stanza_walk walk = {0};

        (void)state;
        assert_int_equal(age_header_parse(BYTES_OF(text), &header, NULL), 0);
        assert_int_equal(header.stanza_count, 2);
        assert_string_equal((const char *)header.text.at + header.text.length, "payload");
        assert_memory_equal(header.text.at + header.signed_length - 3, "--- ", 4);
        assert_true(age_stanza_next(&header, &walk, &stanza));
        assert_true(age_stanza_is(&stanza, "a"));
        assert_int_equal(stanza.argument_count, 2);
        assert_true(bytes_equal(age_stanza_argument(&stanza, 0), BYTES_OF("b")));
        assert_true(bytes_equal(age_stanza_argument(&stanza, 1), BYTES_OF("~!")));
        assert_int_equal(stanza.body.length, 66);
        assert_int_equal(stanza.line, 2);
        assert_true(age_stanza_next(&header, &walk, &stanza));
        assert_true(age_stanza_is(&stanza, "grease"));
        assert_false(age_stanza_is(&stanza, "greas"));
        assert_false(age_stanza_is(&stanza, "greasy"));
        assert_int_equal(stanza.argument_count, 0);
        assert_int_equal(stanza.line, 5);
        assert_false(age_stanza_next(&header, &walk, &stanza));
}

static void test_headers_with_a_fault_name_its_line(void **state) {
        static const struct {
                const char *text, *expected;
        } bad[] = {
                {"", "not an age file"},
                {"age-encryption.org/v1", "not an age file"},
                {"age-encryption.org/v1\r\n-> a\n\n" MAC, "not an age file"},
                {"age-encryption.org/v2\n-> a\n\n" MAC, "not an age file"},
                {V1, "middle of line 2"},
                {V1 MAC, "no stanza"},
                {V1 "-> a\n\n", "middle of line 4"},
                {V1 "-> a\n\n--- " B43, "middle of line 4"},
                {V1 "-> a\n", "middle of line 3"},
                {V1 "->\n\n" MAC, "line 2: neither"},
                {V1 "-> \n\n" MAC, "line 2: an empty argument"},
                {V1 "->  a\n\n" MAC, "line 2: an empty argument"},
                {V1 "-> a  b\n\n" MAC, "line 2: an empty argument"},
                {V1 "-> a \n\n" MAC, "line 2: an empty argument"},
                {V1 "-> a\tb\n\n" MAC, "line 2: a character"},
                {V1 "-> a\x7f\n\n" MAC, "line 2: a character"},
                {V1 "-> a\x80\n\n" MAC, "line 2: a character"},
                {V1 "-> a\r\n\n" MAC, "line 2: a character"},
                {V1 "-> a\n\r\n" MAC, "line 3: not canonical"},
                {V1 "-> a\nAB\n" MAC, "line 3: not canonical"},
                {V1 "-> a\nAA==\n" MAC, "line 3: not canonical"},
                {V1 "-> a\n" B64 "\n" MAC, "line 4: not canonical"},
                {V1 "-> a\n" B64 "A\n" MAC, "line 3: a body line of more"},
                {V1 "-> a\nAAA\nAAA\n" MAC, "line 4: neither"},
                {V1 "-> a\n\n---" B43 "\n", "line 4: not '--- '"},
                {V1 "-> a\n\n---\n", "line 4: not '--- '"},
                {V1 "-> a\n\n---  " B43 "\n", "line 4: not '--- '"},
                {V1 "-> a\n\n--- " B43 " \n", "line 4: not '--- '"},
                {V1 "-> a\n\n--- " B43 "\r\n", "line 4: not '--- '"},
                {V1 "-> a\n\n--- " B43 "=\n", "line 4: not '--- '"},
                {V1 "-> a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n", "line 4: not '--- '"},
                {V1 "-> a\n\n-- " B43 "\n", "line 4: neither"},
                {V1 " -> a\n\n" MAC, "line 2: neither"},
        };
        struct age_header header;
        struct error error;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(age_header_parse(bytes_of(bad[i].text), &header, &error), -1);
                if (!strstr(error.text, bad[i].expected))
                        fail_msg("%zu: '%s' where '%s' was expected", i, error.text, bad[i].expected);
        }
}

/* NUL and 0x80-0xff, which libsodium 1.0.18 would decode or skip, and everything else outside the
 * alphabet. */
static void test_no_strange_byte_stands_in_a_body_or_in_the_mac(void **state) {
        char text[] = V1 "-> a\nAAAAAA\n" MAC;
        const size_t body = sizeof V1 "-> a\n" - 1, mac = sizeof V1 "-> a\nAAAAAA\n--- " - 1;
        const size_t places[] = {body, body + 2, body + 5, mac, mac + 20, mac + 42};
        struct age_header header;

        (void)state;
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
                for (unsigned c = 0; c < 256; c++) {
                        bool is_alphabet = c == '+' || c == '/' || (c >= '0' && c <= '9') ||
                                           (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
                        int status;

                        text[places[i]] = (char)c;
                        status = age_header_parse(
                                (struct bytes){(uint8_t *)text, sizeof text - 1}, &header, NULL);
                        text[places[i]] = 'A';
                        if (!is_alphabet && status == 0 && c != '\n')
                                fail_msg("byte %u was taken at %zu", c, places[i]);
                }
}

static void test_headers_have_a_size_limit(void **state) {
        size_t length = 2 * AGE_HEADER_BYTES_MAX, at = sizeof V1 - 1;
        char *text = malloc(length);
        struct age_header header;
        struct error error;

        (void)state;
        memcpy(text, V1, at);
        for (; at + 71 + sizeof MAC < length; at += 71)
                memcpy(text + at, "-> a\n" B64 "\n\n", 71);
        memcpy(text + at, MAC, sizeof MAC - 1); /* a good one but for its length */
        at += sizeof MAC - 1;
        assert_int_equal(age_header_parse((struct bytes){(uint8_t *)text, at}, &header, &error), -1);
        assert_non_null(strstr(error.text, "longer than 1048576"));
        memcpy(text, V1 "-> ", sizeof V1 + 2);
        memset(text + sizeof V1 + 2, 'x', AGE_ARGUMENT_BYTES_MAX + 1);
        memcpy(text + sizeof V1 + 2 + AGE_ARGUMENT_BYTES_MAX + 1, "\n\n" MAC, sizeof MAC + 2);
        assert_int_equal(age_header_parse(bytes_of(text), &header, &error), -1);
        assert_non_null(strstr(error.text, "more or longer arguments"));
        free(text);
}

static int opened(const char *text, struct error *error) {
        const struct age_limits limits = {0};
        struct age_keys keys = {0};
        struct arena arena;
        struct secret_bytes out;
        int status;

        assert_int_equal(arena_init(&arena, 65536, error), 0);
        assert_int_equal(
                age_keys_add(
                        &keys, &(struct age_input){BYTES_OF(TEST_IDENTITY), "KEYS", &limits, &arena}, error),
                0);
        status = age_open(&(struct age_input){bytes_of(text), "FILE", &limits, &arena}, &keys, &out, error);
        arena_deinit(&arena);
        return status;
}

/* Refused whether or not there is a key for them: what a file may be must not depend on who reads it. */
static void test_known_stanzas_have_their_shape_whoever_reads(void **state) {
        static const struct {
                const char *text, *expected;
        } bad[] = {
                {V1 "-> X25519\n" B43 "\n" MAC, "X25519 stanza without"},
                {V1 "-> X25519 " B43 " x\n" B43 "\n" MAC, "X25519 stanza without"},
                {V1 "-> X25519 AAAA\n" B43 "\n" MAC, "X25519 stanza without"},
                {V1 "-> X25519 " B43 "\nAAAA\n" MAC, "X25519 stanza whose body"},
                {V1 "-> X25519 " B43 "\n" B43 "\n" MAC, "low order"},
                {V1 "-> ssh-ed25519 AAAAAA\n" B43 "\n" MAC, "ssh-ed25519 stanza without"},
                {V1 "-> ssh-ed25519 AAAA " B43 "\n" B43 "\n" MAC, "ssh-ed25519 stanza without"},
                {V1 "-> ssh-ed25519 AAAAAA " B43 "\n\n" MAC, "ssh-ed25519 stanza whose body"},
                {V1 "-> mlkem768x25519 " B43 "\n" B43 "\n" MAC, "mlkem768x25519 stanza without"},
                {V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 1\n" B43 "\n-> a\n\n" MAC, "not alone"},
                {V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 01\n" B43 "\n" MAC, "not a plain number"},
                {V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18446744073709551617\n" B43 "\n" MAC,
                        "not a plain number"},
                {V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA\n" B43 "\n" MAC, "scrypt stanza without"},
                {V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 1\n\n" MAC, "scrypt stanza whose body"},
        };
        struct error error;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(opened(bad[i].text, &error), -1);
                if (!strstr(error.text, bad[i].expected))
                        fail_msg("%zu: '%s' where '%s' was expected", i, error.text, bad[i].expected);
        }
}

static void test_mistakes_with_keys_are_called_by_their_name(void **state) {
        char share[1494 + 1] = {0}, text[2048];
        struct error error;

        (void)state;
        assert_int_equal(opened(V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 1\n" B43 "\n" MAC, &error), -1);
        assert_non_null(strstr(error.text, "encrypted with a passphrase, and only identities"));
        assert_int_equal(opened(V1 "-> ssh-ed25519 AAAAAA " B43 "\n" B43 "\n-> x\n\n" MAC, &error), -1);
        assert_non_null(strstr(error.text, "known recipients 1, others 1"));
        assert_int_equal(error.status, EXIT_STATUS_DATA);
        if (hybrid_is_built_in())
                return;
        memset(share, 'A', sizeof share - 1);
        snprintf(text, sizeof text, V1 "-> mlkem768x25519 %s\n" B43 "\n" MAC, share);
        assert_int_equal(opened(text, &error), -1);
        assert_non_null(strstr(error.hint, "post-quantum"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_header_is_split_into_its_parts),
                cmocka_unit_test(test_headers_with_a_fault_name_its_line),
                cmocka_unit_test(test_no_strange_byte_stands_in_a_body_or_in_the_mac),
                cmocka_unit_test(test_headers_have_a_size_limit),
                cmocka_unit_test(test_known_stanzas_have_their_shape_whoever_reads),
                cmocka_unit_test(test_mistakes_with_keys_are_called_by_their_name),
        };

        return cmocka_run_group_tests_name("age header", tests, NULL, NULL);
}
