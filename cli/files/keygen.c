/* tacet keygen: make an identity, or show the recipient that belongs to one. Output as age-keygen(1)
 * writes it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"
#include "lib/atomic_file.h"

/* What the command line comes to. `output` NULL: standard output; `input` NULL: standard input. */
struct keygen_request {
        const char *input, *output;
        bool shows_recipient;
};

static const struct option_spec specs[] = {
        {.letter = 'o',
                .name = "output",
                .value = "FILE",
                .help = "write to FILE, which must not exist yet (mode 0600)",
                OPTION_KEEPS(struct keygen_request, output)},
        {.letter = 'y',
                .name = "recipient",
                .help = "print the recipients of the identities in IDENTITY_FILE\n(standard input when none "
                        "is named)",
                OPTION_SETS(struct keygen_request, shows_recipient)},
        OPTION_SPEC_HELP,
};
static const struct option_table table = {
        .command = "tacet keygen",
        .synopsis = "[-o FILE]\n-y [-o FILE] [IDENTITY_FILE]",
        .purpose = "Make an identity: a private key that opens what is encrypted for its recipient.",
        .notes = "The recipient (age1...) is public: give it to everybody who encrypts for you.\n"
                 "Keep the identity where only its owner reads it.\n\n"
                 "  tacet keygen -o key.txt\n"
                 "  tacet set -i key.txt secrets.age DB_PASSWORD",
        .specs = specs,
        .count = sizeof specs / sizeof specs[0],
        OPTION_FILE(struct keygen_request, input),
};

/* A new file, complete or not there at all; an old one is never touched: a lost identity cannot be had
 * back. */
static int identity_write(const char *path, struct bytes text, struct error *error) {
        CLEANUP_ATOMIC_FILE struct atomic_file file = ATOMIC_FILE_INIT;
        /* No waiting for a lock: somebody who holds one has made the file, and that ends it anyway. */
        int result = atomic_file_open(&file, path, 0, error);

        if (result == ATOMIC_FILE_NEW)
                result = atomic_file_replace(&file, text, 0600, error);
        else if (result >= 0)
                result = ATOMIC_FILE_EXISTS;
        if (result != ATOMIC_FILE_EXISTS)
                return result;
        error_set(error, EEXIST, "write '%s'", path);
        return error_hint(error, "an identity is never overwritten: name another file");
}

static int keygen_write(const char *path, struct bytes text, const char *recipient, struct error *error) {
        struct stat status;

        if (path && strcmp(path, "-") != 0) {
                if (identity_write(path, text, error) < 0)
                        return -1;
        } else {
                /* A file that the shell opened has the mode that the shell gave it; too late to change
                 * it, not to warn. */
                if (fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0004))
                        cli_warn("standard output is a file that everybody can read: use -o FILE");
                if (stream_write(NULL, text, 0, error) < 0)
                        return -1;
                /* There the recipient has just been seen, as a comment in the identity. */
                if (isatty(STDOUT_FILENO))
                        return 0;
        }
        /* For a person who redirected the identity: the recipient is what has to be copied now. */
        dprintf(STDERR_FILENO, "Public key: %s\n", recipient);
        return 0;
}

static int keygen_new(const char *path, struct arena *arena, struct error *error) {
        char recipient[AGE_RECIPIENT_TEXT_BYTES], head[192], stamp[32];
        struct secret_bytes identity, text;
        time_t now = time(NULL);
        struct tm utc;
        int length;

        if (age_keygen(arena, &identity, recipient, error) < 0)
                return -1;
        gmtime_r(&now, &utc);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
        length = snprintf(head, sizeof head, "# created: %s\n# public key: %s\n", stamp, recipient);
        /* Put together in the arena: stdio would keep a copy of the identity in its buffer. */
        text.length = (size_t)length + identity.length + 1;
        text.at = arena_take(arena, text.length, error);
        if (!text.at)
                return -1;
        memcpy(text.at, head, (size_t)length);
        memcpy(text.at + length, identity.at, identity.length);
        text.at[text.length - 1] = '\n';
        return keygen_write(path, secret_view(text), recipient, error);
}

static int keygen_show(const char *input, const char *output, struct arena *arena, struct error *error) {
        struct key_options options = {.identities = {input}, .identity_count = 1};
        char *lines = arena_take(arena, (size_t)AGE_KEYS_MAX * AGE_RECIPIENT_TEXT_BYTES, error);
        struct age_keys keys;
        size_t used = 0;

        if (!lines || identities_load(&keys, &options, arena, error) < 0)
                return -1;
        for (size_t i = 0; i < keys.count; i++) {
                if (!age_key_recipient(&keys, i, lines + used))
                        continue;
                used += strlen(lines + used);
                lines[used++] = '\n';
        }
        if (!used)
                return error_set(error, 0, "'%s' holds no identity with an age1... recipient", input);
        return stream_write(output, (struct bytes){(const uint8_t *)lines, used}, 0644, error);
}

static int keygen_run(char **argv, struct error *error) {
        CLEANUP_ARENA struct arena arena = {0};
        struct keygen_request request = {0};
        int status = EXIT_STATUS_DONE, result = option_read_all(&table, argv, &request, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (request.input && !request.shows_recipient) {
                option_usage_error(&table, error, "'%s': keygen takes no operand", request.input);
                return error_hint(error, "'-o %s' writes there, '-y %s' shows its recipients", request.input,
                        request.input);
        }
        if (arena_init(&arena, 8 * KEY_FILE_BYTES_MAX, error) < 0)
                return -1;
        if (!request.shows_recipient)
                return keygen_new(request.output, &arena, error);
        return keygen_show(request.input ? request.input : "-", request.output, &arena, error);
}

int verb_keygen(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, keygen_run);
}
