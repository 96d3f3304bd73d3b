/* Loads and generations: the loader's parent side. A generation is a descriptor that is never mapped here. */

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/state.h"
#include "supervisor/generations/watch.h"

const struct bundle *rotation_bundle(const struct supervisor *supervisor, uint64_t number) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (supervisor->generations[i].is_used && supervisor->generations[i].number == number)
                        return &supervisor->generations[i].bundle;
        return NULL;
}

int64_t rotation_asked(const struct supervisor *supervisor, uint64_t number) {
        const struct generation *found = NULL;

        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (supervisor->generations[i].is_used && supervisor->generations[i].number == number)
                        found = &supervisor->generations[i];
        /* A generation that is gone back to was asked for long ago. */
        return found && number == supervisor->generation_last ? found->asked_ns : time_now_ns();
}

void rotation_drop(struct supervisor *supervisor, uint64_t number) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct generation *generation = &supervisor->generations[i];

                if (!generation->is_used || generation->number != number)
                        continue;
                bundle_deinit(&generation->bundle);
                generation->is_used = false;
                log_write(LOG_DEBUG, "generation %llu dropped", (unsigned long long)number);
        }
}

static void channel_close(struct supervisor *supervisor) {
        loop_remove(&supervisor->loop, &supervisor->load_channel);
        supervisor->load_channel.fd = -1;
}

static void push_load_failed(struct supervisor *supervisor, const struct error *error) {
        manager_load_failed(supervisor, error);
        supervisor_push(supervisor, (struct fleet_event){
                                            .kind = FLEET_LOAD_FAILED,
                                            .load = supervisor->load_number,
                                            .status = error->status ? error->status : EXIT_STATUS_SUPERVISOR,
                                    });
}

static struct generation *generation_keep(struct supervisor *supervisor, struct bundle *take_bundle) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct generation *generation = &supervisor->generations[i];

                if (generation->is_used)
                        continue;
                generation->is_used = true;
                generation->number = ++supervisor->generation_last;
                generation->asked_ns = supervisor->load_began_ns;
                bundle_move(&generation->bundle, take_bundle);
                return generation;
        }
        return NULL;
}

static void result_log(const struct generation *generation, const struct load_result *result) {
        const uint8_t *digest = generation->bundle.digest;

        log_write(LOG_INFO,
                "generation %llu loaded: %u secret%s, %llu bytes, fingerprint %02x%02x%02x%02x, %s",
                (unsigned long long)generation->number, generation->bundle.count,
                generation->bundle.count == 1 ? "" : "s", (unsigned long long)generation->bundle.bytes,
                digest[0], digest[1], digest[2], digest[3],
                generation->bundle.is_encrypted ? "held encrypted (no memfd_secret here)"
                                                : "held in memfd_secret");
        if (result->is_unlocked)
                log_write(LOG_INFO, "some of the loader's memory could not be locked: raise RLIMIT_MEMLOCK");
        if (result->warning[0])
                log_write(LOG_WARNING, "%s", result->warning);
}

static void load_on_readable(struct loop_source *source) {
        struct supervisor *supervisor = source->owner;
        struct load_result result = {0};
        struct generation *generation;
        struct fleet_event event = {.kind = FLEET_LOADED, .load = supervisor->load_number};
        struct error error = {0};

        channel_close(supervisor);
        if (load_finish(&supervisor->load, &result, &error) < 0) {
                log_error(LOG_ERROR, &error);
                push_load_failed(supervisor, &error);
                return;
        }
        /* Not before the first load has succeeded: one that is tried again finds them nowhere else. */
        if (!supervisor->has_loaded) {
                load_environment_wipe(supervisor->settings->load);
                supervisor->has_loaded = true;
        }
        if (result.captured_environment >= 0) {
                fd_close(supervisor->settings->load->captured_environment);
                supervisor->settings->load->captured_environment = fd_take(&result.captured_environment);
        }
        generation = generation_keep(supervisor, &result.bundle);
        if (generation) {
                result_log(generation, &result);
                event.generation = generation->number;
                memcpy(event.digest, generation->bundle.digest, sizeof event.digest);
                supervisor_push(supervisor, event);
        } else {
                error_set(&error, 0, "more than %d generations at once", FLEET_GENERATIONS_MAX);
                log_error(LOG_ERROR, &error);
                push_load_failed(supervisor, &error);
        }
        load_result_deinit(&result);
}

#define PAGE_BYTES       4096 /* the least that a page has */
#define STACK_BYTES_WARM ((size_t)12 * 1024)

/* Write to each page, so that it is our own again. */
static void pages_touch(void *from, size_t bytes) {
        volatile char *at = from;

        for (size_t i = 0; i < bytes; i += PAGE_BYTES)
                at[i] = at[i];         // cppcheck-suppress selfAssignment ; the write is what is wanted
        at[bytes - 1] = at[bytes - 1]; // cppcheck-suppress selfAssignment ; the write is what is wanted
}

static void __attribute__((noinline)) stack_touch(void) {
        char room[STACK_BYTES_WARM] = {0};

        pages_touch(room, sizeof room);
}

/* Since the fork both sides share their pages, and who writes to one first waits until it is copied. This
 * side has nothing to do while the loader works; when it has answered, all that is in the way of the new
 * instance counts. */
static void pages_warm(struct supervisor *supervisor) {
        pages_touch(supervisor, offsetof(struct supervisor, actions) + PAGE_BYTES);
        pages_touch(supervisor->events, PAGE_BYTES);
        pages_touch(supervisor->apps, PAGE_BYTES);
        stack_touch();
}

void rotation_load(struct supervisor *supervisor, uint32_t load) {
        struct load_request *request = supervisor->settings->load;
        struct error error = {0};

        watch_load_begins();
        supervisor->load_number = load;
        supervisor->load_began_ns = time_now_ns();
        if (load_start(request, &supervisor->load, &error) < 0) {
                log_error(LOG_ERROR, &error);
                push_load_failed(supervisor, &error);
                return;
        }
        supervisor->has_no_children = false;
        supervisor->load_channel = (struct loop_source){
                .fd = supervisor->load.channel, .on_readable = load_on_readable, .owner = supervisor};
        if (loop_add(&supervisor->loop, &supervisor->load_channel, &error) < 0) {
                log_error(LOG_ERROR, &error);
                rotation_cancel(supervisor);
                push_load_failed(supervisor, &error);
                return;
        }
        pages_warm(supervisor);
}

/* A load that is asked for while one runs follows it: either way it is the next one. */
void rotation_ask(struct supervisor *supervisor, bool is_forced, bool is_emergency, bool is_quiet) {
        if (!is_quiet)
                supervisor->loud_load = supervisor->fleet.load_last + 1;
        supervisor_push(supervisor, (struct fleet_event){
                                            .kind = FLEET_RELOAD,
                                            .is_forced = is_forced,
                                            .is_emergency = is_emergency,
                                    });
}

bool rotation_was_quiet(const struct supervisor *supervisor) {
        return supervisor->load_number > supervisor->loud_load;
}

void rotation_cancel(struct supervisor *supervisor) {
        if (supervisor->load_channel.fd < 0)
                return;
        channel_close(supervisor);
        fd_cleanup(&supervisor->load.channel);
        /* Its channel was open until now, so it has not been reaped as a finished one: but it may be a zombie
         * already. */
        if (supervisor->load.pid > 0)
                (void)kill(supervisor->load.pid, SIGKILL);
        supervisor->load.pid = 0;
}
