#pragma once

/* A folder, a request, and what became of a load: for the tests of loading, whose loader is the real one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duration.h"
#include "lib/fd.h"
#include "secrets/age/age.h"
#include "secrets/load.h"

static char folder[64];
static struct load_request request;
static struct load_result result;
static struct error error;
static struct bundle_view view;

/* ---- helpers ---- */

static inline const char *path_of(const char *name) {
        static char paths[8][160];
        static unsigned next;
        char *path = paths[next++ % 8];

        snprintf(path, sizeof paths[0], "%s/%s", folder, name);
        return path;
}

static inline void file_write(const char *name, const void *bytes, size_t length) {
        int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, bytes, length), 0);
        close(fd);
}

static inline void text_write(const char *name, const char *text) {
        file_write(name, text, strlen(text));
}

static inline void source_add(const char *scheme, const char *rest) {
        static char uris[LOAD_SOURCES_MAX][256];
        char *uri = uris[request.source_count];

        snprintf(uri, sizeof uris[0], "%s%s", scheme, rest);
        request.sources[request.source_count++] =
                (struct load_source){.name = uri, .uri = uri, .where = "command line"};
}

static inline void key_add(const char *spec) {
        request.keys[request.key_count++] = (struct load_key){.spec = spec, .where = "command line"};
}

static inline int setup(void **state) {
        (void)state;
        snprintf(folder, sizeof folder, "/tmp/test_load.XXXXXX");
        assert_non_null(mkdtemp(folder));
        memset(&request, 0, sizeof request);
        memset(&result, 0, sizeof result);
        memset(&error, 0, sizeof error);
        request.captured_environment = -1;
        request.wants_inventory = true;
        request.deadline_ns = 5 * NS_PER_S;
        memset(request.digest_key, 7, sizeof request.digest_key);
        result.captured_environment = -1;
        bundle_init(&result.bundle);
        return 0;
}

static inline int teardown(void **state) {
        char command[128];

        (void)state;
        load_result_deinit(&result);
        if (view.strings)
                munmap(view.strings, view.bytes);
        view.strings = NULL;
        snprintf(command, sizeof command, "rm -rf %s", folder);
        return system(command);
}

/* One load, to its end; also waits for the child and checks that no descriptor stays open after a failure. */
static inline int load(void) {
        struct load_process process;
        int status, answer, before = dup(0);

        load_result_deinit(&result);
        close(before);
        answer = load_start(&request, &process, &error);
        if (answer == 0) {
                answer = load_finish(&process, &result, &error);
                assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
        }
        if (answer < 0) {
                int after = dup(0);

                assert_int_equal(after, before);
                close(after);
        }
        return answer;
}

static inline void load_expect(void) {
        if (load() < 0)
                fail_msg("%s", error.text);
        if (view.strings)
                munmap(view.strings, view.bytes);
        view.strings = NULL;
        assert_int_equal(bundle_map(&result.bundle, &view, &error), 0);
}

static inline void failure_expect(const char *text) {
        if (load() == 0)
                fail_msg("the load succeeded instead of: %s", text);
        if (!strstr(error.text, text))
                fail_msg("'%s' does not say '%s'", error.text, text);
        assert_null(strstr(error.text, "canary"));
        assert_null(strstr(error.hint, "canary"));
}

static inline const char *value_of(const char *name) {
        for (const char *at = view.strings; at < view.strings + view.bytes; at += strlen(at) + 1)
                if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
                        return at + strlen(name) + 1;
        return "(absent)";
}

static inline const struct load_item *item_of(const char *name) {
        for (size_t i = 0; i < result.item_count; i++)
                if (strcmp(result.items[i].name, name) == 0)
                        return &result.items[i];
        fail_msg("%s is not in the inventory", name);
        return NULL;
}

/* ---- age ---- */

static inline void age_write(const char *name, const char *text, const struct age_recipients *recipients) {
        struct age_file file;

        assert_int_equal(age_seal((struct bytes){(const uint8_t *)text, strlen(text)}, recipients, false,
                                 &file, &error),
                0);
        file_write(name, file.at, file.length);
        free(file.at);
}

/* An identity in the file `key`, and an age file `f.age` for it. */
static inline void age_prepare(const char *document) {
        CLEANUP_ARENA struct arena arena = {0};
        struct age_recipients recipients = {0};
        struct secret_bytes identity;
        char recipient[AGE_RECIPIENT_TEXT_BYTES];

        assert_int_equal(arena_init(&arena, 1 << 20, &error), 0);
        assert_int_equal(age_keygen(&arena, &identity, recipient, &error), 0);
        assert_int_equal(age_recipients_add(&recipients, recipient, &arena, &error), 0);
        file_write("key", identity.at, identity.length);
        age_write("f.age", document, &recipients);
        mkdir(path_of("v"), 0700);
        age_write("v/TOKEN.age", "canary-token\n", &recipients);
        text_write("v/README", "not ours");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
