/* Users and groups by name: see identity.h. Reads two files; runs before the first app is started. */

#include "shim/identity.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"

static void file_cleanup(FILE **file) {
        if (*file)
                fclose(*file);
}
#define CLEANUP_FILE __attribute__((cleanup(file_cleanup)))

/* (uid_t)-1 means "do not change" to setresuid(2): never a user. */
static bool text_to_id(const char *text, unsigned *out) {
        uint64_t number;

        if (!text_to_u64(text, &number) || number >= UINT32_MAX)
                return false;
        *out = (unsigned)number;
        return true;
}

static int refuse_unknown(struct error *error, const char *kind, const char *text, const char *path) {
        error_set(error, 0, "%s '%s' is not in %s", kind, text, path);
        error_hint(error, "name a %s that exists there, or give a number", kind);
        return error_status(error, EXIT_STATUS_CONFIG);
}

static int user_find(const char *text, struct identity *out, bool *out_has_entry, struct error *error) {
        CLEANUP_FILE FILE *file = fopen("/etc/passwd", "re");
        bool is_number = text_to_id(text, &out->user);
        const struct passwd *entry;

        *out_has_entry = false;
        while (file && (entry = fgetpwent(file)))
                if (is_number ? entry->pw_uid == out->user : strcmp(entry->pw_name, text) == 0) {
                        out->user = entry->pw_uid;
                        out->group = entry->pw_gid;
                        snprintf(out->name, sizeof out->name, "%s", entry->pw_name);
                        *out_has_entry = true;
                        return 0;
                }
        return is_number ? 0 : refuse_unknown(error, "user", text, "/etc/passwd");
}

int identity_find_user(const char *user, uid_t *out, struct error *error) {
        struct identity identity = {0};
        bool has_entry;

        if (user_find(user, &identity, &has_entry, error) < 0)
                return -1;
        *out = identity.user;
        return 0;
}

int identity_find_group(const char *text, gid_t *out, struct error *error) {
        CLEANUP_FILE FILE *file = NULL;
        const struct group *entry;

        if (text_to_id(text, out))
                return 0;
        file = fopen("/etc/group", "re");
        while (file && (entry = fgetgrent(file)))
                if (strcmp(entry->gr_name, text) == 0) {
                        *out = entry->gr_gid;
                        return 0;
                }
        return refuse_unknown(error, "group", text, "/etc/group");
}

static int groups_add(struct identity *out, gid_t group, struct error *error) {
        for (size_t i = 0; i < out->group_count; i++)
                if (out->groups[i] == group)
                        return 0;
        if (out->group_count == IDENTITY_GROUPS_MAX) {
                error_set(error, 0, "more than %d supplementary groups", IDENTITY_GROUPS_MAX);
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        out->groups[out->group_count++] = group;
        return 0;
}

/* As initgroups(3): the main group and every group whose member list has the user. */
static int groups_of_user(struct identity *out, struct error *error) {
        CLEANUP_FILE FILE *file = NULL;
        const struct group *entry;

        if (groups_add(out, out->group, error) < 0)
                return -1;
        file = fopen("/etc/group", "re");
        while (file && out->name[0] && (entry = fgetgrent(file)))
                for (char **member = entry->gr_mem; *member; member++)
                        if (strcmp(*member, out->name) == 0 && groups_add(out, entry->gr_gid, error) < 0)
                                return -1;
        return 0;
}

int identity_resolve(const char *user, const char *group, char *const *supplementary_groups,
        struct identity *out, struct error *error) {
        bool has_entry = true;
        gid_t number;

        *out = (struct identity){.user = getuid(), .group = getgid()};
        if (!user && !group && !supplementary_groups)
                return 0;
        out->is_set = true;
        if (user && user_find(user, out, &has_entry, error) < 0)
                return -1;
        if (group && identity_find_group(group, &out->group, error) < 0)
                return -1;
        if (!has_entry && !group) {
                error_set(error, 0, "user %s has no entry in /etc/passwd, so its group is not known", user);
                error_hint(error, "add `group =` (or --group)");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        if (!supplementary_groups)
                return groups_of_user(out, error);
        for (; *supplementary_groups; supplementary_groups++)
                if (identity_find_group(*supplementary_groups, &number, error) < 0 ||
                        groups_add(out, number, error) < 0)
                        return -1;
        return 0;
}
