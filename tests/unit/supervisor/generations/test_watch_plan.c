/* Which directories and names are watched for a path, on a file system made of a table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/generations/watch_plan.h"

/* What stands where; a path that is not here is missing. `target` makes a link. */
struct entry {
        const char *path;
        enum watch_found found;
        const char *target;
};

static const struct entry tree[] = {
        {"/etc", WATCH_DIRECTORY, NULL},
        {"/etc/tacet", WATCH_DIRECTORY, NULL},
        {"/etc/tacet/secrets", WATCH_FILE, NULL},
        {"/etc/tacet/link", WATCH_LINK, "secrets"},
        {"/etc/tacet/far", WATCH_LINK, "/vol/KEY"},
        {"/etc/tacet/up", WATCH_LINK, "../hosts"},
        {"/etc/tacet/..", WATCH_DIRECTORY, NULL},
        {"/etc/tacet/../hosts", WATCH_FILE, NULL},
        {"/vol", WATCH_DIRECTORY, NULL},
        {"/vol/KEY", WATCH_LINK, "..data/KEY"},
        {"/vol/..data", WATCH_LINK, "..2026"},
        {"/vol/..2026", WATCH_DIRECTORY, NULL},
        {"/vol/..2026/KEY", WATCH_FILE, NULL},
        {"/plain", WATCH_DIRECTORY, NULL},
        {"/far", WATCH_LINK, "/vol"},
        {"/loop", WATCH_LINK, "loop2"},
        {"/loop2", WATCH_LINK, "loop"},
        {"/blind", WATCH_DIRECTORY, NULL},
        {"/blind/file", WATCH_FILE, NULL},
        {"./here", WATCH_DIRECTORY, NULL},
        {"./here/file", WATCH_FILE, NULL},
};

struct told {
        char text[512];
        const char *vanishes; /* seeing this directory fails: it went away */
};

static enum watch_found look(void *context, const char *path, char target[static PATH_MAX]) {
        (void)context;
        for (size_t i = 0; i < sizeof tree / sizeof *tree; i++) {
                if (strcmp(tree[i].path, path) != 0)
                        continue;
                if (tree[i].target)
                        snprintf(target, PATH_MAX, "%s", tree[i].target);
                return tree[i].found;
        }
        return WATCH_MISSING;
}

static int see(void *context, const char *directory, enum watch_what what, const char *name) {
        struct told *told = context;
        size_t used = strlen(told->text);

        if (strcmp(directory, "/blind") == 0)
                return -1;
        if (told->vanishes && strcmp(directory, told->vanishes) == 0)
                return WATCH_UNSTEADY;
        snprintf(told->text + used, sizeof told->text - used, "%s%s%s%s", used ? " " : "", directory,
                what == WATCH_SELF  ? "!"
                : what == WATCH_ALL ? "*"
                                    : ":",
                name ? name : "");
        return 0;
}

static struct told plan(const char *path, enum watch_kind kind, int expected) {
        struct told told = {0};
        struct watch_walk walk = {.context = &told, .look = look, .see = see};

        assert_int_equal(watch_plan(path, kind, &walk), expected);
        return told;
}

#define PLANS(path, kind, expected, seen) assert_string_equal(plan(path, kind, expected).text, seen)

static void a_file_is_seen_from_its_directory(void **state) {
        (void)state;
        PLANS("/etc/tacet/secrets", WATCH_KIND_FILE, 0, "/etc! /etc/tacet! /etc/tacet:secrets");
        PLANS("//etc/./tacet//secrets", WATCH_KIND_FILE, 0, "/etc! /etc/tacet! /etc/tacet:secrets");
        PLANS("here/file", WATCH_KIND_FILE, 0, "./here! ./here:file");
        PLANS("./here/file", WATCH_KIND_FILE, 0, "./here! ./here:file");
}

static void a_missing_file_or_directory_is_waited_for(void **state) {
        (void)state;
        PLANS("/etc/tacet/none", WATCH_KIND_FILE, 0, "/etc! /etc/tacet! /etc/tacet:none");
        PLANS("/etc/none/deeper/file", WATCH_KIND_FILE, 0, "/etc! /etc:none");
        PLANS("/none", WATCH_KIND_DIRECTORY, 0, "/:none");
}

static void a_link_and_what_it_leads_to_are_seen(void **state) {
        (void)state;
        PLANS("/etc/tacet/link", WATCH_KIND_FILE, 0, "/etc! /etc/tacet! /etc/tacet:link /etc/tacet:secrets");
        PLANS("/etc/tacet/up", WATCH_KIND_FILE, 0,
                "/etc! /etc/tacet! /etc/tacet:up /etc/tacet/..! /etc/tacet/..:hosts");
        PLANS("/etc/tacet/far", WATCH_KIND_FILE, 0,
                "/etc! /etc/tacet! /etc/tacet:far /vol! /vol:KEY /vol:..data /vol/..2026! /vol/..2026:KEY");
}

static void a_key_of_a_kubernetes_volume_is_seen_by_every_link(void **state) {
        (void)state;
        PLANS("/vol/KEY", WATCH_KIND_FILE, 0, "/vol! /vol:KEY /vol:..data /vol/..2026! /vol/..2026:KEY");
        PLANS("/far/KEY", WATCH_KIND_FILE, 0,
                "/:far /vol! /vol:KEY /vol:..data /vol/..2026! /vol/..2026:KEY");
}

static void a_directory_is_seen_with_all_its_entries(void **state) {
        (void)state;
        PLANS("/plain", WATCH_KIND_DIRECTORY, 0, "/plain! /plain*");
        PLANS("/plain/", WATCH_KIND_DIRECTORY, 0, "/plain! /plain*");
        PLANS("/vol", WATCH_KIND_DIRECTORY, 0, "/vol! /vol* /vol:..data /vol/..2026! /vol/..2026*");
        PLANS("/far", WATCH_KIND_DIRECTORY, 0, "/:far /vol! /vol* /vol:..data /vol/..2026! /vol/..2026*");
}

static void a_file_in_the_place_of_a_directory_is_seen(void **state) {
        (void)state;
        PLANS("/plain", WATCH_KIND_FILE, 0, "/plain!"); /* and the other way round */
        PLANS("/etc/tacet/secrets/deeper", WATCH_KIND_FILE, 0, "/etc! /etc/tacet! /etc/tacet:secrets");
        PLANS("/etc/tacet/secrets", WATCH_KIND_DIRECTORY, 0, "/etc! /etc/tacet! /etc/tacet:secrets");
}

static void links_without_end_are_given_up(void **state) {
        (void)state;
        (void)plan("/loop/file", WATCH_KIND_FILE, -1);
}

static void what_cannot_be_watched_is_said(void **state) {
        (void)state;
        PLANS("/blind/file", WATCH_KIND_FILE, -1, "/:blind");
        PLANS("/blind", WATCH_KIND_DIRECTORY, -1, "/:blind");
}

static void what_goes_away_under_the_walk_is_walked_again(void **state) {
        struct told told = {.vanishes = "/etc/tacet"};
        struct watch_walk walk = {.context = &told, .look = look, .see = see};

        (void)state;
        assert_int_equal(watch_plan("/etc/tacet/secrets", WATCH_KIND_FILE, &walk), WATCH_UNSTEADY);
        assert_string_equal(told.text, "/etc! /etc:tacet");
}

static void paths_that_are_too_long_are_given_up(void **state) {
        char path[PATH_MAX + 16];

        (void)state;
        memset(path, 'a', sizeof path);
        path[0] = '/';
        path[sizeof path - 1] = '\0';
        (void)plan(path, WATCH_KIND_FILE, -1);
        path[NAME_MAX + 3] = '\0';
        (void)plan(path, WATCH_KIND_FILE, -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file_is_seen_from_its_directory),
                cmocka_unit_test(a_missing_file_or_directory_is_waited_for),
                cmocka_unit_test(a_link_and_what_it_leads_to_are_seen),
                cmocka_unit_test(a_key_of_a_kubernetes_volume_is_seen_by_every_link),
                cmocka_unit_test(a_directory_is_seen_with_all_its_entries),
                cmocka_unit_test(a_file_in_the_place_of_a_directory_is_seen),
                cmocka_unit_test(links_without_end_are_given_up),
                cmocka_unit_test(what_cannot_be_watched_is_said),
                cmocka_unit_test(what_goes_away_under_the_walk_is_walked_again),
                cmocka_unit_test(paths_that_are_too_long_are_given_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
