#pragma once

/* What keys and recipients look like as text, and what may stand together. Inside secrets/age only. */

#include "lib/bytes.h"
#include "lib/error.h"
#include "secrets/age/age.h"

#define IDENTITY_PREFIX         "age-secret-key-" /* written in upper case */
#define RECIPIENT_PREFIX        "age"
#define HYBRID_IDENTITY_PREFIX  "age-secret-key-pq-"
#define HYBRID_RECIPIENT_PREFIX "age1pq"

/* Take a line without LF or CRLF; false at the end. `line` counts from 1 with each call. */
bool key_text_line(struct bytes *rest, struct bytes *out, size_t *line);

/* True when the text begins with `prefix`, byte for byte. */
bool key_text_begins(struct bytes bytes, const char *prefix);

/* An X25519 public key as `age1...` with its NUL. */
void recipient_format(const uint8_t public_key[static 32], char out[static AGE_RECIPIENT_TEXT_BYTES]);

/* The same recipient, whatever it was made from; passphrases are never the same. */
bool recipient_is_same(const struct age_recipient *a, const struct age_recipient *b);

/* The recipient of one key, which is no passphrase. */
int recipient_of_key(
        struct age_key *key, struct age_recipient *out, struct arena *arena, struct error *error);

/* A passphrase stands alone; hybrid keys do not mix with others. */
int age_recipients_check(const struct age_recipients *recipients, struct error *error);
