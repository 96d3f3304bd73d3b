/* tacet encrypt and tacet decrypt: bytes in, bytes out, as age(1) does it.
 *
 * Unlike age, decrypt gives out nothing before the whole file is verified, and an output file is complete
 * or untouched. */

#include <stdio.h>
#include <stdlib.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/files/keys.h"
#include "cli/common/options.h"
#include "cli/files/recipients.h"
#include "cli/common/secret_verb.h"
#include "cli/common/stream.h"
#include "cli/common/terminal.h"
#include "cli/files/verbs.h"

/* What either command line comes to. `output` NULL: standard output. */
struct crypt_request {
        struct recipient_options recipients;
        struct key_options keys;
        const char *input, *output;
        bool is_armored, asks_passphrase;
};

#define OPTION_SPEC_OUTPUT                                                                                   \
        {                                                                                                    \
                .letter = 'o', .name = "output", .value = "FILE",                                            \
                .help = "write to FILE instead of standard output",                                          \
                OPTION_KEEPS(struct crypt_request, output)                                                   \
        }

static const struct option_spec encrypt_specs[] = {
        OPTION_SPEC_RECIPIENT(struct crypt_request, recipients),
        OPTION_SPEC_RECIPIENTS_FILE(struct crypt_request, recipients),
        {.letter = 'i',
                .name = "identity",
                .value = "FILE",
                .is_repeatable = true,
                .help = "encrypt for the recipients of the identities in FILE",
                .take = key_options_take_identity,
                .offset = OPTION_MEMBER(struct crypt_request, keys, struct key_options)},
        {.letter = 'p',
                .name = "passphrase",
                .help = "encrypt with a passphrase, asked for at the terminal\n(empty: one is made up and "
                        "shown)",
                OPTION_SETS(struct crypt_request, asks_passphrase)},
        OPTION_SPEC_PASSPHRASE_FILE(struct crypt_request, keys),
        {.letter = 'a',
                .name = "armor",
                .help = "write text (PEM) instead of binary",
                OPTION_SETS(struct crypt_request, is_armored)},
        OPTION_SPEC_OUTPUT,
        OPTION_SPEC_HELP,
};
static const struct option_table encrypt_table = {
        .command = "tacet encrypt",
        .synopsis = "-r RECIPIENT... [-a] [-o OUTPUT] [FILE]\n-p [-a] [-o OUTPUT] [FILE]",
        .purpose = "Encrypt FILE (or standard input) in the age format.",
        .notes = "  tacet encrypt -R team.txt -o secrets.age secrets.env",
        .specs = encrypt_specs,
        .count = sizeof encrypt_specs / sizeof encrypt_specs[0],
        OPTION_FILE(struct crypt_request, input),
};

static const struct option_spec decrypt_specs[] = {
        OPTION_SPEC_IDENTITY(struct crypt_request, keys),
        OPTION_SPEC_PASSPHRASE_FILE(struct crypt_request, keys),
        OPTION_SPEC_OUTPUT,
        OPTION_SPEC_HELP,
};
static const struct option_table decrypt_table = {
        .command = "tacet decrypt",
        .synopsis = "[-i IDENTITY]... [-o OUTPUT] [FILE]\n--passphrase-file FILE [-o OUTPUT] [FILE]",
        .purpose = "Decrypt FILE (or standard input), an age file, binary or armored.",
        .notes = KEYS_NOTES "\nA new OUTPUT gets mode 0600. To change a secret there is no need to decrypt: "
                            "tacet set, tacet edit.",
        .specs = decrypt_specs,
        .count = sizeof decrypt_specs / sizeof decrypt_specs[0],
        OPTION_FILE(struct crypt_request, input),
};

/* Read the command line. Returns 0; 1 after --help, with *out_status; or -1. */
static int request_read(struct crypt_request *request, const struct option_table *table, char **argv,
        int *out_status, struct error *error) {
        int result = option_read_all(table, argv, request, out_status, error);

        if (result != 0)
                return result;
        if (!request->input)
                request->input = "-";
        /* It would work, since files are replaced as a whole, but it would replace the only copy of the
         * plaintext, or of the sealed file, which is rarely meant. */
        if (request->output && stream_is_same(request->input, request->output))
                return option_usage_error(
                        table, error, "input and output are the same file: '%s'", request->input);
        return 0;
}

/* A passphrase of 25 letters and digits, about 123 bits, in groups a person can copy. */
static int passphrase_make(struct arena *arena, struct secret_bytes *out, struct error *error) {
        /* Without those that look like another one: i, l, o, 0, 1. */
        static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
        char *text = arena_take(arena, 64, error);
        size_t used = 0;

        if (!text)
                return -1;
        for (unsigned i = 0; i < 25; i++) {
                if (i && i % 5 == 0)
                        text[used++] = '-';
                text[used++] = letters[randombytes_uniform(sizeof letters - 1)];
        }
        *out = (struct secret_bytes){(uint8_t *)text, used};
        return terminal_show("Passphrase: ", *out, error);
}

static int passphrase_ask(struct arena *arena, struct secret_bytes *out, struct error *error) {
        int result = terminal_ask_twice(
                "Passphrase (empty: make one up): ", "The same passphrase again: ", arena, out, error);

        if (result == TERMINAL_NONE) {
                error_set(error, 0, "there is no terminal to ask for a passphrase at");
                return error_hint(error, "give --passphrase-file");
        }
        return result == 0 && !out->length ? passphrase_make(arena, out, error) : result;
}

static int encrypt_recipients(struct age_recipients *recipients, const struct crypt_request *request,
        struct arena *arena, struct error *error) {
        bool has_passphrase = request->asks_passphrase || request->keys.passphrase_file;
        struct secret_bytes passphrase;
        struct age_keys keys;

        /* Before the input is read: who pipes something in should learn of a wrong recipient first. */
        if (recipients_add_options(recipients, &request->recipients, arena, error) < 0)
                return -1;
        if (request->keys.identity_count &&
                (identities_load(&keys, &request->keys, arena, error) != 0 ||
                        age_recipients_add_keys(recipients, &keys, arena, error) < 0))
                return -1;
        if (has_passphrase && recipients->count)
                return option_usage_error(&encrypt_table, error,
                        "a passphrase and recipients do not go together: an age file has one or the others");
        if (!has_passphrase && !recipients->count) {
                option_usage_error(&encrypt_table, error, "no recipient is given");
                return error_hint(error, "name one with -r age1..., a file of them with -R, or use -p");
        }
        /* Asked for last of all: what else is wrong is known before somebody types it twice. */
        if (!has_passphrase)
                return 0;
        if (request->keys.passphrase_file
                        ? passphrase_read_file(request->keys.passphrase_file, arena, &passphrase, error) < 0
                        : passphrase_ask(arena, &passphrase, error) < 0)
                return -1;
        return age_recipients_add_passphrase(
                recipients, passphrase, AGE_SCRYPT_LOG_N_WRITE, &verb_limits, arena, error);
}

/* The mode that open(2) would give: what is encrypted is no secret. */
static mode_t mode_default(void) {
        /* umask(2) can only be read by setting it; this process has one thread. */
        mode_t mask = umask(0);

        umask(mask);
        return 0666 & ~mask;
}

static int encrypt_run(char **argv, struct error *error) {
        CLEANUP_ARENA struct arena arena = {0};
        struct crypt_request request = {0};
        struct age_recipients recipients = {0};
        struct age_file sealed = {0};
        struct secret_bytes text;
        int status = EXIT_STATUS_DONE, result = request_read(&request, &encrypt_table, argv, &status, error);

        if (result != 0)
                return result < 0 ? -1 : status;
        if (!request.output && !request.is_armored && isatty(STDOUT_FILENO)) {
                option_usage_error(&encrypt_table, error, "binary is not written to a terminal");
                return error_hint(error, "-a writes text, -o FILE a file, '-o -' does it all the same");
        }
        /* Address space for the input and for keys; what is encrypted is no secret and lies on the heap. */
        if (arena_init(&arena, 2 * CRYPT_BYTES_MAX, error) < 0 ||
                encrypt_recipients(&recipients, &request, &arena, error) < 0 ||
                stream_read_file(request.input, CRYPT_BYTES_MAX, &arena, &text, error) < 0 ||
                age_seal(secret_view(text), &recipients, request.is_armored, &sealed, error) < 0)
                return -1;
        result =
                stream_write(request.output, (struct bytes){sealed.at, sealed.length}, mode_default(), error);
        free(sealed.at);
        return result;
}

static int decrypt_run(char **argv, struct error *error) {
        CLEANUP_ARENA struct arena arena = {0};
        struct crypt_request request = {0};
        struct age_description file;
        struct key_ring ring = {0};
        struct secret_bytes sealed, text;
        int status = EXIT_STATUS_DONE, result = request_read(&request, &decrypt_table, argv, &status, error);
        const char *name =
                strcmp(request.input ? request.input : "-", "-") == 0 ? "standard input" : request.input;

        if (result != 0)
                return result < 0 ? -1 : status;
        /* Address space for the sealed text, the same without its armor, and the plaintext. */
        if (arena_init(&arena, 4 * CRYPT_BYTES_MAX, error) < 0 ||
                stream_read_file(request.input, CRYPT_BYTES_MAX, &arena, &sealed, error) < 0 ||
                age_describe(secret_view(sealed), name, &verb_limits, &file, error) < 0 ||
                key_ring_load(&ring, &request.keys, &file, name, &arena, error) < 0 ||
                age_open(&(struct age_input){secret_view(sealed), name, &verb_limits, &arena}, &ring.keys,
                        &text, error) < 0)
                return -1;
        /* All of it is verified by now: not one byte of a file that was tampered with is given out. */
        return stream_write(request.output, secret_view(text), 0600, error);
}

int verb_encrypt(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, encrypt_run);
}

int verb_decrypt(int argc, char **argv) {
        (void)argc;
        return verb_carry_out(argv, decrypt_run);
}
