/* What a row takes, in words: for messages, help and usage. See schema.h. Pure. */

#include <stdio.h>

#include "conf/schema.h"
#include "lib/duration.h"

/* Write the words of an enum that can be had: "a, b or c" with separators ", " and " or ". */
static void words_join(
        const struct schema_word *words, const char *between, const char *last, char *out, size_t room) {
        size_t length = 0, left = 0;

        for (const struct schema_word *word = words; word->word; word++)
                left += !word->refusal;
        out[0] = '\0';
        for (; words->word && length + 56 < room; words++) {
                if (words->refusal)
                        continue;
                left--;
                length += (size_t)snprintf(out + length, room - length, "%s%s", words->word,
                        left == 0   ? ""
                        : left == 1 ? last
                                    : between);
        }
}

const char *schema_accepts(const struct schema_row *row, char out[static 256]) {
        switch (row->type) {
        case SCHEMA_TEXT:
                return "a text that is not empty";
        case SCHEMA_PATH:
                return "a path";
        case SCHEMA_DURATION:
                return row->maximum == NS_FOREVER ? "a duration such as 500ms, 30s, 5m, 1h30m, or infinity"
                                                  : "a duration such as 500ms, 30s, 5m or 1h30m";
        case SCHEMA_SIZE:
                return "a size in bytes such as 65536, 64K, 8M or 1G";
        case SCHEMA_BOOLEAN:
                return "yes or no";
        case SCHEMA_NUMBER:
                snprintf(out, 256, "a number from %lld to %lld", (long long)row->minimum,
                        (long long)row->maximum);
                return out;
        case SCHEMA_ENUM:
        case SCHEMA_WORD:
                words_join(row->words, ", ", " or ", out, 256);
                return out;
        case SCHEMA_SIGNAL:
                return row->minimum == 0 ? "a signal such as TERM, INT, RTMIN+3 or 15, or none"
                                         : "a signal such as TERM, INT, RTMIN+3 or 15";
        case SCHEMA_MODE:
                return "an octal number such as 022 or 0660";
        case SCHEMA_LIMIT:
                return "SOFT or SOFT:HARD, each a number, a size such as 64M, or infinity";
        case SCHEMA_PORTION:
                if (row->maximum == 0)
                        return "a share such as 10%, from 0% to 100%";
                snprintf(out, 256, "a number from %lld to %lld, or a share from 0%% to 100%%",
                        (long long)row->minimum, (long long)row->maximum);
                return out;
        case SCHEMA_SET:
                snprintf(out, 256, "one or more of ");
                words_join(row->words, ", ", " and ", out + strlen(out), 256 - strlen(out));
                return out;
        case SCHEMA_ADDRESS:
                return "an address such as 8080, 127.0.0.1:8080, [::1]:8080 or /run/app.sock";
        case SCHEMA_COMMAND:
                return "a command: words with \"...\", '...' and \\ as quotes";
        case SCHEMA_WORDS:
                return "words with blanks between them";
        case SCHEMA_NAMES:
                return "variable names with blanks between them, each NAME or PREFIX*";
        case SCHEMA_SETTINGS:
                return "NAME=VALUE, quoted when it holds blanks";
        }
        return "";
}

const char *schema_argument(const struct schema_row *row, char out[static 256]) {
        switch (row->type) {
        case SCHEMA_TEXT:
                return "NAME";
        case SCHEMA_PATH:
                return "PATH";
        case SCHEMA_DURATION:
                return "DURATION";
        case SCHEMA_SIZE:
                return "SIZE";
        case SCHEMA_BOOLEAN:
                return NULL;
        case SCHEMA_NUMBER:
                return "N";
        case SCHEMA_ENUM:
        case SCHEMA_WORD:
                words_join(row->words, "|", "|", out, 256);
                return out;
        case SCHEMA_SIGNAL:
                return "SIGNAL";
        case SCHEMA_MODE:
                return "MASK";
        case SCHEMA_LIMIT:
                return "SOFT[:HARD]";
        case SCHEMA_PORTION:
                return row->maximum == 0 ? "N%" : "N|N%";
        case SCHEMA_SET:
                words_join(row->words, ",", ",", out, 256);
                return out;
        case SCHEMA_ADDRESS:
                return "ADDRESS";
        case SCHEMA_COMMAND:
                return "COMMAND";
        case SCHEMA_WORDS:
        case SCHEMA_NAMES:
                return "NAMES";
        case SCHEMA_SETTINGS:
                return "NAME=VALUE";
        }
        return "";
}
