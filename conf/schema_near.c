/* What somebody who has mistyped a word of the configuration has probably meant: see schema.h. Pure. */

#include "conf/schema.h"

#include <string.h>

#include "lib/bytes.h"

/* A suggestion may be wrong in a third of its letters, at most three: beyond that it only confuses. */
struct nearest {
        const char *word;
        const char *section;
        unsigned distance;
};

static struct nearest nearest_start(const char *word) {
        unsigned third = (unsigned)((strlen(word) + 2) / 3);

        return (struct nearest){.distance = (third < 3 ? third : 3) + 1};
}

static void nearest_offer(
        struct nearest *nearest, const char *written, const char *candidate, const char *section) {
        unsigned distance = text_distance(written, candidate, nearest->distance);

        if (distance >= nearest->distance)
                return;
        *nearest = (struct nearest){candidate, section, distance};
}

const char *schema_near_section(const char *name) {
        struct nearest nearest = nearest_start(name);

        for (size_t i = 0; i < schema_section_count; i++)
                nearest_offer(&nearest, name, schema_sections[i].name, NULL);
        return nearest.word;
}

const char *schema_near_key(const char *section, const char *key, const char **out_section) {
        struct nearest nearest = nearest_start(key);

        for (size_t i = 0; i < schema_row_count; i++) /* the own section first: it wins a draw */
                if (strcmp(schema_rows[i].section, section) == 0)
                        nearest_offer(&nearest, key, schema_rows[i].key, schema_rows[i].section);
        for (size_t i = 0; i < schema_row_count; i++)
                if (strcmp(schema_rows[i].section, section) != 0)
                        nearest_offer(&nearest, key, schema_rows[i].key, schema_rows[i].section);
        if (nearest.word)
                *out_section = nearest.section;
        return nearest.word;
}

const char *schema_near_option(const char *option) {
        struct nearest nearest = nearest_start(option);

        for (size_t i = 0; i < schema_row_count; i++)
                if (schema_rows[i].option)
                        nearest_offer(&nearest, option, schema_rows[i].option, NULL);
        return nearest.word;
}

const char *schema_near_word(const struct schema_word *words, const char *word) {
        struct nearest nearest = nearest_start(word);

        for (; words->word; words++)
                if (!words->refusal)
                        nearest_offer(&nearest, word, words->word, NULL);
        return nearest.word;
}
