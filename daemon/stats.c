/* SPDX-License-Identifier: MIT */
/* stats.c - see stats.h. */
#include "daemon/stats.h"

#include <jansson.h>

#include "daemon/version.h"

void hold_meter_add(struct hold_meter *meter, uint64_t held_us)
{
        size_t bucket = held_us == 0 ? 0 : 64 - (size_t)__builtin_clzll(held_us);

        meter->max_us = MAX(meter->max_us, held_us);
        meter->n_times++;
        meter->buckets[MIN(bucket, (size_t)HOLD_BUCKETS - 1)]++;
}

uint64_t hold_meter_quantile_us(const struct hold_meter *meter, double quantile)
{
        const double wanted = quantile * (double)meter->n_times;
        uint64_t seen = 0;

        for (size_t i = 0; i < HOLD_BUCKETS && meter->n_times > 0; i++) {
                seen += meter->buckets[i];
                if (seen == 0 || (double)seen < wanted)
                        continue;
                /* the last bucket has no end */
                return i + 1 < HOLD_BUCKETS ? MIN(UINT64_C(1) << i, meter->max_us) : meter->max_us;
        }
        return 0;
}

char *stats_json(const struct stats *stats, const struct stats_now *now)
{
        const uint64_t jobs =
                stats->jobs_ok + stats->jobs_refused + stats->jobs_cancelled + stats->jobs_failed;
        const double per_submission =
                stats->submissions ? (double)stats->submission_jobs / (double)stats->submissions : 0;
        const struct {
                const char *key;
                uint64_t value;
        } counts[] = {
                {"submissions", stats->submissions},
                {"jobs", jobs},
                {"jobs_ok", stats->jobs_ok},
                {"jobs_refused", stats->jobs_refused},
                {"jobs_cancelled", stats->jobs_cancelled},
                {"jobs_failed", stats->jobs_failed},
                {"jobs_inside", now->jobs_inside},
                {"queue_depth", now->queue_depth},
                {"buffer_syncs", now->buffer_syncs},
                {"matrix_copies", now->matrix_copies},
                {"device_busy_us", stats->device_busy_ns / 1000},
                {"connections", now->connections},
                {"connections_accepted", stats->connections_accepted},
                {"connections_refused", stats->connections_refused},
                {"connections_faulted", stats->connections_faulted},
                {"arenas", now->arenas},
                {"arena_bytes", now->arena_bytes},
                {"loop_held_max_us", stats->hold.max_us},
                {"loop_held_p99_us", hold_meter_quantile_us(&stats->hold, 0.99)},
        };
        json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f}", "version", DAEMON_VERSION, "backend",
                                   now->backend, "device_state", now->device_state, "device", now->device,
                                   "uptime_s", now->uptime_s, "jobs_per_submission", per_submission);
        char *text = NULL;
        bool ok = object != NULL;

        for (size_t i = 0; i < ARRAY_SIZE(counts) && ok; i++)
                ok = json_object_set_new(object, counts[i].key, json_integer((json_int_t)counts[i].value)) ==
                     0;
        if (ok)
                text = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        json_decref(object);
        return text;
}
