/* The walk of watch_plan.h, for watch.c in the supervisor. Pure: the file system is behind the caller's
 * functions.
 *
 * A component that is a directory, as most are, is watched by itself (moved, deleted): so changes beside it
 * make no event. One that is a link, a file or missing can only be watched in the directory that it is in. So
 * for DIR/KEY -> ..data/KEY, ..data -> ..2026: the entries KEY and ..data of DIR, the directory itself, and
 * KEY in ..2026. */

#include "supervisor/generations/watch_plan.h"

#include <stdbool.h>
#include <string.h>

#define LINKS_MAX 40 /* the kernel's own limit */

struct walker {
        const struct watch_walk *walk;
        bool is_blind;       /* something could not be watched */
        bool is_unsteady;    /* a directory went away during the walk */
        char base[PATH_MAX]; /* walked so far: "/", "." or a path without links */
        char here[PATH_MAX]; /* base and the component */
        char rest[PATH_MAX]; /* still to be walked */
        char target[PATH_MAX];
        char component[NAME_MAX + 1];
};

/* "A/B", in `out`, which may be one of them. False when it does not fit. */
static bool path_join(char out[static PATH_MAX], const char *a, const char *b) {
        size_t left = strlen(a), right = strlen(b);
        bool needs_slash = left > 0 && a[left - 1] != '/';

        if (left + needs_slash + right >= PATH_MAX)
                return false;
        memmove(out, a, left);
        if (needs_slash)
                out[left] = '/';
        memcpy(out + left + needs_slash, b, right + 1);
        return true;
}

/* Take the next component off `rest`. Returns 1, 0 when there is none, -1 when it is too long for any file
 * system. */
static int component_take(struct walker *walker) {
        const char *at = walker->rest;
        size_t length;

        at += strspn(at, "/");
        while (at[0] == '.' && (at[1] == '/' || !at[1]))
                for (at++; *at == '/';)
                        at++;
        length = strcspn(at, "/");
        if (length > NAME_MAX)
                return -1;
        memcpy(walker->component, at, length);
        walker->component[length] = '\0';
        memmove(walker->rest, at + length, strlen(at + length) + 1);
        return length > 0;
}

/* True when only slashes and single dots are left to walk. */
static bool rest_is_empty(const struct walker *walker) {
        const char *at = walker->rest + strspn(walker->rest, "/");

        while (at[0] == '.' && (at[1] == '/' || !at[1]))
                for (at++; *at == '/';)
                        at++;
        return !*at;
}

static void walker_note(struct walker *walker, int seen) {
        if (seen < 0)
                walker->is_blind = true;
        else if (seen == WATCH_UNSTEADY)
                walker->is_unsteady = true;
}

static int directory_watch(
        struct walker *walker, const char *directory, enum watch_what what, const char *name) {
        return walker->walk->see(walker->walk->context, directory, what, name);
}

/* Watch the component at `here`, then look what it is. */
static enum watch_found component_watch(struct walker *walker) {
        const struct watch_walk *walk = walker->walk;
        enum watch_found found = walk->look(walk->context, walker->here, walker->target);

        /* A directory that may be searched but not read cannot be watched by itself; changes of its rights
         * are events of the directory above. */
        if (found == WATCH_DIRECTORY && directory_watch(walker, walker->here, WATCH_SELF, NULL) == 0)
                return found;
        walker_note(walker, directory_watch(walker, walker->base, WATCH_ENTRY, walker->component));
        found = walk->look(walk->context, walker->here, walker->target);
        if (found == WATCH_DIRECTORY)
                (void)directory_watch(walker, walker->here, WATCH_SELF, NULL);
        return found;
}

/* Put the link's target before what is left to walk. */
static bool link_follow(struct walker *walker) {
        if (!path_join(walker->target, walker->target, walker->rest))
                return false;
        memcpy(walker->rest, walker->target, sizeof walker->rest);
        if (walker->rest[0] == '/')
                memcpy(walker->base, "/", 2);
        return true;
}

/* Walk all of `rest` from `base`. Returns true when something is there: at `here`, and *out_found says
 * what. */
static bool path_walk(struct walker *walker, enum watch_found *out_found) {
        int links = 0, taken;

        *out_found = WATCH_DIRECTORY;
        memcpy(walker->here, walker->base, sizeof walker->here);
        while ((taken = component_take(walker)) > 0) {
                if (!path_join(walker->here, walker->base, walker->component))
                        break;
                *out_found = component_watch(walker);
                if (*out_found == WATCH_MISSING || (*out_found == WATCH_FILE && !rest_is_empty(walker)))
                        return false;
                if (*out_found != WATCH_LINK)
                        memcpy(walker->base, walker->here, sizeof walker->base);
                else if (++links > LINKS_MAX || !link_follow(walker))
                        break;
        }
        if (taken)
                walker->is_blind = true;
        return !taken;
}

static void walker_start(struct walker *walker, const struct watch_walk *walk, const char *base) {
        walker->walk = walk;
        memmove(walker->base, base, strlen(base) + 1);
}

/* Watch all entries of the directory at `base`, and those behind its ..data, which may be written in
 * place. */
static void entries_watch(struct walker *walker) {
        enum watch_found found;

        walker_note(walker, directory_watch(walker, walker->base, WATCH_ALL, NULL));
        if (!path_join(walker->here, walker->base, "..data") ||
                walker->walk->look(walker->walk->context, walker->here, walker->target) != WATCH_LINK)
                return;
        memcpy(walker->rest, "..data", sizeof "..data");
        if (path_walk(walker, &found) && found == WATCH_DIRECTORY)
                walker_note(walker, directory_watch(walker, walker->base, WATCH_ALL, NULL));
}

int watch_plan(const char *path, enum watch_kind kind, const struct watch_walk *walk) {
        static struct walker walker; /* large, and one walk at a time */
        enum watch_found found;

        walker.is_blind = walker.is_unsteady = false;
        if (strlen(path) >= sizeof walker.rest)
                return -1;
        memcpy(walker.rest, path, strlen(path) + 1);
        walker_start(&walker, walk, path[0] == '/' ? "/" : ".");
        if (path_walk(&walker, &found) && found == WATCH_DIRECTORY && kind == WATCH_KIND_DIRECTORY)
                entries_watch(&walker);
        return walker.is_blind ? -1 : walker.is_unsteady ? WATCH_UNSTEADY : WATCH_PLANNED;
}
