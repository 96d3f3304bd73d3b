/* Base64 as age wants it. Called by the header, armor and SSH key parsers, in the loader and the editing
 * verbs.
 *
 * Why not libsodium's: sodium_base642bin of 1.0.18 takes every byte 0x80-0xff as '/' (its tables are indexed
 * with a signed char; corrected in 1.0.22), and depending on its arguments skips NUL bytes or stops quietly
 * at the first strange one. Neither the armor nor the exact spelling of a body is always covered by a MAC, so
 * a lax decoder would let anybody rewrite a file that still opens. This one refuses whatever an encoder would
 * not have written. */

#include "secrets/age/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits of a character, or 64. Comparisons instead of a table: half of what passes here is a private
 * key. */
static unsigned base64_value(uint8_t c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A' + 0u;
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26u;
        if (c >= '0' && c <= '9')
                return c - '0' + 52u;
        if (c == '+')
                return 62;
        return c == '/' ? 63 : 64;
}

/* The length without its padding, when the padding is the right one for `form`. */
static bool base64_unpad(enum base64_form form, struct bytes text, size_t *out_length) {
        size_t length = text.length;

        if (form == BASE64_PADDED) {
                if (length % 4 != 0)
                        return false;
                if (length > 0 && text.at[length - 1] == '=')
                        length -= text.at[length - 2] == '=' ? 2 : 1;
        }
        *out_length = length;
        return length % 4 != 1;
}

bool base64_decode(enum base64_form form, struct bytes text, uint8_t *out, size_t *out_length) {
        size_t length, written = 0;
        uint32_t group = 0;
        unsigned bits = 0;

        if (!base64_unpad(form, text, &length))
                return false;
        for (size_t i = 0; i < length; i++) {
                unsigned value = base64_value(text.at[i]);

                if (value > 63)
                        return false;
                group = group << 6 | value;
                bits += 6;
                if (bits < 8)
                        continue;
                bits -= 8;
                if (out)
                        out[written] = (uint8_t)(group >> bits);
                written++;
                group &= (1u << bits) - 1;
        }
        if (group != 0) /* unused bits: another spelling of the same bytes */
                return false;
        *out_length = written;
        return true;
}

bool base64_decode_exactly(enum base64_form form, struct bytes text, uint8_t *out, size_t length) {
        size_t decoded;

        if (text.length != base64_encoded_bytes(form, length))
                return false;
        return base64_decode(form, text, out, &decoded) && decoded == length;
}

size_t base64_encode(enum base64_form form, struct bytes bytes, char *out) {
        size_t written = 0;
        uint32_t group = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < bytes.length; i++) {
                group = (group << 8 | bytes.at[i]) & 0xffff;
                for (bits += 8; bits >= 6; bits -= 6)
                        out[written++] = alphabet[group >> (bits - 6) & 63];
        }
        if (bits > 0)
                out[written++] = alphabet[group << (6 - bits) & 63];
        while (form == BASE64_PADDED && written % 4 != 0)
                out[written++] = '=';
        return written;
}
