/* Identity files and recipients files. A message never repeats what stood in the file: no word of it that is
 * as long as a part of a key may be may appear there. */

#include <string.h>

#include "secrets/age/age.h"
#include "tests/fuzz/fuzz.h"

static const struct age_limits limits = {64 * 1024, 5, 1 << 24};

static void message_is_clean(const struct error *error, const uint8_t *data, size_t size) {
        HOLDS(error->text[0] != '\0');
        for (size_t start = 0, i = 0; i <= size; i++) {
                char word[64];

                if (i < size && data[i] > ' ' && data[i] < 0x7f)
                        continue;
                if (i - start >= 24 && i - start < sizeof word) {
                        memcpy(word, data + start, i - start);
                        word[i - start] = '\0';
                        HOLDS(!strstr(error->text, word));
                }
                start = i + 1;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct arena arena;
        static struct age_keys keys;
        static struct age_recipients recipients;
        struct error error = {0};
        char text[AGE_RECIPIENT_TEXT_BYTES];
        uint8_t fingerprint[32];

        if (!arena.at)
                HOLDS(arena_init(&arena, 1024 * 1024, &error) == 0);
        keys.count = recipients.count = 0;
        if (age_keys_add(&keys, &(struct age_input){(struct bytes){data, size}, "KEYS", &limits, &arena},
                    &error) == 0) {
                HOLDS(keys.count > 0 && age_fingerprint_key(&keys, fingerprint));
                /* What can be used as a key is known for one wherever it stands. */
                HOLDS(data[0] == '-' || age_text_has_identity((struct bytes){data, size}));
                for (size_t n = 0; n < keys.count; n++)
                        (void)age_key_recipient(&keys, n, text);
                HOLDS(age_recipients_add_keys(&recipients, &keys, &arena, &error) == 0);
                HOLDS(recipients.count > 0 && recipients.count <= keys.count);
        } else {
                (void)age_text_has_identity((struct bytes){data, size});
                HOLDS(keys.count == 0 && arena.used == 0);
                message_is_clean(&error, data, size);
        }
        recipients.count = 0;
        arena_release(&arena, 0);
        if (age_recipients_add_file(&recipients, (struct bytes){data, size}, "RECIPIENTS", &arena, &error) <
                0) {
                HOLDS(recipients.count == 0 && arena.used == 0);
                message_is_clean(&error, data, size);
        }
        arena_release(&arena, 0);
        return 0;
}
