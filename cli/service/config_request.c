/* Configuration to load request: see config_request.h. */

#include "cli/service/config_request.h"

#include <errno.h>
#include <sys/random.h>

static int count_refuse(const char *what, size_t max, struct error *error) {
        error_set(error, 0, "more than %zu %s", max, what);
        return error_status(error, EXIT_STATUS_CONFIG);
}

int config_request_make(const struct config *config, struct load_request *out, struct error *error) {
        ssize_t got;

        *out = (struct load_request){
                .deadline_ns = config->load.timeout_ns,
                .source_bytes_max = config->load.source_bytes_max,
                .scrypt_log_n_max = (unsigned)config->load.scrypt_work_factor_max,
                .environment_bytes_max = UINT64_MAX,
                .require_secret_memory = config->load.secret_memory == CONFIG_SECRET_MEMORY_REQUIRE,
                .captured_environment = -1,
        };
        if (config->source_count > LOAD_SOURCES_MAX)
                return count_refuse("sources", LOAD_SOURCES_MAX, error);
        if (config->identity_count > LOAD_KEYS_MAX)
                return count_refuse("identities", LOAD_KEYS_MAX, error);
        for (size_t i = 0; i < config->source_count; i++) {
                const struct config_source *source = &config->sources[i];

                out->sources[out->source_count++] = (struct load_source){
                        .name = source->name,
                        .uri = source->from,
                        .where = source->where,
                        .dialect = source->format || source->dialect
                                           ? document_dialect_named(source->format, source->dialect)
                                           : NULL,
                        .is_watched = source->watch,
                        .may_hold_identities = source->age_identities,
                };
        }
        for (size_t i = 0; i < config->identity_count; i++)
                out->keys[out->key_count++] = (struct load_key){
                        .spec = config->identities[i].from, .where = config->identities[i].where};
        /* The digests that leave the loader are keyed, with a key that lives as long as this process:
         * changed values can be told from equal ones, and nobody can try guesses against a digest that he
         * got hold of. */
        /* So few bytes come whole or not at all (getrandom(2)). */
        do
                got = getrandom(out->digest_key, sizeof out->digest_key, 0);
        while (got < 0 && errno == EINTR);
        if (got != (ssize_t)sizeof out->digest_key) {
                error_set(error, errno, "get random bytes for the fingerprints' key");
                return error_status(error, EXIT_STATUS_SUPERVISOR);
        }
        return load_request_check(out, error);
}
