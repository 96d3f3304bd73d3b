/* Scalar values: see value.h.
 *
 * Runs in the supervisor and in `tacet check`, before anything is started. Nothing is rounded, clamped or
 * guessed: a value either is what the manual says or the error says what would be. The text of a scalar is
 * quoted in the message (it is a number or a word of ours); texts, commands and settings never are, somebody
 * may have put a secret there. */

#include "conf/value.h"

#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/duration.h"
#include "lib/signals.h"

#define QUOTED_MAX 40 /* characters of a wrong value that a message repeats */

static int refuse(const struct schema_row *row, const char *text, struct error *error) {
        char accepts[256];

        error_set(error, 0, "%s = %.*s%s is not %s", row->key, QUOTED_MAX, text,
                strlen(text) > QUOTED_MAX ? "..." : "", schema_accepts(row, accepts));
        return -1;
}

static int refuse_range(const struct schema_row *row, const char *text, const char *low, const char *high,
        struct error *error) {
        return error_set(error, 0, "%s = %.*s is out of range: it may be %s to %s", row->key, QUOTED_MAX,
                text, low, high);
}

static int parse_duration(const struct schema_row *row, const char *text, int64_t *out, struct error *error) {
        char low[32], high[32];
        int64_t value;

        if (!duration_parse(text, &value)) {
                refuse(row, text, error);
                return error_hint(
                        error, "the units are us, ms, s, m (or min), h, d and w; a number alone is seconds");
        }
        if (value < row->minimum || value > row->maximum)
                return refuse_range(row, text, duration_format(row->minimum, low),
                        duration_format(row->maximum, high), error);
        *out = value;
        return 0;
}

static int parse_size(const struct schema_row *row, const char *text, uint64_t *out, struct error *error) {
        char low[32], high[32];
        uint64_t value;

        if (!size_parse(text, &value)) {
                refuse(row, text, error);
                return error_hint(
                        error, "the units are K, M and G (powers of 1024); a number alone is bytes");
        }
        if (value < (uint64_t)row->minimum || value > (uint64_t)row->maximum) {
                snprintf(low, sizeof low, "%lld", (long long)row->minimum);
                snprintf(high, sizeof high, "%lld bytes", (long long)row->maximum);
                return refuse_range(row, text, low, high, error);
        }
        *out = value;
        return 0;
}

static int parse_boolean(const struct schema_row *row, const char *text, bool *out, struct error *error) {
        static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
                if (strcmp(text, words[i]) == 0) {
                        *out = i % 2 == 1;
                        return 0;
                }
        return refuse(row, text, error);
}

static int parse_number(const struct schema_row *row, const char *text, int32_t *out, struct error *error) {
        uint64_t value;

        if (!text_to_u64(text, &value) || value < (uint64_t)row->minimum || value > (uint64_t)row->maximum)
                return refuse(row, text, error);
        *out = (int32_t)value;
        return 0;
}

/* The word of the row's list; NULL with error. */
static const struct schema_word *word_find(
        const struct schema_row *row, const char *text, struct error *error) {
        const struct schema_word *word = row->words;
        const char *near;

        while (word->word && strcmp(word->word, text) != 0)
                word++;
        if (word->word && !word->refusal)
                return word;
        if (word->word) {
                char accepts[256];

                error_set(error, 0, "%s = %s %s", row->key, text, word->refusal);
                error_hint(error, "use %s", schema_accepts(row, accepts));
                return NULL;
        }
        refuse(row, text, error);
        near = schema_near_word(row->words, text);
        if (near)
                error_hint(error, "did you mean '%s'?", near);
        return NULL;
}

static int parse_enum(const struct schema_row *row, const char *text, unsigned *out, struct error *error) {
        const struct schema_word *word = word_find(row, text, error);

        if (!word)
                return -1;
        *out = word->value;
        return 0;
}

static int parse_word(const struct schema_row *row, const char *text, const char **out, struct error *error) {
        const struct schema_word *word = word_find(row, text, error);

        if (!word)
                return -1;
        *out = word->word;
        return 0;
}

static int parse_signal(const struct schema_row *row, const char *text, int32_t *out, struct error *error) {
        int number = signal_parse(text);

        if (number == 0 && !(row->minimum == 0 && strcmp(text, "none") == 0))
                return refuse(row, text, error);
        *out = number;
        return 0;
}

static int parse_mode(const struct schema_row *row, const char *text, int32_t *out, struct error *error) {
        int32_t value = 0;

        /* Octal as chmod(1) reads it, with or without a zero in front; set-user-ID and its like are no
         * part of a mask. */
        if (!*text || strlen(text) > 4 || strspn(text, "01234567") != strlen(text))
                return refuse(row, text, error);
        for (; *text; text++)
                value = value * 8 + (*text - '0');
        if (value > 0777)
                return error_set(
                        error, 0, "%s = %o is out of range: it may be 000 to 777", row->key, (unsigned)value);
        *out = value;
        return 0;
}

static int parse_limit(
        const struct schema_row *row, const char *text, struct config_limit *out, struct error *error) {
        const char *colon = strchr(text, ':');
        struct config_limit limit = {.is_set = true};
        char soft[32] = "";

        if (colon && (size_t)(colon - text) >= sizeof soft)
                return refuse(row, text, error);
        if (colon) {
                memcpy(soft, text, (size_t)(colon - text));
                soft[colon - text] = '\0';
        }
        if (!size_parse(colon ? soft : text, &limit.soft) ||
                !size_parse(colon ? colon + 1 : text, &limit.hard))
                return refuse(row, text, error);
        /* setrlimit(2) would refuse it in the shim, at every start of the app. */
        if (limit.soft > limit.hard)
                return error_set(error, 0, "%s = %.*s has a soft limit above the hard one", row->key,
                        QUOTED_MAX, text);
        *out = limit;
        return 0;
}

static int parse_portion(
        const struct schema_row *row, const char *text, struct config_portion *out, struct error *error) {
        size_t length = strlen(text);
        bool is_percent = length > 0 && text[length - 1] == '%';
        uint64_t value, maximum = is_percent ? 100 : (uint64_t)row->maximum;

        if (!bytes_to_u64(text, is_percent ? length - 1 : length, &value) || value > maximum ||
                (!is_percent && (value < (uint64_t)row->minimum || row->maximum == 0)))
                return refuse(row, text, error);
        *out = (struct config_portion){.is_set = true, .is_percent = is_percent, .value = (uint32_t)value};
        return 0;
}

/* Words of a table with commas or blanks between them. */
static int parse_set(const struct schema_row *row, const char *text, uint32_t *out, struct error *error) {
        static const char separators[] = ", \t";
        uint32_t bits = 0;

        for (const char *at = text + strspn(text, separators); *at; at += strspn(at, separators)) {
                size_t length = strcspn(at, separators);
                const struct schema_word *word = row->words;

                while (word->word && (strlen(word->word) != length || strncmp(word->word, at, length) != 0))
                        word++;
                if (!word->word)
                        return refuse(row, text, error);
                bits |= word->value;
                at += length;
        }
        if (!bits)
                return refuse(row, text, error);
        *out = bits;
        return 0;
}

static int parse_address(
        const struct schema_row *row, const char *text, struct socket_address *out, struct error *error) {
        return socket_address_parse(text, out, error) < 0 ? error_wrap(error, "%s", row->key) : 0;
}

bool value_is_scalar(enum schema_type type) {
        switch (type) {
        case SCHEMA_DURATION:
        case SCHEMA_SIZE:
        case SCHEMA_BOOLEAN:
        case SCHEMA_NUMBER:
        case SCHEMA_ENUM:
        case SCHEMA_WORD:
        case SCHEMA_SIGNAL:
        case SCHEMA_MODE:
        case SCHEMA_LIMIT:
        case SCHEMA_PORTION:
        case SCHEMA_SET:
        case SCHEMA_ADDRESS:
                return true;
        case SCHEMA_TEXT:
        case SCHEMA_PATH:
        case SCHEMA_COMMAND:
        case SCHEMA_WORDS:
        case SCHEMA_NAMES:
        case SCHEMA_SETTINGS:
                return false;
        }
        return false;
}

int value_parse(const struct schema_row *row, const char *text, void *out, struct error *error) {
        switch (row->type) {
        case SCHEMA_DURATION:
                return parse_duration(row, text, out, error);
        case SCHEMA_SIZE:
                return parse_size(row, text, out, error);
        case SCHEMA_BOOLEAN:
                return parse_boolean(row, text, out, error);
        case SCHEMA_NUMBER:
                return parse_number(row, text, out, error);
        case SCHEMA_ENUM:
                return parse_enum(row, text, out, error);
        case SCHEMA_WORD:
                return parse_word(row, text, out, error);
        case SCHEMA_SIGNAL:
                return parse_signal(row, text, out, error);
        case SCHEMA_MODE:
                return parse_mode(row, text, out, error);
        case SCHEMA_LIMIT:
                return parse_limit(row, text, out, error);
        case SCHEMA_PORTION:
                return parse_portion(row, text, out, error);
        case SCHEMA_SET:
                return parse_set(row, text, out, error);
        case SCHEMA_ADDRESS:
                return parse_address(row, text, out, error);
        case SCHEMA_TEXT:
        case SCHEMA_PATH:
        case SCHEMA_COMMAND:
        case SCHEMA_WORDS:
        case SCHEMA_NAMES:
        case SCHEMA_SETTINGS:
                break;
        }
        return error_set(error, 0, "%s is not a scalar", row->key);
}

/* The bytes of a variable's name at the start of `word`, as the shell has them; 0 when none begins there. */
static size_t name_length(const char *word) {
        size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

        return *word >= '0' && *word <= '9' ? 0 : length;
}

bool value_is_setting(const char *word) {
        size_t length = name_length(word);

        return length > 0 && word[length] == '=';
}

bool value_is_name_pattern(const char *word) {
        size_t length = name_length(word);

        return length > 0 && (!word[length] || (word[length] == '*' && !word[length + 1]));
}
