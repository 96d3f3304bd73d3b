#pragma once

/* One key set as the third line of a file does, and its refusal: for the tests of values and of keys
 * together. Include it behind cmocka.h. */

#include "conf/config.h"

/* Set a key of an unnamed section. */
static inline int set_in(
        struct config *config, const char *section, const char *key, const char *value, struct error *error) {
        return config_set(config, section, NULL, key, value, "api.ini:3", 3, error);
}

/* Set in a fresh configuration and expect the message, and the hint when one is given. */
static inline void expect_refusal(
        const char *section, const char *key, const char *value, const char *text, const char *hint) {
        struct config CLEANUP_CONFIG config;
        struct error error;

        config_init(&config);
        assert_int_equal(set_in(&config, section, key, value, &error), -1);
        assert_string_equal(error.text, text);
        if (hint)
                assert_string_equal(error.hint, hint);
        assert_int_equal(error.status, EXIT_STATUS_CONFIG);
}
