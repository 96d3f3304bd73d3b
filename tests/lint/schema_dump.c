/* Print the configuration's table for the lint of the manual: one row per line, fields separated by tabs, "-"
 * for none. */

#include <stdio.h>

#include "conf/schema.h"

static const char *type_name(enum schema_type type) {
        static const char *const names[] = {[SCHEMA_TEXT] = "text",
                [SCHEMA_PATH] = "path",
                [SCHEMA_DURATION] = "duration",
                [SCHEMA_SIZE] = "size",
                [SCHEMA_BOOLEAN] = "boolean",
                [SCHEMA_NUMBER] = "number",
                [SCHEMA_ENUM] = "enum",
                [SCHEMA_WORD] = "word",
                [SCHEMA_SIGNAL] = "signal",
                [SCHEMA_MODE] = "mode",
                [SCHEMA_LIMIT] = "limit",
                [SCHEMA_PORTION] = "portion",
                [SCHEMA_SET] = "set",
                [SCHEMA_ADDRESS] = "address",
                [SCHEMA_COMMAND] = "command",
                [SCHEMA_WORDS] = "words",
                [SCHEMA_NAMES] = "names",
                [SCHEMA_SETTINGS] = "settings"};

        return names[type];
}

static void print_words(const struct schema_word *words) {
        for (; words && words->word; words++)
                printf("%s%s", words->word, words[1].word ? " " : "");
}

int main(void) {
        for (size_t i = 0; i < schema_section_count; i++)
                printf("section\t%s\t%s\n", schema_sections[i].name,
                        schema_sections[i].is_named ? "named" : "plain");
        for (size_t i = 0; i < schema_row_count; i++) {
                const struct schema_row *row = &schema_rows[i];

                printf("row\t%s\t%s\t%s\t%s\t%s\t%u\t", row->section, row->key, type_name(row->type),
                        row->default_text ? row->default_text : "-", row->option ? row->option : "-",
                        row->places);
                print_words(row->words);
                printf("\n");
        }
        return 0;
}
