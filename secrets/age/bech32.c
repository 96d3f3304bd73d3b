/* Keys as text. Called for identities (secret) and recipients, in the loader and the editing verbs.
 *
 * Refused: a separator that is missing or first, mixed case, characters outside the alphabet, a wrong
 * checksum, more than four left-over bits or any that is not zero, data that does not fit. Nothing is copied
 * but into `out`: the checksum runs over the characters as they come. */

#include "secrets/age/bech32.h"

#include <assert.h>
#include <string.h>

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static char character_lower(uint8_t c) {
        return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* The five bits of a lower-case character, or 32. */
static unsigned bech32_value(char c) {
        unsigned found = 32;

        for (unsigned i = 0; i < sizeof alphabet - 1; i++)
                if (alphabet[i] == c)
                        found = i;
        return found;
}

/* One step of the checksum: a BCH code over GF(32) (BIP 173, "Checksum"). */
static uint32_t polymod_step(uint32_t sum, unsigned value) {
        static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
        uint32_t top = sum >> 25;

        sum = (sum & 0x1ffffff) << 5 ^ value;
        for (unsigned i = 0; i < 5; i++)
                if (top >> i & 1)
                        sum ^= generator[i];
        return sum;
}

static uint32_t polymod_prefix(struct bytes prefix) {
        uint32_t sum = 1;

        for (size_t i = 0; i < prefix.length; i++)
                sum = polymod_step(sum, (uint8_t)character_lower(prefix.at[i]) >> 5);
        sum = polymod_step(sum, 0);
        for (size_t i = 0; i < prefix.length; i++)
                sum = polymod_step(sum, (uint8_t)character_lower(prefix.at[i]) & 31);
        return sum;
}

/* Printable and of one case throughout; finds the separator. */
static int bech32_shape(struct bytes text, size_t *out_separator, struct error *error) {
        bool has_lower = false, has_upper = false, has_separator = false;

        for (size_t i = 0; i < text.length; i++) {
                uint8_t c = text.at[i];

                if (c < 0x21 || c > 0x7e)
                        return error_set(error, 0, "column %zu: not a printable character", i + 1);
                has_lower |= c >= 'a' && c <= 'z';
                has_upper |= c >= 'A' && c <= 'Z';
                if (has_lower && has_upper)
                        return error_set(error, 0, "column %zu: upper and lower case are mixed", i + 1);
                if (c == '1') {
                        has_separator = true;
                        *out_separator = i;
                }
        }
        if (!has_separator || *out_separator == 0)
                return error_set(error, 0, "not a key: there is no prefix with a '1' behind it");
        if (text.length - *out_separator - 1 < BECH32_CHECKSUM_CHARACTERS)
                return error_set(error, 0, "too short for a key: it ends at column %zu", text.length);
        return 0;
}

/* Eight bits out of five at a time. */
static int bech32_regroup(
        struct bytes data, uint8_t *out, size_t room, size_t *out_length, struct error *error) {
        size_t written = 0;
        uint32_t group = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < data.length; i++) {
                group = (group << 5 | bech32_value(character_lower(data.at[i]))) & 0xfff;
                bits += 5;
                if (bits < 8)
                        continue;
                bits -= 8;
                if (written == room)
                        return error_set(error, 0, "longer than such a key is");
                out[written++] = (uint8_t)(group >> bits);
        }
        if (bits > 4 || (group & ((1u << bits) - 1)) != 0)
                return error_set(error, 0, "not a canonical key: its last bits are not zero");
        *out_length = written;
        return 0;
}

int bech32_decode(struct bytes text, size_t *out_prefix_length, uint8_t *out, size_t room, size_t *out_length,
        struct error *error) {
        size_t separator = 0, first;
        uint32_t sum;

        if (bech32_shape(text, &separator, error) < 0)
                return -1;
        first = separator + 1;
        sum = polymod_prefix((struct bytes){text.at, separator});
        for (size_t i = first; i < text.length; i++) {
                unsigned value = bech32_value(character_lower(text.at[i]));

                if (value > 31)
                        return error_set(error, 0, "column %zu: not a character of a key", i + 1);
                sum = polymod_step(sum, value);
        }
        if (sum != 1)
                return error_set(error, 0, "the checksum is wrong: the key is mistyped or cut");
        if (bech32_regroup((struct bytes){text.at + first, text.length - first - BECH32_CHECKSUM_CHARACTERS},
                    out, room, out_length, error) < 0)
                return -1;
        *out_prefix_length = separator;
        return 0;
}

size_t bech32_encoded_bytes(const char *prefix, size_t length) {
        return strlen(prefix) + 1 + (length * 8 + 4) / 5 + BECH32_CHECKSUM_CHARACTERS;
}

void bech32_encode(const char *prefix, struct bytes bytes, bool is_upper, char *out) {
        size_t written = strlen(prefix), expected = bech32_encoded_bytes(prefix, bytes.length);
        uint32_t sum = polymod_prefix((struct bytes){(const uint8_t *)prefix, written}), group = 0;
        unsigned bits = 0;

        memcpy(out, prefix, written);
        out[written++] = '1';
        for (size_t i = 0; i < bytes.length; i++) {
                group = (group << 8 | bytes.at[i]) & 0xfff;
                for (bits += 8; bits >= 5; bits -= 5) {
                        unsigned value = group >> (bits - 5) & 31;

                        sum = polymod_step(sum, value);
                        out[written++] = alphabet[value];
                }
        }
        if (bits > 0) {
                sum = polymod_step(sum, group << (5 - bits) & 31);
                out[written++] = alphabet[group << (5 - bits) & 31];
        }
        for (unsigned i = 0; i < BECH32_CHECKSUM_CHARACTERS; i++)
                sum = polymod_step(sum, 0);
        sum ^= 1;
        for (unsigned i = 0; i < BECH32_CHECKSUM_CHARACTERS; i++)
                out[written++] = alphabet[sum >> 5 * (5 - i) & 31];
        assert(written == expected);
        for (size_t i = 0; is_upper && i < written; i++)
                if (out[i] >= 'a' && out[i] <= 'z')
                        out[i] = (char)(out[i] - 'a' + 'A');
}
