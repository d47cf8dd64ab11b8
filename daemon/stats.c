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

static double ratio(double part, double whole)
{
        return whole > 0 ? part / whole : 0;
}

/* NULL when memory is short. */
static json_t *clients_json(const struct stats_now *now)
{
        json_t *array = json_array();

        for (size_t i = 0; i < now->n_clients; i++) {
                const struct stats_client *client = &now->clients[i];
                json_t *object =
                        json_pack("{s:I, s:I, s:s, s:I, s:I}", "uid", (json_int_t)client->uid, "pid",
                                  (json_int_t)client->pid, "name", client->name, "device_us",
                                  (json_int_t)(client->device_ns / 1000), "jobs", (json_int_t)client->jobs);

                if (json_array_append_new(array, object) != 0) { /* also for NULL */
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

/* The same. */
static json_t *users_json(const struct stats_now *now)
{
        json_t *array = json_array();

        for (size_t i = 0; i < now->n_users; i++) {
                const struct stats_user *user = &now->users[i];
                json_t *object = json_pack("{s:I, s:I, s:I}", "uid", (json_int_t)user->uid, "device_us",
                                           (json_int_t)(user->device_ns / 1000), "jobs_waiting",
                                           (json_int_t)user->jobs_waiting);

                if (json_array_append_new(array, object) != 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

/* Of the NPU, as users see it: why it is as it is, and what to do. NULL when memory is short. */
static json_t *health_json(const struct device_health *health, double retry_s)
{
        const struct {
                const char *key;
                uint64_t value;
        } counts[] = {
                {"clock_mhz", health->clock_mhz},
                {"workers", health->counters.workers},
                {"workers_unended", health->counters.unended},
                {"faults", health->counters.faults},
                {"wrong_results", health->counters.wrong},
                {"reruns", health->counters.reruns},
                {"cpu_batches", health->counters.cpu_batches},
                {"failed_batches", health->counters.failed},
                {"commands", health->counters.commands},
                {"control_syncs", health->counters.control_syncs},
                {"checks", health->counters.checks},
                {"recovery_us", health->counters.recovery_us},
        };
        json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:s}", "state",
                                   device_state_names[health->state], "cause", health->cause, "reason",
                                   health->reason, "advice", health->advice, "retry_s", retry_s, "hardware",
                                   health->hardware, "driver", health->driver, "firmware", health->firmware,
                                   "power_mode", health->power_mode);

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                if (json_object_set_new(object, counts[i].key, json_integer((json_int_t)counts[i].value)) !=
                    0) {
                        json_decref(object);
                        return NULL;
                }
        return object;
}

/* False when memory is short; the same below. */
static bool numbers_add(json_t *object, const struct stats *stats, const struct stats_now *now)
{
        const struct {
                const char *key;
                double value;
        } numbers[] = {
                {"uptime_s", now->uptime_s},
                {"jobs_per_submission", ratio((double)stats->submission_jobs, (double)stats->submissions)},
                {"macs", stats->macs},
                {"padded_macs", stats->padded_macs},
                {"padding_share", stats->padded_macs > 0 ? 1 - stats->macs / stats->padded_macs : 0},
        };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (json_object_set_new(object, numbers[i].key, json_real(numbers[i].value)) != 0)
                        return false;
        return true;
}

static bool counts_add(json_t *object, const struct stats *stats, const struct stats_now *now)
{
        const uint64_t jobs = stats->jobs_ok + stats->jobs_refused + stats->jobs_expired +
                              stats->jobs_cancelled + stats->jobs_failed;
        const struct {
                const char *key;
                uint64_t value;
        } counts[] = {
                {"submissions", stats->submissions},
                {"submission_jobs", stats->submission_jobs},
                {"stacks", stats->stacks},
                {"rows_stacked", stats->rows_stacked},
                {"jobs", jobs},
                {"jobs_ok", stats->jobs_ok},
                {"jobs_refused", stats->jobs_refused},
                {"jobs_expired", stats->jobs_expired},
                {"jobs_cancelled", stats->jobs_cancelled},
                {"jobs_failed", stats->jobs_failed},
                {"jobs_inside", now->jobs_inside},
                {"queue_depth", now->queue_depth},
                {"queue_interactive", now->class_depths[CLASS_INTERACTIVE]},
                {"queue_normal", now->class_depths[CLASS_NORMAL]},
                {"queue_bulk", now->class_depths[CLASS_BULK]},
                {"buffer_syncs", now->buffer_syncs},
                {"matrix_copies", now->matrix_copies},
                {"weights_packs", now->weights_packs},
                {"model_overruns", now->model_overruns},
                {"device_busy_us", stats->device_busy_ns / 1000},
                {"hold_us", stats->hold_ns / 1000},
                {"submission_cost_us", now->predicted_fixed_ns / 1000},
                {"connections", now->connections},
                {"connections_accepted", stats->connections_accepted},
                {"connections_refused", stats->connections_refused},
                {"connections_faulted", stats->connections_faulted},
                {"arenas", now->arenas},
                {"arena_bytes", now->arena_bytes},
                {"weights", now->weights},
                {"weights_kept", now->weights_kept},
                {"weights_bytes", now->weights_bytes},
                {"loads", stats->loads},
                {"loads_shared", stats->loads_shared},
                {"ring_spin_us", stats->ring_spin_ns / 1000},
                {"loop_held_max_us", stats->hold.max_us},
                {"loop_held_p99_us", hold_meter_quantile_us(&stats->hold, 0.99)},
        };

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                if (json_object_set_new(object, counts[i].key, json_integer((json_int_t)counts[i].value)) !=
                    0)
                        return false;
        return true;
}

char *stats_json(const struct stats *stats, const struct stats_now *now)
{
        json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "version", DAEMON_VERSION, "backend",
                                   now->backend, "device_state", now->device_state, "device", now->device,
                                   "policy", now->policy, "stacking", now->stacking ? "on" : "off");
        char *text = NULL;
        bool ok = object && numbers_add(object, stats, now) && counts_add(object, stats, now) &&
                  json_object_set_new(object, "users", users_json(now)) == 0 &&
                  json_object_set_new(object, "clients", clients_json(now)) == 0 &&
                  (!now->health ||
                   json_object_set_new(object, "npu", health_json(now->health, now->health_retry_s)) == 0);

        if (ok)
                text = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
        json_decref(object);
        return text;
}
