/* The loader: a forked child that lives for one load and is the only process that parses foreign bytes.
 *
 * In this order: find out which protections a filter of somebody else's would answer by killing it (trial.c),
 * give up the parent's descriptors, read every key and source into the locked arena (looking
 * at nothing), confine itself (confine.c), and only then decrypt, parse, merge, check, seal, report and exit.
 * Whatever a crafted file does to the code after the confinement, it can reach nothing: no file, socket,
 * program or process.
 *
 * It ends itself: a timer sends SIGKILL, which cannot be blocked, when the deadline is over, and the kernel
 * does the same when the parent dies. All signals stay blocked as the parent had them. Nothing is wiped at
 * the end: exit(2) gives the pages back and the kernel clears them before anyone gets them. */

#include "secrets/loader.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "lib/memory_limit.h"
#include "secrets/age/age.h"
#include "secrets/confine.h"
#include "secrets/source/gather.h"
#include "secrets/source/yield.h"
#include "secrets/merge.h"
#include "secrets/message.h"
#include "secrets/seal.h"
#include "secrets/trial.h"

/* Address space only; pages are taken as they are needed. Halved until the limits of this process allow
 * it. */
#define ARENA_BYTES_MOST  ((size_t)256 * 1024 * 1024)
#define ARENA_BYTES_LEAST ((size_t)8 * 1024 * 1024)

struct loader {
        const struct load_request *request;
        unsigned missing; /* calls that a filter forbids: trial.h */
        struct arena arena;
        struct gathered gathered;
        struct age_limits limits;
        struct age_keys keys;
        struct secret_list list;
        struct load_message message;
        int fds[MESSAGE_DESCRIPTORS];
};

/* ---- before the confinement ---- */

/* Never outlive the parent or the deadline. */
static void life_bound(pid_t parent, int64_t duration_ns) {
        struct sigevent kill = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
        struct itimerspec after = {0};
        timer_t timer;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent)
                _exit(1);
        if (duration_ns == NS_FOREVER || timer_create(CLOCK_MONOTONIC, &kill, &timer) < 0)
                return;
        after.it_value.tv_sec = (time_t)(duration_ns / NS_PER_S);
        after.it_value.tv_nsec = (long)(duration_ns % NS_PER_S);
        (void)timer_settime(timer, 0, &after, NULL);
}

/* Close every descriptor but `channel`. (musl has no close_range.) */
static void descriptors_drop(int channel) {
        if (channel > 0)
                (void)syscall(SYS_close_range, 0U, (unsigned)channel - 1, 0U);
        (void)syscall(SYS_close_range, (unsigned)channel + 1, UINT_MAX, 0U);
}

static int capture_open(struct loader *loader, struct error *error) {
        int fd = loader->request->captured_environment;
        uint8_t key[SEAL_KEY_BYTES];
        bool is_encrypted;
        uint64_t length;
        char *at;

        if (fd < 0)
                return 0;
        capture_key(loader->request, key);
        if (seal_inspect(fd, &is_encrypted, &length, error) < 0 ||
                seal_map(fd, is_encrypted, key, length, &at, error) < 0)
                return error_wrap(error, "values taken from the environment");
        loader->gathered.captured = (struct secret_bytes){(uint8_t *)at, (size_t)length};
        return 0;
}

static int loader_gather(struct loader *loader, int channel, struct error *error) {
        const struct load_request *request = loader->request;
        struct gathered *gathered = &loader->gathered;
        size_t capacity = ARENA_BYTES_MOST;

        while (arena_init(&loader->arena, capacity, error) < 0) {
                if (capacity <= ARENA_BYTES_LEAST)
                        return -1;
                capacity /= 2;
        }
        gathered->request = request;
        gathered->bounds = (struct read_bounds){.arena = &loader->arena,
                .bytes_max = request->source_bytes_max ? request->source_bytes_max : LOAD_SOURCE_BYTES_MAX,
                .deadline_ns = time_add(time_now_ns(), load_deadline_ns(request))};
        loader->limits = (struct age_limits){
                .file_bytes_max = gathered->bounds.bytes_max, .scrypt_log_n_max = request->scrypt_log_n_max};
        if (keys_gather(gathered, error) < 0 || capture_open(loader, error) < 0)
                return -1;
        descriptors_drop(channel);
        for (size_t i = 0; i < gathered->key_count; i++)
                if (gathered->keys[i].is_passphrase && !loader->limits.scrypt_memory_max) {
                        loader->limits.scrypt_memory_max = memory_limit_bytes("");
                        memory_yield();
                }
        if (sources_gather(gathered, error) < 0)
                return -1;
        /* A docker file may name any variable of ours: not one that holds a key, nor a secret that the parent
         * takes. */
        load_environment_wipe(request);
        return 0;
}

/* ---- confined ---- */

static int strings_seal(struct loader *loader, struct secret_bytes strings, const uint8_t *key,
        struct seal *out, struct error *error) {
        bool is_required = loader->request->require_secret_memory;

        if (!(loader->missing & TRIAL_BIT(TRIAL_SECRET_MEMORY)))
                return seal_make(secret_view(strings), key,
                        is_required ? SEAL_SECRET_REQUIRED : SEAL_SECRET_IF_THERE, out, error);
        if (!is_required)
                return seal_make(secret_view(strings), key, SEAL_SECRET_FORBIDDEN, out, error);
        error_set(error, 0, "a system call filter forbids memfd_secret, and secret memory is required");
        return error_hint(error, "allow memfd_secret in SystemCallFilter=, or do not require secret memory");
}

/* Passphrases first: an identity file may be encrypted with one. */
static int keys_add(struct loader *loader, struct error *error) {
        const struct gathered *gathered = &loader->gathered;

        for (size_t i = 0; i < gathered->key_count; i++)
                if (gathered->keys[i].is_passphrase &&
                        age_keys_add_passphrase(
                                &loader->keys, gathered->keys[i].bytes, &loader->arena, error) < 0)
                        return error_wrap(error, "passphrase '%s'", gathered->keys[i].label);
        for (size_t i = 0; i < gathered->key_count; i++)
                if (!gathered->keys[i].is_passphrase &&
                        age_keys_add(&loader->keys,
                                &(struct age_input){secret_view(gathered->keys[i].bytes),
                                        gathered->keys[i].label, &loader->limits, &loader->arena},
                                error) < 0)
                        return -1;
        return 0;
}

static int value_add(struct loader *loader, const struct material *material, struct secret_bytes value,
        struct error *error) {
        struct secret_entry entry = {.name = material->name, .value = value, .source = material->source};
        struct bytes name = {(const uint8_t *)material->name, strlen(material->name)};

        if (material->kind == MATERIAL_FILE_VALUE)
                entry.value = without_newline(value);
        if (secret_entry_check(name, entry.value, false, error) < 0 ||
                (!loader->request->sources[material->source].may_hold_identities &&
                        secret_refuse_identity(name, entry.value, error) < 0))
                return error_wrap(error, "%s", material->label);
        return secret_list_add(&loader->list, entry, &loader->arena, error);
}

static int material_add(struct loader *loader, const struct material *material, struct error *error) {
        const struct load_source *source = &loader->request->sources[material->source];
        struct secret_bytes plain = material->bytes;

        if (material->is_age && age_open(&(struct age_input){secret_view(material->bytes), material->label,
                                                 &loader->limits, &loader->arena},
                                        &loader->keys, &plain, error) < 0)
                return -1;
        if (material->kind != MATERIAL_DOCUMENT)
                return value_add(loader, material, plain, error);
        struct dialect_input input = {.text = secret_view(plain),
                .file = material->label,
                .source = material->source,
                .may_hold_identities = source->may_hold_identities,
                .arena = &loader->arena,
                .list = &loader->list};
        size_t before = loader->list.count;

        if (document_parse(source_dialect(source, input.text), &input, error) < 0)
                return -1;
        if (loader->list.count > before)
                return 0;
        error_set(error, 0, "'%s' holds no variable", material->label);
        return error_status(error, EXIT_STATUS_DATA);
}

/* Seal what the `env:` sources gave, for the loads to come. */
static int capture_seal(struct loader *loader, struct error *error) {
        const struct load_request *request = loader->request;
        struct secret_list captured = {0};
        uint8_t key[SEAL_KEY_BYTES];
        struct secret_bytes strings;
        struct seal seal;
        const char *prefix;

        for (size_t i = 0; i < loader->gathered.count; i++) {
                const struct material *material = &loader->gathered.at[i];
                struct secret_entry entry = {.name = material->name, .value = material->bytes};

                if (source_is_environment(&request->sources[material->source], &prefix) &&
                        secret_list_add(&captured, entry, &loader->arena, error) < 0)
                        return -1;
        }
        capture_key(request, key);
        if (merge_strings(&captured, &loader->arena, &strings, error) < 0 ||
                strings_seal(loader, strings, key, &seal, error) < 0)
                return error_wrap(error, "keep the values taken from the environment");
        loader->fds[MESSAGE_CAPTURE] = seal.fd;
        loader->message.has_capture = true;
        return 0;
}

static int inventory_seal(struct loader *loader, const uint16_t *shadowed, struct error *error) {
        size_t bytes = loader->list.count * sizeof(struct load_item);
        struct load_item *items = arena_take(&loader->arena, bytes, error);
        uint8_t key[32];

        if (!items)
                return error_wrap(error, "describe %zu variables", loader->list.count);
        if (!age_fingerprint_key(&loader->keys, key))
                memcpy(key, loader->request->digest_key, sizeof key);
        merge_items(&loader->list, shadowed, key, items);
        loader->fds[MESSAGE_INVENTORY] =
                seal_plain("tacet-inventory", (struct bytes){(uint8_t *)items, bytes}, error);
        loader->message.has_inventory = true;
        return loader->fds[MESSAGE_INVENTORY] < 0 ? -1 : 0;
}

static int generation_seal(struct loader *loader, struct error *error) {
        const struct load_request *request = loader->request;
        struct load_message *message = &loader->message;
        uint16_t *shadowed = arena_take(&loader->arena, (loader->list.count + 1) * sizeof *shadowed, error);
        struct secret_bytes strings;
        struct seal seal;

        if (!shadowed)
                return error_wrap(error, "merge %zu variables", loader->list.count);
        merge_winners(&loader->list, shadowed);
        if (merge_check_size(&loader->list, request->environment_bytes_max, error) < 0 ||
                merge_strings(&loader->list, &loader->arena, &strings, error) < 0)
                return -1;
        merge_digest(strings, request->digest_key, message->digest);
        if (request->wants_inventory && inventory_seal(loader, shadowed, error) < 0)
                return -1;
        if (strings_seal(loader, strings, NULL, &seal, error) < 0)
                return -1;
        loader->fds[MESSAGE_BUNDLE] = seal.fd;
        message->is_encrypted = seal.is_encrypted;
        memcpy(message->key, seal.key, sizeof message->key);
        message->count = (uint32_t)loader->list.count;
        message->bytes = strings.length;
        message->is_unlocked = loader->arena.is_unlocked;
        return 0;
}

static int loader_work(struct loader *loader, int channel, struct error *error) {
        struct gathered *gathered = &loader->gathered;

        if (loader_gather(loader, channel, error) < 0 || confine_self(loader->missing, error) < 0 ||
                keys_add(loader, error) < 0)
                return -1;
        for (size_t i = 0; i < gathered->count; i++)
                if (material_add(loader, &gathered->at[i], error) < 0)
                        return source_wrap(&loader->request->sources[gathered->at[i].source], error);
        memcpy(loader->message.warning, gathered->warning, sizeof loader->message.warning);
        memcpy(loader->message.note, gathered->note, sizeof loader->message.note);
        if (gathered->has_new_capture && capture_seal(loader, error) < 0)
                return -1;
        return generation_seal(loader, error);
}

noreturn void loader_run(
        const struct load_request *request, int channel, pid_t parent, const struct loader_trial *trial) {
        /* Too large for a stack frame, and zeroed: one load per process. */
        static struct loader loader;
        sigset_t all;

        sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        life_bound(parent, time_add(load_deadline_ns(request), LOAD_GRACE_NS));
        process_harden();
        /* Before anything is opened: from here on the parent believes no word of it. */
        trial_run(trial->page, trial->missing);
        loader.missing = trial->missing;
        loader.request = request;
        loader.message.size = sizeof loader.message;
        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                loader.fds[i] = -1;
        if (loader_work(&loader, channel, &loader.message.error) == 0)
                _exit(message_send(channel, &loader.message, loader.fds) == 0 ? 0 : 1);
        /* Nothing else of a half-made message goes out with an error. */
        loader.message = (struct load_message){
                .size = sizeof loader.message, .is_error = 1, .error = loader.message.error};
        (void)message_send(channel, &loader.message, (const int[]){-1, -1, -1});
        _exit(1);
}
