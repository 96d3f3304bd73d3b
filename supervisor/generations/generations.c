/* Loads and generations: see generations.h. Runs in the supervisor, which parses nothing of what is loaded:
 * the loader's answer is one message of a known form (secrets/message.h). */

#include "supervisor/generations/generations.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "supervisor/generations/watch.h"

void generations_open(struct generations *generations, struct loop *loop, struct facts *facts,
        struct children *children, struct load_request *request) {
        generations->loop = loop;
        generations->facts = facts;
        generations->children = children;
        generations->request = request;
        generations->channel.fd = -1;
        generations->load.channel = -1;
}

size_t generations_descriptors(const struct generations *generations, int out[static FLEET_GENERATIONS_MAX]) {
        size_t count = 0;

        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (generations->list[i].is_used && generations->list[i].bundle.fd >= 0)
                        out[count++] = generations->list[i].bundle.fd;
        return count;
}

const struct bundle *generations_bundle(const struct generations *generations, uint64_t number) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (generations->list[i].is_used && generations->list[i].number == number)
                        return &generations->list[i].bundle;
        return NULL;
}

int64_t generations_asked_ns(const struct generations *generations, uint64_t number) {
        const struct generation *found = NULL;

        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++)
                if (generations->list[i].is_used && generations->list[i].number == number)
                        found = &generations->list[i];
        /* An older generation was loaded long ago: the way back to it begins now. */
        return found && number == generations->last ? found->asked_ns : time_now_ns();
}

void generations_drop(struct generations *generations, uint64_t number) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct generation *generation = &generations->list[i];

                if (!generation->is_used || generation->number != number)
                        continue;
                bundle_deinit(&generation->bundle);
                generation->is_used = false;
                log_write(LOG_DEBUG, "generation %llu dropped", (unsigned long long)number);
        }
}

static void channel_close(struct generations *generations) {
        loop_remove(generations->loop, &generations->channel);
        generations->channel.fd = -1;
}

static void load_failed_push(struct generations *generations, const struct error *error) {
        snprintf(generations->load_error, sizeof generations->load_error, "%.*s", GENERATIONS_ERROR_BYTES - 1,
                error->text);
        facts_push(generations->facts, time_now_ns(),
                (struct fleet_event){
                        .kind = FLEET_LOAD_FAILED,
                        .load = generations->load_number,
                        .status = error->status ? error->status : EXIT_STATUS_SUPERVISOR,
                });
}

static void load_fail(struct generations *generations, const struct error *error) {
        log_error(LOG_ERROR, error);
        load_failed_push(generations, error);
}

static struct generation *generation_keep(struct generations *generations, struct bundle *take_bundle) {
        for (size_t i = 0; i < FLEET_GENERATIONS_MAX; i++) {
                struct generation *generation = &generations->list[i];

                if (generation->is_used)
                        continue;
                generation->is_used = true;
                generation->number = ++generations->last;
                generation->asked_ns = generations->load_began_ns;
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
        if (result->note[0])
                log_write(LOG_INFO, "%s", result->note);
        if (result->warning[0])
                log_write(LOG_WARNING, "%s", result->warning);
}

/* Reaped: the number is no longer the loader's. */
static void loader_on_ended(struct child *child, int wait_status) {
        struct generations *generations = child->owner;

        generations->load.wait_status = wait_status;
        generations->load.pid = 0;
}

/* Start the loader. Returns 0, or -1 with error. */
static int loader_start(struct generations *generations, struct error *error) {
        generations->load_began_ns = time_now_ns();
        generations->load_error[0] = '\0';
        if (load_start(generations->request, &generations->load, error) < 0)
                return -1;
        children_remove(generations->children, &generations->loader); /* the last one may not be reaped yet */
        generations->loader = (struct child){.on_ended = loader_on_ended, .owner = generations};
        children_add(generations->children, &generations->loader, generations->load.pid);
        return 0;
}

void generations_load_early(struct generations *generations) {
        const struct load_request *request = generations->request;
        struct error error;

        for (size_t i = 0; request && i < request->source_count; i++)
                if (request->sources[i].is_watched)
                        return;
        generations->is_early = request && loader_start(generations, &error) == 0;
}

static void load_on_readable(struct loop_source *source);

/* Of the loader that was started early, or of one that is started now. Returns 0, or -1 with error. */
static int loader_watch(struct generations *generations, struct error *error) {
        if (!generations->is_early && loader_start(generations, error) < 0)
                return -1;
        generations->is_early = false;
        generations->channel = (struct loop_source){
                .fd = generations->load.channel, .on_readable = load_on_readable, .owner = generations};
        if (loop_add(generations->loop, &generations->channel, error) == 0)
                return 0;
        generations_cancel(generations);
        return -1;
}

static void load_begin(struct generations *generations) {
        struct error error = {0};

        if (loader_watch(generations, &error) < 0)
                load_fail(generations, &error);
}

static void load_on_readable(struct loop_source *source) {
        struct generations *generations = source->owner;
        struct load_result result = {0};
        struct generation *generation;
        struct fleet_event event = {.kind = FLEET_LOADED, .load = generations->load_number};
        struct error error = {0};
        int answer;

        channel_close(generations);
        answer = load_finish(&generations->load, &result, &error);
        if (answer > 0) {
                log_error(LOG_WARNING, &error);
                load_begin(generations);
                return;
        }
        if (answer < 0) {
                load_fail(generations, &error);
                return;
        }
        /* Not before the first load has succeeded: one that is tried again finds them nowhere else. */
        if (!generations->has_loaded) {
                load_environment_wipe(generations->request);
                generations->has_loaded = true;
        }
        if (result.captured_environment >= 0) {
                fd_close(generations->request->captured_environment);
                generations->request->captured_environment = fd_take(&result.captured_environment);
        }
        generation = generation_keep(generations, &result.bundle);
        if (generation) {
                result_log(generation, &result);
                event.generation = generation->number;
                memcpy(event.digest, generation->bundle.digest, sizeof event.digest);
                facts_push(generations->facts, time_now_ns(), event);
        } else {
                error_set(&error, 0, "more than %d generations at once", FLEET_GENERATIONS_MAX);
                load_fail(generations, &error);
        }
        load_result_deinit(&result);
}

void generations_load(struct generations *generations, uint32_t load) {
        watch_load_begins();
        generations->load_number = load;
        load_begin(generations);
}

void generations_cancel(struct generations *generations) {
        if (generations->channel.fd < 0 && !generations->is_early)
                return;
        generations->is_early = false;
        channel_close(generations);
        /* Its channel was open until now, so it has not been reaped as a finished one: but it may be a zombie
         * already. */
        load_abandon(&generations->load);
        children_remove(generations->children, &generations->loader);
        generations->load.pid = 0;
}
