#pragma once

/* Splitting a line into words as systemd.syntax(7) and systemd.service(5) do, without their variables and
 * specifiers. */

#include "conf/config.h"
#include "lib/error.h"

/* Split `text` and append to `words`. Blanks separate; "..." and '...' hold blanks and may stand in the
 * middle of a word; a backslash, in quotes or not, begins \a \b \f \n \r \s (space) \t \v \\ \" \' \xHH or
 * \NNN (octal). `$`, `%` (see conf/expand.h), `;`, `*` and all other characters are themselves. An unknown
 * escape, a NUL, an open quote are errors. Returns 0, or -1 with error (which says the column, never a word)
 * and `words` as it was. */
int words_split(struct config_words *words, const char *text, struct error *error);

/* Append a copy of one word, as it is. Returns 0, or -1 with error (CONFIG_WORDS_MAX, or no memory) and
 * `words` as it was. */
int words_add(struct config_words *words, const char *word, struct error *error);

/* Cut the list back to its first `count` words; the room is kept. */
void words_truncate(struct config_words *words, size_t count);

/* Free all. Idempotent; safe on a zeroed struct. */
void words_deinit(struct config_words *words);
