/* Watching the files of sources and keys with inotify(7): see watch.h; what is watched is decided
 * in watch_plan.c.
 *
 * Runs in the supervisor. It opens only the inotify descriptor and reads no file: all that it learns is that
 * a name has changed. After every change the paths are walked anew, then a load is asked for: in this order,
 * so that a change during the load is an event and another load follows. Events are compared only by
 * descriptor and the hash of a name; one that matches by accident costs a load that finds nothing new. */

#include "supervisor/generations/watch.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/generations/watch_plan.h"

#define RECORDS_MAX    1024 /* some ten for each path */
#define READS_PER_TURN 64   /* then the loop goes on with other descriptors */
#define DELAYS_MAX     10   /* while changes do not pause: load all the same after so many delays */
#define POLL_NS        (60 * NS_PER_S)
#define ENTRY_MASK     (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB)
#define SELF_MASK      (IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB)

/* One directory entry, or directory, that is watched; several may share a descriptor. */
struct watch_record {
        int wd;
        enum watch_what what;
        uint64_t name_hash; /* of WATCH_ENTRY */
        uint32_t round;     /* of the walk that saw it last */
};

/* One per process, as the supervisor; all zero until watch_open(). */
static struct watch {
        struct loop *loop;
        struct facts *facts;
        const struct load_request *request;
        int64_t delay_ns;
        struct loop_source events;
        struct loop_timer timer; /* the end of the quiet time, or the next poll */
        bool is_pending;         /* something changed, its load has not been asked for yet */
        bool is_polling;         /* something cannot be watched */
        int64_t first_change_ns;
        uint32_t round;
        size_t record_count;
        struct watch_record records[RECORDS_MAX];
        int blind_code;       /* errno of the first path that the walk could not watch; 0: none */
        bool is_look_blocked; /* of that walk: lstat(2) had no memory */
        char blind_path[PATH_MAX];
} watch;

static uint64_t name_hash(const char *name) {
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

        for (; *name; name++)
                hash = (hash ^ (uint8_t)*name) * UINT64_C(1099511628211);
        return hash;
}

/* ---- the walk ---- */

static int blind_note(const char *path, int code) {
        if (!watch.blind_code) {
                watch.blind_code = code;
                memcpy(watch.blind_path, path, strnlen(path, PATH_MAX - 1) + 1);
                watch.blind_path[PATH_MAX - 1] = '\0';
        }
        return -1;
}

static enum watch_found path_look(void *context, const char *path, char target[static PATH_MAX]) {
        struct stat status;
        ssize_t length;

        (void)context;
        if (lstat(path, &status) < 0) {
                if (errno == ENOMEM) /* says nothing about the path */
                        watch.is_look_blocked = blind_note(path, errno) < 0;
                return WATCH_MISSING;
        }
        if (S_ISDIR(status.st_mode))
                return WATCH_DIRECTORY;
        if (!S_ISLNK(status.st_mode))
                return WATCH_FILE;
        length = readlink(path, target, PATH_MAX - 1);
        if (length <= 0)
                return WATCH_MISSING;
        target[length] = '\0';
        return WATCH_LINK;
}

static int record_add(const char *directory, int wd, enum watch_what what, uint64_t hash) {
        for (size_t i = 0; i < watch.record_count; i++) {
                struct watch_record *record = &watch.records[i];

                if (record->wd == wd && record->what == what && record->name_hash == hash) {
                        record->round = watch.round;
                        return 0;
                }
        }
        if (watch.record_count == RECORDS_MAX)
                return blind_note(directory, ENOSPC);
        watch.records[watch.record_count++] =
                (struct watch_record){.wd = wd, .what = what, .name_hash = hash, .round = watch.round};
        return 0;
}

static int directory_watch(void *context, const char *directory, enum watch_what what, const char *name) {
        uint32_t mask = what == WATCH_SELF ? SELF_MASK : ENTRY_MASK;
        int wd;

        (void)context;
        /* IN_MASK_ADD: several paths may lead through the directory. IN_DONT_FOLLOW: a link is watched in the
         * directory that it is in. */
        wd = inotify_add_watch(watch.events.fd, directory,
                mask | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD | IN_EXCL_UNLINK);
        if (wd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return WATCH_UNSTEADY;
        /* A directory that may not be read is watched in the directory above, if there is one. */
        if (wd < 0 && what == WATCH_SELF && errno == EACCES)
                return -1;
        if (wd < 0)
                return blind_note(directory, errno);
        return record_add(directory, wd, what, name ? name_hash(name) : 0);
}

/* Did the last walk watch something in this directory? */
static bool descriptor_is_wanted(int wd) {
        for (size_t i = 0; i < watch.record_count; i++)
                if (watch.records[i].wd == wd && watch.records[i].round == watch.round)
                        return true;
        return false;
}

/* Forget what the last walk did not watch. */
static void records_sweep(void) {
        size_t kept = 0;

        for (size_t i = 0; i < watch.record_count; i++)
                if (!descriptor_is_wanted(watch.records[i].wd))
                        (void)inotify_rm_watch(watch.events.fd, watch.records[i].wd);
        for (size_t i = 0; i < watch.record_count; i++)
                if (watch.records[i].round == watch.round)
                        watch.records[kept++] = watch.records[i];
        watch.record_count = kept;
}

static int path_walk(const char *path, enum watch_kind kind) {
        const struct watch_walk walk = {.look = path_look, .see = directory_watch};

        return watch_plan(path, kind, &walk);
}

/* Returns as watch_plan() does, of all paths together. */
static int paths_walk(const struct load_request *request) {
        bool is_blind = false, is_unsteady = false, is_directory;
        const char *path;

        for (size_t i = 0; i < request->source_count; i++) {
                const struct load_source *source = &request->sources[i];
                int result;

                if (!source->is_watched || !load_source_path(source, &path, &is_directory))
                        continue;
                result = path_walk(path, is_directory ? WATCH_KIND_DIRECTORY : WATCH_KIND_FILE);
                is_blind |= result < 0;
                is_unsteady |= result == WATCH_UNSTEADY;
        }
        for (size_t i = 0; i < request->key_count; i++) {
                int result = load_key_path(&request->keys[i], &path) ? path_walk(path, WATCH_KIND_FILE) : 0;

                is_blind |= result < 0;
                is_unsteady |= result == WATCH_UNSTEADY;
        }
        return is_blind ? -1 : is_unsteady ? WATCH_UNSTEADY : WATCH_PLANNED;
}

/* ---- when to load ---- */

static void change_note(void) {
        int64_t delay_ns = watch.delay_ns, now_ns = time_now_ns(), last_ns;

        if (!watch.is_pending)
                watch.first_change_ns = now_ns;
        watch.is_pending = true;
        last_ns = time_add(watch.first_change_ns, delay_ns * DELAYS_MAX);
        now_ns = time_add(now_ns, delay_ns);
        loop_timer_set(watch.loop, &watch.timer, now_ns < last_ns ? now_ns : last_ns);
}

/* Of inotify's limits strerror(3) would speak of disks and open files. */
static const char *blind_reason(int code, const char **out_limit) {
        *out_limit = code == ENOSPC   ? "fs.inotify.max_user_watches"
                     : code == EMFILE ? "fs.inotify.max_user_instances"
                                      : NULL;
        return *out_limit ? "a limit of inotify(7) is reached" : strerror(code);
}

static void polling_report(bool is_polling) {
        const char *limit, *reason = blind_reason(watch.blind_code, &limit);
        char interval[32];

        if (is_polling && !watch.is_polling) {
                log_write(LOG_WARNING, "cannot watch '%s': %s; the secrets are loaded every %s instead",
                        watch.blind_path, reason, duration_format(POLL_NS, interval));
                if (limit)
                        log_write(LOG_WARNING, "hint: raise %s with sysctl(8)", limit);
        }
        if (!is_polling && watch.is_polling)
                log_write(LOG_NOTICE, "all files of the secrets can be watched again");
        watch.is_polling = is_polling;
}

static int events_open(void) {
        struct error error;

        if (watch.events.fd >= 0)
                return 0;
        watch.events.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (watch.events.fd < 0)
                return blind_note("inotify", errno);
        if (loop_add(watch.loop, &watch.events, &error) == 0)
                return 0;
        fd_cleanup(&watch.events.fd);
        return blind_note("inotify", error.code);
}

/* Watch what the paths lead to now. */
static void watches_renew(void) {
        int result;

        watch.blind_code = 0;
        watch.is_look_blocked = false;
        watch.round++;
        result = events_open();
        if (result == 0) {
                result = paths_walk(watch.request);
                records_sweep();
        }
        if (watch.is_look_blocked)
                result = -1;
        if (result < 0 && !watch.blind_code)
                (void)blind_note("a path of the secrets", ENAMETOOLONG);
        polling_report(result < 0);
        if (result == WATCH_UNSTEADY)
                change_note();
        else if (result < 0)
                loop_timer_set(watch.loop, &watch.timer, time_add(time_now_ns(), POLL_NS));
}

/* ---- events ---- */

/* Does the entry of a directory with one file for each secret matter? Names that the loader ignores do not,
 * but ..data does: Kubernetes replaces it to change all files of a volume at once. */
static bool entry_matters(const char *name) {
        return name[0] != '.' || strcmp(name, "..data") == 0;
}

static bool record_matches(const struct watch_record *record, const struct inotify_event *event) {
        if (record->wd != event->wd)
                return false;
        if (event->mask & (IN_IGNORED | IN_UNMOUNT))
                return true;
        switch (record->what) {
        case WATCH_SELF:
                return event->len == 0 && (event->mask & SELF_MASK);
        case WATCH_ENTRY:
                return event->len > 0 && (event->mask & ENTRY_MASK) &&
                       record->name_hash == name_hash(event->name);
        case WATCH_ALL:
                return event->len > 0 && (event->mask & ENTRY_MASK) && entry_matters(event->name);
        }
        return false;
}

static bool event_matters(const struct inotify_event *event) {
        if (event->mask & IN_Q_OVERFLOW)
                return true; /* events were lost, perhaps one that matters */
        for (size_t i = 0; i < watch.record_count; i++)
                if (record_matches(&watch.records[i], event))
                        return true;
        return false;
}

/* Read the events that have come. Returns true when one of them matters. */
static bool events_drain(void) {
        union {
                struct inotify_event event;
                char bytes[4096];
        } buffer;
        bool matters = false;
        ssize_t got = 1;

        for (int turn = 0; turn < READS_PER_TURN && got > 0; turn++) {
                got = read(watch.events.fd, &buffer, sizeof buffer);
                for (ssize_t at = 0; at < got;) {
                        const struct inotify_event *event = (const void *)(buffer.bytes + at);

                        matters |= event_matters(event);
                        at += (ssize_t)(sizeof *event + event->len);
                }
        }
        return matters;
}

static void events_on_readable(struct loop_source *source) {
        (void)source;
        if (events_drain())
                change_note();
}

static void timer_on_due(struct loop_timer *timer) {
        (void)timer;
        log_write(LOG_INFO, watch.is_pending ? "files of the secrets have changed: loading them"
                                             : "loading the secrets that cannot be watched");
        /* Events that have come until now are answered by this load. */
        if (watch.events.fd >= 0)
                (void)events_drain();
        watch.is_pending = false;
        watches_renew();
        facts_push(watch.facts, time_now_ns(), (struct fleet_event){.kind = FLEET_RELOAD, .is_quiet = true});
}

void watch_load_begins(void) {
        if (!watch.is_polling || watch.is_pending)
                return;
        loop_timer_clear(watch.loop, &watch.timer);
        watches_renew();
}

void watch_open(
        struct loop *loop, struct facts *facts, const struct load_request *request, int64_t delay_ns) {
        bool is_wanted = false;

        for (size_t i = 0; request && i < request->source_count; i++)
                is_wanted |= request->sources[i].is_watched;
        if (!is_wanted)
                return;
        watch.loop = loop;
        watch.facts = facts;
        watch.request = request;
        watch.delay_ns = delay_ns;
        watch.events = (struct loop_source){.fd = -1, .on_readable = events_on_readable, .owner = &watch};
        watch.timer = (struct loop_timer){.on_due = timer_on_due, .owner = &watch};
        watches_renew();
}
