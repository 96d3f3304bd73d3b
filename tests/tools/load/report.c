/* The numbers of a load run: percentiles, silences, who answered. Called once, at the end; nothing here is
 * timed. */

#include "report.h"

#include <stdio.h>
#include <stdlib.h>

#define FAILURES_SHOWN 20 /* of each kind */

static const char *const outcome_names[OUTCOMES] = {
        "pending", "ok", "refused", "reset", "cut", "timeout", "status", "local"};

static double ms_of(int64_t ns) {
        return (double)ns / 1e6;
}

static int compare(const void *a, const void *b) {
        int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
        return (left > right) - (left < right);
}

static bool is_after_mark(const struct report *report, int64_t due_ns) {
        for (size_t i = 0; i < report->mark_count; i++)
                if (due_ns >= report->marks[i] && due_ns < report->marks[i] + report->window_ns)
                        return true;
        return false;
}

enum part { PART_ALL, PART_AFTER, PART_CALM };

/* Latency of the answered requests that are not slow. `times` has room for all of them. */
static void latency_print(const struct report *report, enum part part, const char *name, int64_t *times) {
        size_t count = 0;
        for (size_t i = 0; i < report->request_count; i++) {
                const struct request *request = &report->requests[i];
                bool is_meant =
                        part == PART_ALL || is_after_mark(report, request->due_ns) == (part == PART_AFTER);
                if (request->outcome == OUTCOME_OK && !request->is_slow && is_meant)
                        times[count++] = request->done_ns - request->due_ns;
        }
        printf("\"%s\": {\"count\": %zu", name, count);
        if (count > 0) {
                qsort(times, count, sizeof *times, compare);
                printf(", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f", ms_of(times[count / 2]),
                        ms_of(times[count * 99 / 100]), ms_of(times[count - 1]));
        }
        printf("},\n");
}

/* Between two answers: since when a request that is not slow waited, or had failed in between. */
static int64_t waiting_since(const struct report *report, int64_t before_ns, int64_t answer_ns) {
        for (size_t i = 0; i < report->request_count && report->requests[i].due_ns < answer_ns; i++) {
                const struct request *request = &report->requests[i];
                bool is_answered = request->outcome == OUTCOME_OK && request->done_ns < answer_ns;
                if (!is_answered && !request->is_slow && request->done_ns > before_ns)
                        return request->due_ns;
        }
        return answer_ns;
}

/* The longest time within [from, to) without an answer, while a request that is not slow was due and not
 * answered. */
static int64_t silence_find(
        const struct report *report, const int64_t *answers, size_t count, int64_t from_ns, int64_t to_ns) {
        int64_t longest = 0, before = from_ns;
        for (size_t i = 0; i <= count && before < to_ns; i++) {
                int64_t answer = i < count && answers[i] < to_ns ? answers[i] : to_ns;
                if (answer < from_ns)
                        continue;
                if (answer - before > longest) {
                        int64_t since = waiting_since(report, before, answer);
                        since = since > before ? since : before;
                        longest = answer - since > longest ? answer - since : longest;
                }
                before = answer;
        }
        return longest;
}

static void silences_print(const struct report *report, int64_t *answers) {
        size_t count = 0;
        for (size_t i = 0; i < report->request_count; i++)
                if (report->requests[i].outcome == OUTCOME_OK)
                        answers[count++] = report->requests[i].done_ns;
        qsort(answers, count, sizeof *answers, compare);
        int64_t begin_ns = report->begin_ns;
        int64_t end_ns =
                report->request_count > 0 ? report->requests[report->request_count - 1].due_ns : begin_ns;
        printf("\"silence_ms\": %.3f, \"silences_ms\": [",
                ms_of(silence_find(report, answers, count, begin_ns, end_ns)));
        for (size_t i = 0; i < report->mark_count; i++) {
                int64_t to_ns = i + 1 < report->mark_count ? report->marks[i + 1] : end_ns;
                printf("%s%.3f", i ? ", " : "",
                        ms_of(silence_find(report, answers, count, report->marks[i], to_ns)));
        }
        printf("],\n");
}

static void outcomes_print(const struct report *report) {
        size_t counts[OUTCOMES] = {0}, failed = 0;
        for (size_t i = 0; i < report->request_count; i++)
                counts[report->requests[i].outcome]++;
        printf("\"requests\": %zu, \"ok\": %zu, \"failed\": {", report->request_count, counts[OUTCOME_OK]);
        for (int i = REFUSED; i < OUTCOMES; i++) {
                printf("%s\"%s\": %zu", i > REFUSED ? ", " : "", outcome_names[i], counts[i]);
                failed += counts[i];
        }
        printf("}, \"failed_total\": %zu,\n\"failures\": [", failed);
        size_t shown[OUTCOMES] = {0}, all_shown = 0;
        for (size_t i = 0; i < report->request_count; i++) {
                const struct request *request = &report->requests[i];
                if (request->outcome == OUTCOME_OK || shown[request->outcome]++ >= FAILURES_SHOWN)
                        continue;
                printf("%s{\"due_ms\": %.1f, \"done_ms\": %.1f, \"what\": \"%s\"}", all_shown++ ? ", " : "",
                        ms_of(request->due_ns - report->begin_ns), ms_of(request->done_ns - report->begin_ns),
                        outcome_names[request->outcome]);
        }
        printf("],\n");
}

static void answerers_print(const struct report *report) {
        printf("\"answers\": [");
        for (size_t i = 0; i < report->answerer_count; i++) {
                const struct answerer *who = &report->answerers[i];
                printf("%s{\"generation\": %ld, \"pid\": %ld, \"label\": \"%s\", \"count\": %u, ",
                        i ? ",\n  " : "", who->generation, who->pid, who->label, who->count);
                printf("\"first_ms\": %.1f, \"last_ms\": %.1f}", ms_of(who->first_ns - report->begin_ns),
                        ms_of(who->last_ns - report->begin_ns));
        }
        printf("]}\n");
}

int report_print(const struct report *report) {
        int64_t *times = calloc(report->request_count + 1, sizeof *times);
        if (!times)
                return -1;
        printf("{");
        outcomes_print(report);
        latency_print(report, PART_ALL, "all", times);
        latency_print(report, PART_AFTER, "after", times);
        latency_print(report, PART_CALM, "calm", times);
        silences_print(report, times);
        printf("\"stall_ms\": %.3f, \"begin_ns\": %lld, \"marks\": [", ms_of(report->stall_ns),
                (long long)report->begin_ns);
        for (size_t i = 0; i < report->mark_count; i++)
                printf("%s{\"at_ms\": %.1f, \"at_ns\": %lld}", i ? ", " : "",
                        ms_of(report->marks[i] - report->begin_ns), (long long)report->marks[i]);
        printf("],\n");
        answerers_print(report);
        free(times);
        return 0;
}
