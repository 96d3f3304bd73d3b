/* Keys for the secret-file verbs: see keys.h. Everything read here lies in the verb's arena. */

#include "cli/files/keys.h"

#include <errno.h>
#include <stdio.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "cli/common/terminal.h"

int key_options_take_identity(void *member, const struct option_reader *reader, struct error *error) {
        struct key_options *options = member;

        if (options->identity_count == IDENTITY_OPTIONS_MAX)
                return option_usage_error(
                        reader->table, error, "more than %d identity files", IDENTITY_OPTIONS_MAX);
        options->identities[options->identity_count++] = reader->value;
        return 0;
}

/* A passphrase is what a file holds without its final line end. */
static int passphrase_trim(
        struct secret_bytes text, const char *name, struct secret_bytes *out, struct error *error) {
        if (text.length && text.at[text.length - 1] == '\n')
                text.length--;
        if (text.length && text.at[text.length - 1] == '\r')
                text.length--;
        if (!text.length)
                return error_set(error, 0, "passphrase '%s' is empty", name);
        *out = text;
        return 0;
}

int passphrase_read_file(
        const char *path, struct arena *arena, struct secret_bytes *out, struct error *error) {
        struct secret_bytes text;

        if (stream_read_file(path, KEY_FILE_BYTES_MAX, arena, &text, error) < 0)
                return error_wrap(error, "passphrase");
        return passphrase_trim(text, path, out, error);
}

/* fd:N and passphrase-fd:N. Whoever starts us opened it; a key that is not in a file has no path that
 * could leak. */
static int descriptor_read(const char *spec, const char *number, struct arena *arena,
        struct secret_bytes *out, struct error *error) {
        uint64_t fd;

        if (!text_to_u64(number, &fd) || fd > INT_MAX) {
                error_set(error, 0, "'%s': what stands behind the colon is not a descriptor number", spec);
                return error_status(error, EXIT_STATUS_USAGE);
        }
        return stream_read((int)fd, spec, KEY_FILE_BYTES_MAX, arena, out, error);
}

/* `spec` is an -i that names a passphrase. Returns 0, 1 when it names an identity, or -1. */
static int passphrase_from_spec(
        const char *spec, struct arena *arena, struct secret_bytes *out, struct error *error) {
        struct secret_bytes text;
        const char *rest;

        if (text_after(spec, "passphrase-file:", &rest))
                return passphrase_read_file(rest, arena, out, error);
        if (!text_after(spec, "passphrase-fd:", &rest))
                return 1;
        return descriptor_read(spec, rest, arena, &text, error) < 0 ? -1
                                                                    : passphrase_trim(text, spec, out, error);
}

/* Passphrases are read first, see ring_add_given_passphrases(); this leaves them out of the identities. */
static bool spec_is_passphrase(const char *spec) {
        return text_after(spec, "passphrase-file:", NULL) || text_after(spec, "passphrase-fd:", NULL);
}

/* ---- identities ---- */

static void environment_forget(const char *name) {
        char *value = getenv(name);

        if (!value)
                return;
        /* What a child or `ps e` could still see. */
        secret_wipe(value, strlen(value));
        unsetenv(name);
}

void key_options_forget_environment(const struct key_options *options) {
        const char *name;

        for (size_t i = 0; i < options->identity_count; i++)
                if (text_after(options->identities[i], "env:", &name))
                        environment_forget(name);
}

/* Copied and wiped at once: the environment can be read in /proc/PID/environ and is inherited by whatever
 * this process starts. */
static int identity_from_environment(
        const char *name, struct arena *arena, struct secret_bytes *out, struct error *error) {
        char *value = getenv(name);

        if (!value)
                return error_set(error, 0, "identity env:%s: there is no such variable", name);
        out->length = strlen(value);
        out->at = arena_take(arena, out->length, error);
        if (!out->at)
                return -1;
        memcpy(out->at, value, out->length);
        environment_forget(name);
        return 0;
}

static int identity_from_credential(
        const char *name, struct arena *arena, struct secret_bytes *out, struct error *error) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        char path[PATH_MAX];

        if (!directory)
                return error_set(error, 0, "identity credential:%s: $CREDENTIALS_DIRECTORY is not set", name);
        /* A name and no path: with ../ it would be a file that nobody gave as a credential
         * (systemd.exec(5)). */
        if (strchr(name, '/') || snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
                return error_set(error, 0, "identity credential:%s: not a credential's name", name);
        return stream_read_file(path, KEY_FILE_BYTES_MAX, arena, out, error);
}

static int identity_read(
        const char *spec, struct arena *arena, struct secret_bytes *out, struct error *error) {
        const char *rest;

        if (text_after(spec, "env:", &rest))
                return identity_from_environment(rest, arena, out, error);
        if (text_after(spec, "credential:", &rest))
                return identity_from_credential(rest, arena, out, error);
        if (text_after(spec, "fd:", &rest))
                return descriptor_read(spec, rest, arena, out, error);
        return stream_read_file(spec, KEY_FILE_BYTES_MAX, arena, out, error);
}

/* An identity file that is locked with a passphrase: ask for it, open the file, and keep the identities
 * alone. */
static int identity_unlock(struct age_keys *keys, struct bytes text, const char *name, struct arena *arena,
        struct error *error) {
        struct age_keys unlocked = {0};
        struct secret_bytes passphrase;
        char prompt[400];
        int result;

        snprintf(prompt, sizeof prompt, "Passphrase for identity '%.300s': ", name);
        result = terminal_ask_hidden(prompt, arena, &passphrase, error);
        if (result == TERMINAL_NONE) {
                error_set(error, 0,
                        "identity '%s' is locked with a passphrase and there is no terminal to ask at", name);
                return error_hint(error, "give -i passphrase-file:FILE as well, or run it at a terminal");
        }
        if (result < 0 || age_keys_add_passphrase(&unlocked, passphrase, arena, error) < 0 ||
                age_keys_add(&unlocked, &(struct age_input){text, name, &verb_limits, arena}, error) < 0)
                return -1;
        /* The first one is the passphrase itself: it opened this file and must not be tried on others. */
        for (size_t i = 1; i < unlocked.count; i++) {
                if (keys->count == AGE_KEYS_MAX)
                        return error_set(error, 0, "more than %d keys", AGE_KEYS_MAX);
                keys->list[keys->count++] = unlocked.list[i];
        }
        return 0;
}

static int identity_add(struct age_keys *keys, const char *spec, bool has_passphrase, struct arena *arena,
        struct error *error) {
        struct age_description file;
        struct secret_bytes text;

        if (identity_read(spec, arena, &text, error) < 0)
                return error_wrap(error, "identity");
        /* A passphrase that was given is tried by age_keys_add(). Only when there is none the person is
         * asked, and only for a file that a passphrase opens. */
        if (!has_passphrase && age_is_age_file(secret_view(text))) {
                if (age_describe(secret_view(text), spec, &verb_limits, &file, error) < 0)
                        return -1;
                if (file.has_passphrase)
                        return identity_unlock(keys, secret_view(text), spec, arena, error);
        }
        return age_keys_add(keys, &(struct age_input){secret_view(text), spec, &verb_limits, arena}, error);
}

/* Where the identity lies when none is given. Returns 0; 1 when there is no such file. */
static int identity_default_path(char out[static PATH_MAX]) {
        const char *given = getenv("TACET_IDENTITY"), *config = getenv("XDG_CONFIG_HOME"),
                   *home = getenv("HOME");
        int length = -1;

        /* Not tried with access(2): a file that was named and is not there is an error, not "no
         * identity". */
        if (given && *given)
                return snprintf(out, PATH_MAX, "%s", given) < PATH_MAX ? 0 : 1;
        if (config && config[0] == '/')
                length = snprintf(out, PATH_MAX, "%s/tacet/identity.txt", config);
        else if (home && home[0] == '/')
                length = snprintf(out, PATH_MAX, "%s/.config/tacet/identity.txt", home);
        return length > 0 && length < PATH_MAX && access(out, F_OK) == 0 ? 0 : 1;
}

static int identities_add(struct age_keys *keys, const struct key_options *options, bool has_passphrase,
        struct arena *arena, struct error *error) {
        char path[PATH_MAX];

        for (size_t i = 0; i < options->identity_count; i++)
                if (!spec_is_passphrase(options->identities[i]) &&
                        identity_add(keys, options->identities[i], has_passphrase, arena, error) < 0)
                        return -1;
        /* Whoever names keys means those: the default would open files that he did not mean to. */
        if (options->identity_count)
                return 0;
        if (identity_default_path(path) != 0)
                return 1;
        return identity_add(keys, path, has_passphrase, arena, error);
}

/* ---- the ring ---- */

static int ring_add_passphrase(struct key_ring *ring, struct arena *arena, struct error *error) {
        ring->has_passphrase = true;
        return age_keys_add_passphrase(&ring->keys, ring->passphrase, arena, error);
}

static int ring_ask_passphrase(
        struct key_ring *ring, const char *path, struct arena *arena, struct error *error) {
        char prompt[400];
        int result;

        snprintf(prompt, sizeof prompt, "Passphrase for '%.300s': ", path);
        result = terminal_ask_hidden(prompt, arena, &ring->passphrase, error);
        if (result == TERMINAL_NONE) {
                error_set(error, 0, "'%s' is locked with a passphrase and there is no terminal to ask at",
                        path);
                return error_hint(error, "give --passphrase-file");
        }
        return result < 0 ? -1 : ring_add_passphrase(ring, arena, error);
}

/* Every passphrase that was given; first of all, because one may open an identity file. */
static int ring_add_given_passphrases(
        struct key_ring *ring, const struct key_options *options, struct arena *arena, struct error *error) {
        if (options->passphrase_file &&
                (passphrase_read_file(options->passphrase_file, arena, &ring->passphrase, error) < 0 ||
                        ring_add_passphrase(ring, arena, error) < 0))
                return -1;
        for (size_t i = 0; i < options->identity_count; i++) {
                int result = passphrase_from_spec(options->identities[i], arena, &ring->passphrase, error);

                if (result < 0 || (result == 0 && ring_add_passphrase(ring, arena, error) < 0))
                        return -1;
        }
        return 0;
}

int identities_load(
        struct age_keys *keys, const struct key_options *options, struct arena *arena, struct error *error) {
        struct key_options named = *options;
        struct key_ring ring = {0};
        int result;

        /* --passphrase-file means something else to the verbs that come here. */
        named.passphrase_file = NULL;
        if (ring_add_given_passphrases(&ring, &named, arena, error) < 0)
                return -1;
        result = identities_add(&ring.keys, &named, ring.has_passphrase, arena, error);
        *keys = ring.keys;
        return result;
}

int identities_add_beside_passphrase(
        struct age_keys *keys, const struct key_options *options, struct arena *arena, struct error *error) {
        struct key_options named = {0};

        for (size_t i = 0; i < options->identity_count; i++)
                if (!spec_is_passphrase(options->identities[i]))
                        named.identities[named.identity_count++] = options->identities[i];
        return identities_add(keys, &named, true, arena, error) < 0 ? -1 : 0;
}

int key_ring_load(struct key_ring *ring, const struct key_options *options,
        const struct age_description *file, const char *path, struct arena *arena, struct error *error) {
        int result;

        if (!ring->has_given && ring_add_given_passphrases(ring, options, arena, error) < 0)
                return -1;
        ring->has_given = true;
        /* Such a file has no other stanza (age, section scrypt), so identities could not open it. */
        if (file->has_passphrase)
                return ring->has_passphrase ? 0 : ring_ask_passphrase(ring, path, arena, error);
        if (ring->has_identities)
                return 0;
        result = identities_add(&ring->keys, options, ring->has_passphrase, arena, error);
        ring->has_identities = result == 0;
        if (result != 1)
                return result;
        error_set(error, 0, "no identity to open '%s' with", path);
        error_hint(error, "give -i FILE or set TACET_IDENTITY; 'tacet keygen -o FILE' makes a new one");
        return error_status(error, EXIT_STATUS_USAGE);
}
