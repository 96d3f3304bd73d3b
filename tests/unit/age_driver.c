/* A command around secrets/age for tests/e2e/test_age_interop.py, so that the format is tested against other programs
 * apart from the verbs of tacet. Reads standard input, writes standard output.
 *
 *   age_driver seal [-a] {-r RECIPIENT | -R FILE | -p FILE}...     age_driver open {-i FILE | -p FILE}...
 *   age_driver keygen
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/age/age.h"

#define INPUT_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define LOG_N           10 /* quick; the vectors and age's own files have the real one */

static const struct age_limits limits = {INPUT_BYTES_MAX, AGE_SCRYPT_LOG_N_DEFAULT, 0};
static struct arena arena;
static struct error error;

static void check(int status) {
        if (status >= 0)
                return;
        fprintf(stderr, "age_driver: %s\n", error.text);
        if (error.hint[0] != '\0')
                fprintf(stderr, "age_driver: hint: %s\n", error.hint);
        exit(1);
}

static struct secret_bytes input_read(const char *path) {
        CLEANUP_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
        struct secret_bytes text = {arena_take(&arena, INPUT_BYTES_MAX, &error), 0};
        ssize_t length;

        check(text.at ? 0 : -1);
        length = fd_read_full(fd, text.at, INPUT_BYTES_MAX);
        if (length < 0)
                check(error_set(&error, 2, "read %s", path ? path : "standard input"));
        text.length = (size_t)length;
        arena_release(&arena, (size_t)(text.at - arena.at) + text.length / 16 * 16 + 16);
        return text;
}

static struct secret_bytes passphrase_read(const char *path) {
        struct secret_bytes text = input_read(path);

        while (text.length > 0 && text.at[text.length - 1] == '\n')
                text.length--;
        return text;
}

static int keys_main(int count, char **words) {
        struct age_keys keys = {0};
        struct secret_bytes out;
        int option;

        while ((option = getopt(count, words, "i:p:")) != -1)
                if (option == 'p')
                        check(age_keys_add_passphrase(&keys, passphrase_read(optarg), &arena, &error));
                else
                        check(age_keys_add(
                                &keys, secret_view(input_read(optarg)), optarg, &limits, &arena, &error));
        check(age_open(secret_view(input_read(NULL)), "input", &keys, &limits, &arena, &out, &error));
        return fd_write_full(1, out.at, out.length);
}

static int recipients_main(int count, char **words) {
        struct age_recipients recipients = {0};
        struct age_file out;
        bool is_armored = false;
        int option;

        while ((option = getopt(count, words, "ar:R:p:")) != -1)
                if (option == 'a')
                        is_armored = true;
                else if (option == 'r')
                        check(age_recipients_add(&recipients, optarg, &arena, &error));
                else if (option == 'R')
                        check(age_recipients_add_file(
                                &recipients, secret_view(input_read(optarg)), optarg, &arena, &error));
                else
                        check(age_recipients_add_passphrase(
                                &recipients, passphrase_read(optarg), LOG_N, &arena, &error));
        check(age_seal(secret_view(input_read(NULL)), &recipients, is_armored, &out, &error));
        return fd_write_full(1, out.at, out.length);
}

static int keygen_main(void) {
        char recipient[AGE_RECIPIENT_TEXT_BYTES];
        struct secret_bytes identity;

        check(age_keygen(&arena, &identity, recipient, &error));
        printf("# public key: %s\n%.*s\n", recipient, (int)identity.length, (const char *)identity.at);
        return 0;
}

int main(int count, char **words) {
        check(arena_init(&arena, 8 * INPUT_BYTES_MAX, &error));
        if (count >= 2 && strcmp(words[1], "open") == 0)
                return keys_main(count - 1, words + 1) < 0;
        if (count >= 2 && strcmp(words[1], "seal") == 0)
                return recipients_main(count - 1, words + 1) < 0;
        return count == 2 && strcmp(words[1], "keygen") == 0 ? keygen_main() : 2;
}
