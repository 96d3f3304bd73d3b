/* The control group's memory limit: see memory_limit.h. Called in the loader before it confines itself, and
 * in the verbs that take passphrases. Reads only; every failure means "no limit known", never an error.
 *
 * Both versions may be mounted at once (hybrid hierarchies), anywhere, and a container may see only its own
 * group as the mount's root; so the mount points come from mountinfo and the group's path is taken relative
 * to the mount (cgroups(7), "/proc/PID/cgroup"; proc(5), mountinfo). A group without an own limit still has
 * its parents'. */

#include "lib/memory_limit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/fd.h"

#define PATH_BYTES 2048
#define UNLIMITED  (UINT64_C(1) << 62) /* version 1 says "none" as a number near 2^63 */

struct hierarchy {
        bool is_version_2;
        char group[PATH_BYTES]; /* of this process: /a/b; empty: not seen */
};

static void file_cleanup(FILE **file) {
        if (*file)
                fclose(*file);
}

static void text_cleanup(char **text) {
        free(*text);
}

#define CLEANUP_FILE __attribute__((cleanup(file_cleanup)))
#define CLEANUP_TEXT __attribute__((cleanup(text_cleanup)))

/* Does a comma-separated list contain `word`? */
static bool list_has(const char *list, const char *word) {
        size_t length = strlen(word);

        for (const char *at = list; at; at = strchr(at, ',')) {
                at += *at == ',';
                if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
                        return true;
        }
        return false;
}

/* Lines are `NUMBER:CONTROLLERS:PATH`; version 2 has number 0 and no controllers. */
static bool group_find(const char *root, struct hierarchy *hierarchy) {
        char path[PATH_BYTES];
        CLEANUP_FILE FILE *file = NULL;
        CLEANUP_TEXT char *line = NULL;
        size_t room = 0;

        snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
        file = fopen(path, "re");
        while (file && getline(&line, &room, file) > 0) {
                char *controllers = strchr(line, ':'),
                     *group = controllers ? strchr(controllers + 1, ':') : NULL;

                if (!group)
                        continue;
                *controllers++ = *group++ = '\0';
                group[strcspn(group, "\n")] = '\0';
                if (hierarchy->is_version_2 ? strcmp(line, "0") != 0 || *controllers != '\0'
                                            : !list_has(controllers, "memory"))
                        continue;
                if (group[0] != '/' || strlen(group) >= sizeof hierarchy->group)
                        return false;
                memcpy(hierarchy->group, group, strlen(group) + 1);
                return true;
        }
        return false;
}

/* mountinfo writes blanks and backslashes as \ooo. */
static void text_unescape(char *text) {
        char *to = text;

        for (const char *at = text; *at; to++) {
                bool is_escape = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' &&
                                 at[2] <= '7' && at[3] >= '0' && at[3] <= '7';

                *to = is_escape ? (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0')) : *at;
                at += is_escape ? 4 : 1;
        }
        *to = '\0';
}

/* ID PARENT DEVICE ROOT POINT OPTIONS... - TYPE SOURCE SUPER-OPTIONS. True for a mount of this hierarchy. */
static bool mount_split(char *line, bool is_version_2, char **out_root, char **out_point) {
        char *words[64], *rest = NULL;
        size_t count = 0, dash = 6;

        for (char *word = strtok_r(line, " \n", &rest); word && count < 64;
                word = strtok_r(NULL, " \n", &rest))
                words[count++] = word;
        while (dash < count && strcmp(words[dash], "-") != 0)
                dash++;
        if (dash + 3 >= count)
                return false;
        if (is_version_2 ? strcmp(words[dash + 1], "cgroup2") != 0
                         : strcmp(words[dash + 1], "cgroup") != 0 || !list_has(words[dash + 3], "memory"))
                return false;
        *out_root = words[3];
        *out_point = words[4];
        text_unescape(*out_root);
        text_unescape(*out_point);
        return true;
}

/* The group's path below a mount that shows the hierarchy from `mount_root` on. */
static const char *group_below(const char *group, const char *mount_root) {
        size_t length = strlen(mount_root);

        if (strcmp(mount_root, "/") == 0)
                return group;
        if (strncmp(group, mount_root, length) == 0 && (group[length] == '/' || group[length] == '\0'))
                return group + length;
        return ""; /* seen from inside a namespace: the mount's own root is the nearest that can be asked */
}

static uint64_t limit_read(const char *folder, const char *name) {
        char path[PATH_BYTES + 64], text[32];
        CLEANUP_FD int fd = -1;
        ssize_t length;
        uint64_t limit;

        snprintf(path, sizeof path, "%s/%s", folder, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        length = fd < 0 ? -1 : fd_read_full(fd, text, sizeof text);
        if (length > 0 && text[length - 1] == '\n')
                length--;
        if (length <= 0 || !bytes_to_u64(text, (size_t)length, &limit) || limit > UNLIMITED)
                return UNLIMITED; /* "max" is no number */
        return limit;
}

/* The smallest from the group up to the mount point. */
static uint64_t limit_upwards(const char *root, const char *point, const char *below, const char *name) {
        char folder[PATH_BYTES];
        int length = snprintf(folder, sizeof folder, "%s%s", root, point), whole;
        uint64_t smallest = UNLIMITED;

        if (length < 0 || (size_t)length >= sizeof folder)
                return UNLIMITED;
        whole = snprintf(folder + length, sizeof folder - (size_t)length, "%s", below);
        if (whole < 0 || (size_t)whole >= sizeof folder - (size_t)length || strstr(below, "/../"))
                folder[length] = '\0';
        for (;;) {
                uint64_t limit = limit_read(folder, name);
                char *slash = strrchr(folder + length, '/');

                smallest = limit < smallest ? limit : smallest;
                if (!slash)
                        return smallest;
                *slash = '\0';
        }
}

static uint64_t hierarchy_limit(const char *root, bool is_version_2) {
        struct hierarchy hierarchy = {.is_version_2 = is_version_2};
        char path[PATH_BYTES], *mount_root, *point;
        CLEANUP_FILE FILE *file = NULL;
        CLEANUP_TEXT char *line = NULL;
        size_t room = 0;

        if (!group_find(root, &hierarchy))
                return UNLIMITED;
        snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
        file = fopen(path, "re");
        while (file && getline(&line, &room, file) > 0)
                if (mount_split(line, is_version_2, &mount_root, &point))
                        return limit_upwards(root, point, group_below(hierarchy.group, mount_root),
                                is_version_2 ? "memory.max" : "memory.limit_in_bytes");
        return UNLIMITED;
}

uint64_t memory_limit_bytes(const char *root) {
        uint64_t a = hierarchy_limit(root, true), b = hierarchy_limit(root, false);
        uint64_t smallest = a < b ? a : b;

        return smallest < UNLIMITED ? smallest : 0;
}
