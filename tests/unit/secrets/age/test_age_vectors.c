/* The public test vectors of the age format (build/vectors, laid out by tests/vectors/fetch): each must open
 * to the expected bytes, or fail in the expected way. Skipped when nobody fetched them; a failure when fewer
 * ran than exist. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "secrets/age/armor.h"
#include "secrets/age/format.h"
#include "secrets/age/open.h"
#include "secrets/age/wrap.h"

#define VECTORS          "build/vectors"
#define VECTOR_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define VECTORS_CLASSIC  124
#define VECTORS_ALL      143
#define ARENA_BYTES      ((size_t)32 * 1024 * 1024)
#define PASSPHRASE_ROOM  64

static const struct age_limits limits = {VECTOR_BYTES_MAX, AGE_SCRYPT_LOG_N_DEFAULT, 0};

struct vector {
        const char *name;
        const char *expect;
        const char *payload;
        bool is_hybrid; /* and tacet was built without */
        bool is_armored;
        struct bytes file;
        struct age_keys keys;
        struct arena arena;
};

static const char *fault_name(enum age_fault fault) {
        switch (fault) {
        case AGE_FAULT_NONE:
                return "success";
        case AGE_FAULT_ARMOR:
                return "armor failure";
        case AGE_FAULT_HEADER:
                return "header failure";
        case AGE_FAULT_NO_MATCH:
                return "no match";
        case AGE_FAULT_MAC:
                return "HMAC failure";
        case AGE_FAULT_PAYLOAD:
                return "payload failure";
        case AGE_FAULT_OTHER:
                break;
        }
        return "another failure";
}

static void vector_key(struct vector *vector, const char *key, char *value) {
        struct error error = {0};
        struct bytes text = {(const uint8_t *)value, strlen(value)};

        if (strcmp(key, "expect") == 0)
                vector->expect = value;
        else if (strcmp(key, "payload") == 0)
                vector->payload = value;
        else if (strcmp(key, "armored") == 0)
                vector->is_armored = true;
        else if (strcmp(key, "passphrase") == 0)
                assert_return_code(age_keys_add_passphrase(&vector->keys,
                                           (struct secret_bytes){(uint8_t *)value, strlen(value)},
                                           &vector->arena, &error),
                        0);
        else if (strcmp(key, "identity") == 0 && strncmp(value, "AGE-SECRET-KEY-PQ-", 18) == 0 &&
                 !hybrid_is_built_in()) {
                assert_int_equal(
                        age_keys_add(&vector->keys,
                                &(struct age_input){text, "identity", &limits, &vector->arena}, &error),
                        -1);
                assert_non_null(strstr(error.text, "post-quantum"));
                vector->is_hybrid = true;
        } else if (strcmp(key, "identity") == 0 &&
                   age_keys_add(&vector->keys, &(struct age_input){text, "identity", &limits, &vector->arena},
                           &error) < 0)
                fail_msg("%s: %s", vector->name, error.text);
}

/* Split the key lines off, in place. */
static void vector_parse(struct vector *vector, char *text, size_t length) {
        char *body = strstr(text, "\n\n");
        char *line = text;

        assert_non_null(body);
        vector->file = (struct bytes){(uint8_t *)body + 2, length - (size_t)(body + 2 - text)};
        body[1] = '\0';
        while (*line) {
                char *end = strchr(line, '\n');
                char *colon = strstr(line, ": ");

                assert_non_null(end);
                assert_non_null(colon);
                *end = *colon = '\0';
                vector_key(vector, line, colon + 2);
                line = end + 1;
        }
}

static void vector_check(struct vector *vector) {
        enum age_fault fault;
        struct secret_bytes out;
        struct error error = {0};
        uint8_t hash[crypto_hash_sha256_BYTES];
        char hex[2 * sizeof hash + 1];
        const size_t mark = vector->arena.used;
        int status = age_open_telling(&(struct age_input){vector->file, NULL, &limits, &vector->arena},
                &vector->keys, &out, &fault, &error);

        /* age_open() tells the two forms apart by their first bytes: armor with garbage before it is not
         * armor to it */
        if (vector->is_armored && !armor_is_present(vector->file) && fault == AGE_FAULT_HEADER)
                fault = AGE_FAULT_ARMOR;
        if (strcmp(fault_name(fault), vector->expect) != 0)
                fail_msg("%s: %s where '%s' was expected (%s)", vector->name, fault_name(fault),
                        vector->expect, error.text);
        assert_int_equal(status, fault == AGE_FAULT_NONE ? 0 : -1);
        if (fault != AGE_FAULT_NONE) {
                assert_int_equal(vector->arena.used, mark);
                assert_true(error.text[0] != '\0');
                return;
        }
        crypto_hash_sha256(hash, out.at, out.length);
        sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
        assert_string_equal(hex, vector->payload);
        assert_int_equal(armor_is_present(vector->file), vector->is_armored);
}

/* Returns whether it was one that applies. */
static bool vector_run(const char *name) {
        struct vector vector = {.name = name};
        char path[512], *text = calloc(1, VECTOR_BYTES_MAX);
        ssize_t length;
        CLEANUP_FD int fd = -1;

        snprintf(path, sizeof path, VECTORS "/%s", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        length = fd_read_full(fd, text, VECTOR_BYTES_MAX - 1);
        assert_true(length > 0);
        assert_return_code(arena_init(&vector.arena, ARENA_BYTES, NULL), 0);
        vector_parse(&vector, text, (size_t)length);
        if (!vector.is_hybrid)
                vector_check(&vector);
        arena_deinit(&vector.arena);
        free(text);
        return !vector.is_hybrid;
}

static void test_every_public_vector_does_what_it_says(void **state) {
        DIR *folder = opendir(VECTORS);
        size_t ran = 0;
        struct dirent *entry;

        (void)state;
        if (!folder) {
                print_message("tests/vectors/fetch was not run\n");
                skip();
        }
        while ((entry = readdir(folder)))
                if (entry->d_name[0] != '.')
                        ran += vector_run(entry->d_name);
        closedir(folder);
        assert_int_equal(ran, hybrid_is_built_in() ? VECTORS_ALL : VECTORS_CLASSIC);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_public_vector_does_what_it_says)};

        return cmocka_run_group_tests_name("age vectors", tests, NULL, NULL);
}
