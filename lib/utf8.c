/* UTF-8: see utf8.h. Called by the readers of documents in the loader, by the editing verbs, and by the
 * supervisor for the status that an app tells. */

#include "lib/utf8.h"

size_t utf8_character_bytes(const uint8_t *at, size_t left) {
        uint8_t low = 0x80, high = 0xbf, lead;
        size_t length;

        if (left == 0)
                return 0;
        lead = at[0];
        if (lead < 0x80)
                return 1;
        if (lead < 0xc2 || lead > 0xf4)
                return 0;
        length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (length > left)
                return 0;
        if (lead == 0xe0)
                low = 0xa0; /* less would be overlong, as below 0x90 behind 0xf0 */
        else if (lead == 0xed)
                high = 0x9f; /* more would be a surrogate */
        else if (lead == 0xf0)
                low = 0x90;
        else if (lead == 0xf4)
                high = 0x8f; /* more would be over U+10FFFF */
        for (size_t i = 1; i < length; i++) {
                if (at[i] < low || at[i] > high)
                        return 0;
                low = 0x80;
                high = 0xbf;
        }
        return length;
}

size_t utf8_valid_bytes(const uint8_t *at, size_t length) {
        size_t valid = 0, more;

        while ((more = utf8_character_bytes(at + valid, length - valid)) > 0)
                valid += more;
        return valid;
}
