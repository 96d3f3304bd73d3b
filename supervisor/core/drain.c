/* Who still waits for an answer: see drain.h. Called for an instance that gets no new connection any more, in
 * the supervisor.
 *
 * The counters of a connection tell who spoke last. A request runs when the client did, or when bytes wait to
 * be read or sent. Both ages count in the kernel's ticks (4 ms at HZ 250): a request that came in the tick of
 * the last answer looks like none, so such a tie is given a second. What looks answered need not be: TLS 1.3
 * sends tickets and HTTP/2 an acknowledgement of settings after the request has come, a server may send the
 * head of its answer long before the rest. Only time helps there (settle). */

#include <string.h>

#include "lib/duration.h"
#include "supervisor/core/drain.h"

#define TIE_MS        1000
#define FRESH_MS      200 /* connected and silent: a request may be on its way */
#define MAYBE_MAX_NS  (1 * NS_PER_S)
#define STREAM_GAPS   3
#define STREAM_MIN_NS (100 * NS_PER_MS)
#define STREAM_MAX_NS (2 * NS_PER_S)
#define CHURN_WAIT_NS (500 * NS_PER_MS)
#define CHURN_MAX_NS  (1 * NS_PER_S)

#define CUT_AGE_MAX_NS (600 * NS_PER_S) /* what has waited for longer is half a request, or forgotten */

void drain_begin(struct drain *drain, const struct drain_settings *settings, int64_t now_ns) {
        drain->settings = *settings;
        drain->began_ns = drain->now_ns = now_ns;
        drain->looks = 0;
        drain->count = 0;
        drain->busy = drain->maybe = drain->streams = drain->awaited = 0;
        drain->busy_first = 0;
        drain->busy_fewest = SIZE_MAX;
        drain->churn_ns = NS_FOREVER;
}

void drain_look_begin(struct drain *drain, int64_t now_ns) {
        drain->now_ns = now_ns;
        drain->busy = drain->maybe = drain->streams = drain->awaited = 0;
        for (size_t i = 0; i < drain->count; i++)
                drain->connections[i].is_seen = false;
}

void drain_look_resume(struct drain *drain, int64_t now_ns) {
        drain->now_ns = now_ns;
}

static struct drain_connection *connection_find(struct drain *drain, uint64_t cookie) {
        for (size_t i = 0; i < drain->count; i++)
                if (drain->connections[i].cookie == cookie)
                        return &drain->connections[i];
        return NULL;
}

static int64_t elapsed_ns(const struct drain *drain) {
        return drain->now_ns - drain->began_ns;
}

/* Had what was received last been there for so long at the first look already? */
static bool is_older(const struct drain *drain, const struct drain_sample *sample, int64_t limit_ns) {
        const int64_t age_ns = (int64_t)sample->received_ago_ms * NS_PER_MS - elapsed_ns(drain);

        return age_ns > limit_ns;
}

/* Does a request run, by this look alone? */
static bool is_requesting(const struct drain *drain, const struct drain_sample *sample) {
        const uint32_t end =
                sample->is_half_closed && sample->unread_bytes > 0; /* the FIN is counted as a byte */

        if (sample->unsent_bytes > 0)
                return true;
        if (is_older(drain, sample, drain->settings.timeout_ns))
                return false;
        return sample->unread_bytes > end ||
               (sample->received_bytes > 0 &&
                       (sample->sent_bytes == 0 || sample->received_ago_ms < sample->sent_ago_ms));
}

/* The last request and the last answer are of one tick, and no acknowledgement says which came later. */
static bool is_tied(const struct drain_sample *sample) {
        return sample->received_bytes > 0 && sample->received_ago_ms == sample->sent_ago_ms &&
               sample->acknowledged_ago_ms >= sample->received_ago_ms && sample->received_ago_ms < TIE_MS;
}

static bool is_fresh(const struct drain_sample *sample) {
        return sample->received_bytes == 0 && sample->sent_bytes == 0 && sample->received_ago_ms < FRESH_MS;
}

static bool is_recent(const struct drain *drain, const struct drain_sample *sample) {
        return sample->sent_bytes > 0 &&
               (int64_t)sample->sent_ago_ms * NS_PER_MS < drain->settings.settle_ns &&
               elapsed_ns(drain) < drain->settings.settle_ns;
}

/* Answers without a question: three times the pause between the last two is what the next one gets. */
static void stream_note(const struct drain *drain, struct drain_connection *known,
        const struct drain_sample *sample, int64_t sent_ns) {
        int64_t pause_ns = STREAM_GAPS * (sent_ns - known->sent_ns);

        if (known->was_busy || sample->sent_bytes <= known->sent_bytes ||
                sample->received_bytes != known->received_bytes)
                return;
        if (pause_ns < STREAM_MIN_NS)
                pause_ns = STREAM_MIN_NS;
        if (pause_ns > STREAM_MAX_NS)
                pause_ns = STREAM_MAX_NS;
        known->stream_until_ns = drain->now_ns + pause_ns;
}

static void connection_remember(struct drain *drain, struct drain_connection *known,
        const struct drain_sample *sample, bool is_busy) {
        const int64_t sent_ns = drain->now_ns - (int64_t)sample->sent_ago_ms * NS_PER_MS;

        if (sample->received_bytes != known->received_bytes || !is_busy)
                known->is_awaited = false;
        known->received_bytes = sample->received_bytes;
        known->sent_bytes = sample->sent_bytes;
        known->sent_ns = sent_ns;
        known->was_busy = is_busy || is_tied(sample);
        known->is_seen = true;
}

static struct drain_connection *connection_add(
        struct drain *drain, const struct drain_sample *sample, bool is_busy) {
        struct drain_connection *known;

        if (drain->count == DRAIN_CONNECTIONS_MAX)
                return NULL;
        known = &drain->connections[drain->count++];
        *known = (struct drain_connection){.cookie = sample->cookie,
                .received_bytes = sample->received_bytes,
                .is_awaited = drain->looks == 0 && is_busy};
        return known;
}

static enum drain_verdict sample_judge(
        const struct drain *drain, const struct drain_connection *known, const struct drain_sample *sample) {
        if (is_requesting(drain, sample) || (known && known->stream_until_ns > drain->now_ns))
                return DRAIN_BUSY;
        return is_tied(sample) || is_fresh(sample) || is_recent(drain, sample) ? DRAIN_MAYBE : DRAIN_IDLE;
}

enum drain_verdict drain_look_add(struct drain *drain, const struct drain_sample *sample) {
        enum drain_verdict verdict;
        const bool is_busy = is_requesting(drain, sample);
        struct drain_connection *known = connection_find(drain, sample->cookie);

        if (known)
                stream_note(drain, known, sample, drain->now_ns - (int64_t)sample->sent_ago_ms * NS_PER_MS);
        else
                known = connection_add(drain, sample, is_busy);
        verdict = sample_judge(drain, known, sample);
        switch (verdict) {
        case DRAIN_IDLE:
                break;
        case DRAIN_MAYBE:
                drain->maybe++;
                break;
        case DRAIN_BUSY:
                drain->busy++;
                break;
        }
        if (!known)
                return verdict;
        connection_remember(drain, known, sample, is_busy);
        drain->streams += known->stream_until_ns > drain->now_ns;
        drain->awaited += known->is_awaited;
        return verdict;
}

/* One that has ended makes room. */
static void connections_forget(struct drain *drain) {
        for (size_t i = drain->count; i-- > 0;)
                if (!drain->connections[i].is_seen)
                        drain->connections[i] = drain->connections[--drain->count];
}

/* Clients that reuse their connections ask again and again: there may never be a moment without a request.
 * When those of the first look are over, the moment with the fewest is taken. */
static bool has_churned(struct drain *drain) {
        int64_t since_ns;

        if (drain->awaited > 0 || drain->streams > 0 || elapsed_ns(drain) < drain->settings.settle_ns ||
                elapsed_ns(drain) < MAYBE_MAX_NS) {
                drain->churn_ns = NS_FOREVER;
                return false;
        }
        if (drain->churn_ns == NS_FOREVER) {
                drain->churn_ns = drain->now_ns;
                drain->busy_fewest = SIZE_MAX;
        }
        since_ns = drain->now_ns - drain->churn_ns;
        if (since_ns >= CHURN_MAX_NS || (since_ns >= CHURN_WAIT_NS && drain->busy <= drain->busy_fewest))
                return true;
        if (drain->busy < drain->busy_fewest)
                drain->busy_fewest = drain->busy;
        return false;
}

bool drain_look_end(struct drain *drain) {
        connections_forget(drain);
        if (drain->looks++ == 0)
                drain->busy_first = drain->busy;
        if (drain->busy == 0 && (drain->maybe == 0 || elapsed_ns(drain) >= MAYBE_MAX_NS))
                return true;
        return has_churned(drain);
}

bool drain_is_unanswered(const struct drain *drain, const struct drain_sample *sample) {
        if (is_older(drain, sample, CUT_AGE_MAX_NS))
                return false;
        /* The client's FIN is counted as a byte. */
        return sample->sent_bytes == 0
                       ? sample->received_bytes > 1
                       : sample->received_bytes > 0 && sample->received_ago_ms < sample->sent_ago_ms;
}

bool drain_is_cut(struct drain *drain, const struct drain_sample *sample, int64_t now_ns) {
        struct drain_connection *known = connection_find(drain, sample->cookie);

        if (!known)
                return false;
        *known = drain->connections[--drain->count];
        drain->now_ns = now_ns;
        return drain_is_unanswered(drain, sample);
}

bool drain_knows(const struct drain *drain, uint64_t cookie) {
        for (size_t i = 0; i < drain->count; i++)
                if (drain->connections[i].cookie == cookie)
                        return true;
        return false;
}
