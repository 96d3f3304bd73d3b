/* Whom a file is for, before and after: what is certain, and what an age file does not tell. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secrets/age/age.h"

#define PEOPLE 4

static const struct age_limits limits = {0};

/* Identities and recipients of some people, and a file for the first `count` of them. */
struct fixture {
        struct arena arena;
        struct error error;
        char recipients[PEOPLE][AGE_RECIPIENT_TEXT_BYTES];
        struct age_keys keys[PEOPLE];
        struct age_file file;
        struct age_difference difference;
};

static int setup(void **state) {
        struct fixture *fixture = calloc(1, sizeof *fixture);

        *state = fixture;
        assert_int_equal(arena_init(&fixture->arena, 8 << 20, &fixture->error), 0);
        for (int i = 0; i < PEOPLE; i++) {
                struct secret_bytes identity;

                assert_int_equal(
                        age_keygen(&fixture->arena, &identity, fixture->recipients[i], &fixture->error), 0);
                struct age_input input = {secret_view(identity), "key", &limits, &fixture->arena};

                assert_int_equal(age_keys_add(&fixture->keys[i], &input, &fixture->error), 0);
        }
        return 0;
}

static int teardown(void **state) {
        struct fixture *fixture = *state;

        arena_deinit(&fixture->arena);
        free(fixture->file.at);
        free(fixture);
        return 0;
}

/* The recipients that `digits` numbers: "02" is the first and the third. */
static struct age_recipients people(struct fixture *fixture, const char *digits) {
        struct age_recipients recipients = {0};

        for (; *digits; digits++)
                assert_int_equal(age_recipients_add(&recipients, fixture->recipients[*digits - '0'],
                                         &fixture->arena, &fixture->error),
                        0);
        return recipients;
}

static void file_make(struct fixture *fixture, const struct age_recipients *recipients, bool is_armored) {
        free(fixture->file.at);
        assert_int_equal(
                age_seal(BYTES_OF("A=1\n"), recipients, is_armored, &fixture->file, &fixture->error), 0);
}

static const struct age_difference *compare(
        struct fixture *fixture, const struct age_keys *keys, const struct age_recipients *after) {
        struct age_input input = {
                {fixture->file.at, fixture->file.length}, "f.age", &limits, &fixture->arena};
        size_t used = fixture->arena.used;

        if (age_difference_find(&input, keys, after, &fixture->difference, &fixture->error) < 0)
                fail_msg("%s", fixture->error.text);
        assert_int_equal(fixture->arena.used, used);
        return &fixture->difference;
}

static void test_only_what_cannot_be_otherwise_is_a_change(void **state) {
        static const struct {
                const char *before, *after;
                size_t added, removed;
                const char *is_new; /* of each to come */
                bool opens, stays;  /* the first person's key */
        } cases[] = {
                {"0", "0", 0, 0, "n", true, true},
                {"0", "1", 1, 1, "y", true, false},
                {"0", "01", 1, 0, "ny", true, true},
                {"01", "0", 0, 1, "n", true, true},
                {"01", "01", 0, 0, "ny", true, true},
                /* One that nothing names in the place of another: not to be seen. */
                {"01", "02", 0, 0, "ny", true, true},
                {"01", "12", 1, 1, "yy", true, false},
                {"01", "012", 1, 0, "nyy", true, true},
                {"012", "0", 0, 2, "n", true, true},
                {"12", "01", 1, 1, "yy", false, true},
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct fixture *fixture = *state;
                struct age_recipients before = people(fixture, cases[i].before);
                struct age_recipients after = people(fixture, cases[i].after);
                const struct age_difference *found;

                file_make(fixture, &before, i % 2);
                found = compare(fixture, &fixture->keys[0], &after);
                if (found->before != strlen(cases[i].before) || found->after != strlen(cases[i].after) ||
                        found->added != cases[i].added || found->removed != cases[i].removed)
                        fail_msg("%s to %s: %zu added, %zu removed", cases[i].before, cases[i].after,
                                found->added, found->removed);
                for (size_t n = 0; cases[i].is_new[n]; n++)
                        assert_int_equal(found->is_new[n], cases[i].is_new[n] == 'y');
                assert_int_equal(found->opens[0], cases[i].opens);
                assert_int_equal(found->named, cases[i].opens);
                assert_int_equal(found->stays[0], cases[i].stays);
        }
}

static void test_every_key_at_hand_names_its_own_place(void **state) {
        struct fixture *fixture = *state;
        struct age_keys two = fixture->keys[0];
        struct age_recipients before = people(fixture, "01"), after = people(fixture, "02");
        const struct age_difference *found;

        two.list[two.count++] = fixture->keys[1].list[0];
        file_make(fixture, &before, false);
        found = compare(fixture, &two, &after);
        assert_int_equal(found->named, 2);
        assert_int_equal(found->added, 1);
        assert_int_equal(found->removed, 1);
        assert_true(found->opens[1]);
        assert_false(found->stays[1]);
}

static void test_ssh_keys_are_known_by_their_tags(void **state) {
        static const char *const lines[] = {
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGBcGEo9dX/fj58pmwn6lJgQnTmIgwvMtnywJKlsOFU7 one",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOGnJ/5qdbo3bT1kYZFF3vr/6ASKwLHXtPn8mzgVDyaA two",
        };
        struct fixture *fixture = *state;
        struct age_recipients before = people(fixture, "0"), after = people(fixture, "0");
        char shown[AGE_RECIPIENT_SHOWN_BYTES];
        const struct age_difference *found;

        if (age_recipients_add(&before, lines[0], &fixture->arena, &fixture->error) < 0)
                fail_msg("%s", fixture->error.text);
        file_make(fixture, &before, false);
        found = compare(fixture, &fixture->keys[0], &before);
        assert_int_equal(found->added + found->removed, 0);
        assert_false(found->is_new[1]);
        age_recipient_show(&before, 1, shown);
        assert_int_equal(strncmp(shown, lines[0], strlen(shown)), 0);
        found = compare(fixture, &fixture->keys[0], &after);
        assert_int_equal(found->removed, 1);
        assert_int_equal(age_recipients_add(&after, lines[1], &fixture->arena, &fixture->error), 0);
        found = compare(fixture, &fixture->keys[0], &after);
        assert_int_equal(found->added, 1);
        assert_int_equal(found->removed, 1);
        assert_true(found->is_new[1]);
}

static void test_a_passphrase_is_one_recipient(void **state) {
        static uint8_t right[] = "correct horse", wrong[] = "battery staple";
        struct fixture *fixture = *state;
        struct age_recipients locked = {0}, other = {0}, open = people(fixture, "1");
        struct age_keys keys = {0};
        const struct age_difference *found;

        assert_int_equal(age_recipients_add_passphrase(&locked, (struct secret_bytes){right, 13}, 1, &limits,
                                 &fixture->arena, &fixture->error),
                0);
        assert_int_equal(age_recipients_add_passphrase(&other, (struct secret_bytes){wrong, 14}, 1, &limits,
                                 &fixture->arena, &fixture->error),
                0);
        assert_int_equal(age_keys_add_passphrase(
                                 &keys, (struct secret_bytes){right, 13}, &fixture->arena, &fixture->error),
                0);
        file_make(fixture, &locked, false);
        found = compare(fixture, &keys, &locked);
        assert_int_equal(found->added + found->removed, 0);
        assert_true(found->stays[0]);
        found = compare(fixture, &keys, &other);
        assert_int_equal(found->added, 1);
        assert_int_equal(found->removed, 1);
        found = compare(fixture, &keys, &open);
        assert_int_equal(found->added, 1);
        assert_int_equal(found->removed, 1);
        assert_true(found->opens[0]);
        assert_false(found->stays[0]);
        file_make(fixture, &open, false);
        found = compare(fixture, &fixture->keys[1], &locked);
        assert_int_equal(found->added, 1);
        assert_int_equal(found->removed, 1);
}

static void test_a_file_that_is_not_there_had_nobody(void **state) {
        struct fixture *fixture = *state;
        struct age_recipients after = people(fixture, "01");
        struct age_input input = {{0}, "f.age", &limits, &fixture->arena};

        assert_int_equal(
                age_difference_find(&input, &fixture->keys[1], &after, &fixture->difference, &fixture->error),
                0);
        assert_int_equal(fixture->difference.before, 0);
        assert_int_equal(fixture->difference.added, 2);
        assert_true(fixture->difference.stays[0]);
        assert_false(fixture->difference.opens[0]);
}

static void test_a_recipient_can_be_taken_out(void **state) {
        struct fixture *fixture = *state;
        struct age_recipients three = people(fixture, "012");
        size_t used = fixture->arena.used;
        char shown[AGE_RECIPIENT_SHOWN_BYTES];

        assert_int_equal(
                age_recipients_remove(&three, fixture->recipients[1], &fixture->arena, &fixture->error), 0);
        assert_int_equal(three.count, 2);
        age_recipient_show(&three, 1, shown);
        assert_string_equal(shown, fixture->recipients[2]);
        assert_int_equal(
                age_recipients_remove(&three, fixture->recipients[1], &fixture->arena, &fixture->error), 1);
        assert_int_equal(age_recipients_remove(&three, "age1nobody", &fixture->arena, &fixture->error), -1);
        assert_int_equal(three.count, 2);
        assert_int_equal(fixture->arena.used, used);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_only_what_cannot_be_otherwise_is_a_change),
                CASE(test_every_key_at_hand_names_its_own_place),
                CASE(test_ssh_keys_are_known_by_their_tags),
                CASE(test_a_passphrase_is_one_recipient),
                CASE(test_a_file_that_is_not_there_had_nobody),
                CASE(test_a_recipient_can_be_taken_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
