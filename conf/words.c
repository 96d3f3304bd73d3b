/* Words of a command or a list: see words.h.
 *
 * The habits are systemd's, because that is where most command lines in configuration files come from. What
 * differs is refused instead of guessed at: an escape that means nothing is an error, not a literal
 * backslash. */

#include "conf/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/memory.h"
#include "conf/text.h"

#define BLANKS " \t"

struct splitter {
        const char *text, *at;
        char *word; /* room for the whole text: no word is longer */
        size_t length;
};

int words_add(struct config_words *words, const char *word, struct error *error) {
        char **grown;

        if (words->count >= CONFIG_WORDS_MAX)
                return error_set(error, 0, "more than %d words", CONFIG_WORDS_MAX);
        /* Room grows by doubling, and is told from the count alone: 4, 8, 16, ... less one for the NULL. */
        if (!words->at || (words->count >= 3 && ((words->count + 1) & words->count) == 0)) {
                size_t held = words->at ? words->count + 1 : 0;

                grown = config_memory_grow(
                        words->at, held * sizeof *grown, (held ? held * 2 : 4) * sizeof *grown);
                if (!grown)
                        return error_set(error, ENOMEM, "hold a list of words");
                words->at = grown;
        }
        words->at[words->count] = NULL;
        if (text_copy(&words->at[words->count], word, error) < 0)
                return -1;
        words->at[++words->count] = NULL;
        return 0;
}

void words_truncate(struct config_words *words, size_t count) {
        while (words->count > count) {
                config_memory_free(words->at[--words->count]);
                words->at[words->count] = NULL;
        }
        if (words->expanded > count)
                words->expanded = count;
}

void words_deinit(struct config_words *words) {
        words_truncate(words, 0);
        config_memory_free(words->at);
        *words = (struct config_words){0};
}

/* The place and no word: a command line may have a secret in it that does not belong there. */
static int column_error(const struct splitter *split, const char *at, const char *what, struct error *error) {
        return error_set(error, 0, "%s at character %zu of the value", what, (size_t)(at - split->text) + 1);
}

/* Digits of a numeric escape: exactly `count` of base 8 or 16. Returns their value or -1. */
static int digits_value(const char *at, unsigned base, size_t count) {
        static const char digits[] = "0123456789abcdef";
        unsigned value = 0;

        for (size_t i = 0; i < count; i++) {
                char lower = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] - 'A' + 'a') : at[i];
                const char *digit = lower ? memchr(digits, lower, base) : NULL;

                if (!digit)
                        return -1;
                value = value * base + (unsigned)(digit - digits);
        }
        return (int)value;
}

/* split->at stands behind the backslash. */
static int take_escape(struct splitter *split, struct error *error) {
        static const char letters[] = "abfnrstv\\\"'", meanings[] = "\a\b\f\n\r \t\v\\\"'";
        const char *letter, *start = split->at - 1;
        int value;

        if (!*split->at)
                return column_error(split, start, "a backslash with nothing behind it", error);
        letter = strchr(letters, *split->at);
        if (letter) {
                split->word[split->length++] = meanings[letter - letters];
                split->at++;
                return 0;
        }
        value = *split->at == 'x' ? digits_value(split->at + 1, 16, 2) : digits_value(split->at, 8, 3);
        if (value < 0)
                return column_error(split, start, "an escape that means nothing", error);
        split->at += 3; /* xHH or NNN */
        if (value == 0 || value > 255)
                return column_error(split, start, "an escape that no argument can hold", error);
        split->word[split->length++] = (char)value;
        return 0;
}

/* Take one word; split->at stands on its first character. */
static int take_word(struct splitter *split, struct error *error) {
        const char *opened = NULL;

        split->length = 0;
        while (*split->at && (opened || !strchr(BLANKS, *split->at))) {
                char next = *split->at++;

                if (next == '\\') {
                        if (take_escape(split, error) < 0)
                                return -1;
                } else if (opened ? next == *opened : next == '"' || next == '\'') {
                        opened = opened ? NULL : split->at - 1;
                } else {
                        split->word[split->length++] = next;
                }
        }
        if (opened)
                return column_error(split, opened, "an opened quote that is never closed, opened", error);
        split->word[split->length] = '\0';
        return 0;
}

int words_split(struct config_words *words, const char *text, struct error *error) {
        struct splitter split = {.text = text, .at = text};
        size_t count = words->count;
        int result = 0;

        /* Escapes and quotes only ever shorten a word. */
        split.word = malloc(strlen(text) + 1);
        if (!split.word)
                return error_set(error, ENOMEM, "hold a list of words");
        for (;;) {
                split.at += strspn(split.at, BLANKS);
                if (!*split.at)
                        break;
                result = take_word(&split, error);
                if (result == 0)
                        result = words_add(words, split.word, error);
                if (result < 0)
                        break;
        }
        free(split.word);
        if (result < 0)
                words_truncate(words, count);
        return result;
}
