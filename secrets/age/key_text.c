/* The lines of identity and recipient files: see key_text.h. In the loader and the editing verbs; pure over
 * bytes. */

#include "secrets/age/key_text.h"

#include <string.h>

bool key_text_line(struct bytes *rest, struct bytes *out, size_t *line) {
        const uint8_t *end;

        if (rest->length == 0)
                return false;
        end = memchr(rest->at, '\n', rest->length);
        *out = (struct bytes){rest->at, end ? (size_t)(end - rest->at) : rest->length};
        rest->at += out->length + (end ? 1 : 0);
        rest->length -= out->length + (end ? 1 : 0);
        if (out->length > 0 && out->at[out->length - 1] == '\r')
                out->length--;
        (*line)++;
        return true;
}

bool key_text_begins(struct bytes bytes, const char *prefix) {
        size_t length = strlen(prefix);

        return bytes.length >= length && memcmp(bytes.at, prefix, length) == 0;
}

/* ---- identities anywhere ---- */

/* Of 58 that an X25519 identity has behind its 1: so many of the alphabet in a row are no prose. */
#define IDENTITY_CHARACTERS_LEAST 50
/* Of what stands before the 1; a name that is longer is no plugin's. Bounds the work on a hostile text. */
#define IDENTITY_NAME_MAX ((size_t)90)

static uint8_t letter_upper(uint8_t letter) {
        return letter >= 'a' && letter <= 'z' ? (uint8_t)(letter - 'a' + 'A') : letter;
}

static bool text_begins_folded(struct bytes text, const char *prefix) {
        for (size_t i = 0; prefix[i]; i++)
                if (i >= text.length || letter_upper(text.at[i]) != (uint8_t)prefix[i])
                        return false;
        return true;
}

static bool letter_is_of(uint8_t letter, const char *others) {
        letter = letter_upper(letter);
        return (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
               (letter != 0 && strchr(others, letter));
}

/* Only blanks stand between the start of the line and `at`. */
static bool line_begins(struct bytes text, size_t at) {
        while (at > 0 && (text.at[at - 1] == ' ' || text.at[at - 1] == '\t'))
                at--;
        return at == 0 || text.at[at - 1] == '\n' || text.at[at - 1] == '\r';
}

/* `word` begins with AGE-. Both kinds of names end with "-1" before the data; a plugin's own name may have
 * digits and hyphens, so every "-1" may be that. */
static bool word_is_identity(struct bytes word, bool is_line) {
        if (!text_begins_folded(word, "AGE-SECRET-KEY-") && !text_begins_folded(word, "AGE-PLUGIN-"))
                return false;
        for (size_t i = sizeof "AGE-PLUGIN" - 1;
                i < word.length && i < IDENTITY_NAME_MAX && letter_is_of(word.at[i], "-+._"); i++) {
                size_t follow = 0;

                if (word.at[i] != '1' || word.at[i - 1] != '-')
                        continue;
                while (follow < IDENTITY_CHARACTERS_LEAST && i + 1 + follow < word.length &&
                        letter_is_of(word.at[i + 1 + follow], ""))
                        follow++;
                if (is_line || follow == IDENTITY_CHARACTERS_LEAST)
                        return true;
        }
        return false;
}

bool age_text_has_identity(struct bytes text) {
        for (size_t i = 0; i + 4 <= text.length; i++) {
                struct bytes word = {text.at + i, text.length - i};

                if (letter_upper(text.at[i]) == 'A' && text_begins_folded(word, "AGE-") &&
                        word_is_identity(word, line_begins(text, i)))
                        return true;
        }
        return false;
}
