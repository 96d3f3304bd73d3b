/* Private keys among the secrets: those in use are passed over, others refused wherever they come from. */

#include "tests/unit/secrets/loading.h"

#define IDENTITY "AGE-SECRET-KEY-1CANARYQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"

/* A folder `d` with a secret, and beside it what age_prepare() makes. */
static void folder_prepare(void) {
        age_prepare("A=x\n");
        assert_int_equal(mkdir(path_of("d"), 0700), 0);
        text_write("d/PASSWORD", "secret-value");
        source_add("dir:", path_of("d"));
}

static void only_the_password_expect(const char *noted) {
        load_expect();
        assert_int_equal(result.bundle.count, 1);
        assert_string_equal(value_of("PASSWORD"), "secret-value");
        assert_non_null(strstr(result.note, noted));
        assert_null(strcasestr(result.note, "AGE-SECRET-KEY"));
}

static void test_an_identity_file_in_the_folder_is_no_variable(void **state) {
        (void)state;
        folder_prepare();
        rename(path_of("key"), path_of("d/KEY"));
        key_add(path_of("d/KEY"));
        only_the_password_expect("/d/KEY' is a key in use");
        /* The name does not matter either. */
        rename(path_of("d/KEY"), path_of("d/key.txt"));
        request.key_count = 0;
        key_add(path_of("d/key.txt"));
        only_the_password_expect("/d/key.txt' is a key in use");
}

static void test_a_key_is_known_by_every_name_of_it(void **state) {
        (void)state;
        folder_prepare();
        assert_int_equal(link(path_of("key"), path_of("d/HARD")), 0);
        assert_int_equal(symlink("../key", path_of("d/SOFT")), 0);
        key_add(path_of("key"));
        only_the_password_expect("/d/HARD' is a key in use");
        assert_non_null(strstr(result.note, "/d/SOFT' is a key in use"));
}

static void test_a_key_by_descriptor_or_credential_or_with_a_passphrase_is_known_too(void **state) {
        char spec[160];
        int fd;

        (void)state;
        folder_prepare();
        rename(path_of("key"), path_of("d/TACET_KEY"));
        fd = open(path_of("d/TACET_KEY"), O_RDONLY | O_CLOEXEC);
        snprintf(spec, sizeof spec, "fd:%d", fd);
        key_add(spec);
        only_the_password_expect("/d/TACET_KEY' is a key in use");
        close(fd);
        request.key_count = 0;
        setenv("CREDENTIALS_DIRECTORY", path_of("d"), 1);
        key_add("credential:TACET_KEY");
        only_the_password_expect("/d/TACET_KEY' is a key in use");
        text_write("d/UNLOCK", "canary passphrase\n");
        snprintf(spec, sizeof spec, "passphrase-file:%s", path_of("d/UNLOCK"));
        key_add(spec);
        only_the_password_expect("/d/UNLOCK' is a key in use");
        unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_a_key_in_a_kubernetes_mount_is_known(void **state) {
        char spec[160];

        (void)state;
        age_prepare("A=x\n");
        assert_int_equal(mkdir(path_of("m"), 0700), 0);
        assert_int_equal(mkdir(path_of("m/..one"), 0700), 0);
        text_write("m/..one/PASSWORD", "secret-value");
        text_write("m/..one/UNLOCK", "canary passphrase");
        assert_int_equal(symlink("..one", path_of("m/..data")), 0);
        assert_int_equal(symlink("..data/UNLOCK", path_of("m/UNLOCK")), 0);
        source_add("dir:", path_of("m"));
        snprintf(spec, sizeof spec, "passphrase-file:%s", path_of("m/UNLOCK"));
        key_add(spec);
        only_the_password_expect("/m/UNLOCK' is a key in use");
}

static void test_a_locked_identity_in_an_age_folder_is_passed_over(void **state) {
        (void)state;
        age_prepare("A=x\n");
        assert_int_equal(link(path_of("key"), path_of("v/KEY.age")), 0);
        source_add("age-dir:", path_of("v"));
        key_add(path_of("key"));
        load_expect();
        assert_int_equal(result.bundle.count, 1);
        assert_non_null(strstr(result.note, "/v/KEY.age' is a key in use"));
}

static void test_a_variable_that_is_a_key_is_not_a_secret_of_its_prefix(void **state) {
        CLEANUP_ARENA struct arena arena = {0};
        char recipient[AGE_RECIPIENT_TEXT_BYTES], text[128];
        struct secret_bytes identity;

        (void)state;
        assert_int_equal(arena_init(&arena, 1 << 20, &error), 0);
        assert_int_equal(age_keygen(&arena, &identity, recipient, &error), 0);
        snprintf(text, sizeof text, "%.*s", (int)identity.length, (const char *)identity.at);
        setenv("TACET_TEST_S_KEY", text, 1);
        setenv("TACET_TEST_S_ONE", "1", 1);
        source_add("env:", "TACET_TEST_S_");
        key_add("env:TACET_TEST_S_KEY");
        load_expect();
        assert_int_equal(result.bundle.count, 1);
        assert_string_equal(result.note, "TACET_TEST_S_KEY is a key in use: the app does not get it");
        request.key_count = 0;
        failure_expect("environment: TACET_TEST_S_KEY: the value is an age identity");
        unsetenv("TACET_TEST_S_KEY");
        unsetenv("TACET_TEST_S_ONE");
}

static void test_an_identity_is_refused_from_every_source(void **state) {
        (void)state;
        folder_prepare();
        text_write("d/COPY", "# created: today\n" IDENTITY "\n");
        failure_expect("/d/COPY: COPY: the value is an age identity");
        assert_non_null(strstr(error.hint, "age_identities = yes"));
        request.source_count = 0;
        source_add("env-file:", path_of("plain"));
        text_write("plain", "A=1\nCOPY=" IDENTITY "\n");
        failure_expect("/plain:2:1: COPY: the value is an age identity");
        request.sources[0].dialect = document_dialect_named("json", NULL);
        text_write("plain", "{\"COPY\": \"x\\n" IDENTITY "\"}");
        failure_expect("COPY: the value is an age identity");
        request.sources[0].dialect = document_dialect_named("dotenv", "tacet");
        text_write("plain", "COPY=\"a\\n" IDENTITY "\"\n");
        failure_expect("/plain:1:1: COPY: the value is an age identity");
        request.source_count = 0;
        age_prepare("B=2\nCOPY='" IDENTITY "'\n");
        source_add("age:", path_of("f.age"));
        key_add(path_of("key"));
        failure_expect("/f.age:2:1: COPY: the value is an age identity");
}

static void test_who_says_so_gets_identities(void **state) {
        (void)state;
        folder_prepare();
        text_write("d/SOPS_AGE_KEY", IDENTITY "\n");
        rename(path_of("key"), path_of("d/KEY"));
        key_add(path_of("d/KEY"));
        request.sources[0].may_hold_identities = true;
        load_expect();
        assert_string_equal(value_of("SOPS_AGE_KEY"), IDENTITY);
        assert_string_equal(value_of("KEY"), "(absent)");
        request.source_count = 0;
        source_add("env-file:", path_of("plain"));
        request.sources[0].may_hold_identities = true;
        text_write("plain", "SOPS_AGE_KEY=" IDENTITY "\n");
        load_expect();
        assert_string_equal(value_of("SOPS_AGE_KEY"), IDENTITY);
}

static void test_a_folder_of_keys_alone_says_what_was_left_out(void **state) {
        (void)state;
        age_prepare("A=x\n");
        assert_int_equal(mkdir(path_of("d"), 0700), 0);
        rename(path_of("key"), path_of("d/KEY"));
        source_add("dir:", path_of("d"));
        key_add(path_of("d/KEY"));
        failure_expect("holds no variable but keys: '");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_an_identity_file_in_the_folder_is_no_variable),
                CASE(test_a_key_is_known_by_every_name_of_it),
                CASE(test_a_key_by_descriptor_or_credential_or_with_a_passphrase_is_known_too),
                CASE(test_a_key_in_a_kubernetes_mount_is_known),
                CASE(test_a_locked_identity_in_an_age_folder_is_passed_over),
                CASE(test_a_variable_that_is_a_key_is_not_a_secret_of_its_prefix),
                CASE(test_an_identity_is_refused_from_every_source),
                CASE(test_who_says_so_gets_identities),
                CASE(test_a_folder_of_keys_alone_says_what_was_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
