/* The queue of facts: see facts.h. Filled by every room of the supervisor, emptied by its loop alone. */

#include "supervisor/core/facts.h"

#include <assert.h>

void facts_push(struct facts *facts, int64_t now_ns, struct fleet_event event) {
        assert(facts->count < FACTS_MAX);
        event.now_ns = now_ns;
        if (facts->count == 0)
                facts->first = 0; /* so that a quiet queue stays in its first page */
        facts->list[(facts->first + facts->count++) % FACTS_MAX] = event;
}

bool facts_take(struct facts *facts, struct fleet_event *out) {
        if (facts->count == 0)
                return false;
        *out = facts->list[facts->first];
        facts->first = (facts->first + 1) % FACTS_MAX;
        facts->count--;
        return true;
}

void facts_forget(struct facts *facts) {
        facts->count = 0;
}
