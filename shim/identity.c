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

/* As systemd sets them (systemd.exec(5), environment variables in spawned processes), where there is an
 * entry. Without one a container engine's HOME, and nobody's name. */
static void variables_fill(struct identity *out, const char *home, const char *shell) {
        const char *const values[IDENTITY_VARIABLES] = {home, out->name, out->name, shell};
        static const char *const names[IDENTITY_VARIABLES] = {"HOME", "USER", "LOGNAME", "SHELL"};

        for (size_t i = 0; i < IDENTITY_VARIABLES; i++) {
                snprintf(out->texts[i], sizeof out->texts[i], "%s%s%s", names[i], *values[i] ? "=" : "",
                        values[i]);
                out->variables[i] = out->texts[i];
        }
        out->variables[IDENTITY_VARIABLES] = NULL;
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
                        variables_fill(out, *entry->pw_dir ? entry->pw_dir : "/",
                                *entry->pw_shell ? entry->pw_shell : "/bin/sh");
                        *out_has_entry = true;
                        return 0;
                }
        variables_fill(out, "/", "");
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

/* USER:GROUP, as chown(1) and container engines have it; with nothing behind the colon it is the user's own
 * group. Sets *user to the part before it, which is in `room`. */
static int user_split(const char **user, const char **group, char room[static 64], struct error *error) {
        const char *colon = *user ? strchr(*user, ':') : NULL;

        if (!colon)
                return 0;
        if (colon == *user || colon - *user >= 64 || (*group && colon[1])) {
                error_set(error, 0, "user '%s': %s", *user,
                        *group ? "there is a group as well" : "no name before the colon");
                error_hint(error, "write USER:GROUP, or user and group apart");
                return error_status(error, EXIT_STATUS_CONFIG);
        }
        snprintf(room, 64, "%.*s", (int)(colon - *user), *user);
        if (colon[1])
                *group = colon + 1;
        *user = room;
        return 0;
}

int identity_resolve(const char *user, const char *group, char *const *supplementary_groups,
        struct identity *out, struct error *error) {
        bool has_entry = true;
        char room[64];
        gid_t number;

        if (user_split(&user, &group, room, error) < 0)
                return -1;
        /* One by one: most starts have no user to become, and the rest of it is two pages. */
        out->is_set = false;
        out->user = getuid();
        out->group = getgid();
        out->group_count = 0;
        out->name[0] = '\0';
        out->variables[0] = NULL;
        if (!user && !group && !supplementary_groups)
                return 0;
        out->is_set = true;
        if (user && user_find(user, out, &has_entry, error) < 0)
                return -1;
        if (group && identity_find_group(group, &out->group, error) < 0)
                return -1;
        if (!has_entry && !group) {
                error_set(error, 0, "user %s has no entry in /etc/passwd, so its group is not known", user);
                error_hint(error, "add `group =` (or --group), or write %s:GROUP", user);
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
