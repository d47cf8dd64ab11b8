/* SPDX-License-Identifier: MIT */
/* reporter.c - see reporter.h. */
#include "daemon/reporter.h"

/* As things were when it was first asked for in a turn of the loop. */
struct report {
        unsigned refs; /* by the reporter, and by answers on their way */
        uint64_t turn;
        char *json; /* owned */
};

/* NULL when memory is short. */
static struct stats_user *users_report(const struct scheduler *scheduler, size_t *ret_n)
{
        const struct scheduler_user *user;
        struct stats_user *users;
        size_t n = 0;

        TAILQ_FOREACH(user, &scheduler->users, link)
                n++;
        users = calloc(MAX(n, (size_t)1), sizeof *users);
        if (!users)
                return NULL;
        *ret_n = n;
        n = 0;
        TAILQ_FOREACH(user, &scheduler->users, link)
                users[n++] = (struct stats_user){
                        .uid = user->uid,
                        .device_ns = user->device_ns,
                        .jobs_waiting = user->lanes[LANE_FRONT].n_jobs + user->lanes[LANE_BULK].n_jobs,
                };
        return users;
}

/* From now on; 0: at once, or never. */
static double health_retry_s(const struct pipeline *pipeline, const struct device_health *health)
{
        const uint64_t now_ns = timeline_now_ns(pipeline->timeline);

        if (health->retry_ns == TIMELINE_NEVER || health->retry_ns < now_ns)
                return 0;
        return (double)(health->retry_ns - now_ns) * 1e-9;
}

static char *json_make(const struct reporter *reporter)
{
        const struct pipeline *pipeline = reporter->pipeline;
        const struct device *device = pipeline->device;
        const struct weights_set *weights = reporter->weights;
        const size_t n_max = reporter->clients->n_clients;
        _cleanup_(freep) struct stats_client *clients = calloc(MAX(n_max, (size_t)1), sizeof *clients);
        _cleanup_(freep) struct stats_user *users = NULL;
        struct stats_now now = {
                .backend = device->ops->name,
                .device_state = device_state_names[device->health ? device->health->state : DEVICE_OK],
                .health = device->health,
                .health_retry_s = device->health ? health_retry_s(pipeline, device->health) : 0,
                .device = device->description,
                .policy = policy_names[pipeline->policy.kind],
                .stacking = pipeline->batcher.stacks,
                .uptime_s = (double)(uv_hrtime() - reporter->start_ns) * 1e-9,
                .buffer_syncs = device->counters.buffer_syncs,
                .matrix_copies = device->counters.matrix_copies,
                .weights_packs = device->counters.weights_packs,
                .model_overruns = device->counters.overruns,
                .predicted_fixed_ns = cost_whole_ns(pipeline->cost.fixed_ns),
                .queue_depth = pipeline->scheduler.depth,
                .connections = n_max,
                .arenas = reporter->arenas->n_arenas,
                .arena_bytes = reporter->quota->used[QUOTA_BYTES] - weights->charged_bytes,
                .weights = weights->n_weights,
                .weights_bytes = weights->charged_bytes,
                .weights_kept = weights->kept.n,
                .jobs_inside = pipeline->jobs_inside,
                .clients = clients,
        };

        users = users_report(&pipeline->scheduler, &now.n_users);
        now.users = users;
        if (!clients || !users)
                return NULL;
        now.n_clients = dispatch_report(reporter->clients, clients, n_max);
        for (size_t i = 0; i < CLASS_MAX; i++)
                now.class_depths[i] = pipeline->scheduler.class_depth[i];
        return stats_json(pipeline->stats, &now);
}

/* NULL when memory is short. */
static struct report *report_new(const struct reporter *reporter)
{
        struct report *report = calloc(1, sizeof *report);

        if (!report)
                return NULL;
        report->json = json_make(reporter);
        if (!report->json) {
                free(report);
                return NULL;
        }
        report->refs = 1;
        report->turn = reporter->meter->n_turns;
        return report;
}

/* A release_fn of payloads; NULL is allowed. */
static void report_unref(void *userdata)
{
        struct report *report = userdata;

        if (!report || --report->refs > 0)
                return;
        free(report->json);
        free(report);
}

bool reporter_answer(struct reporter *reporter, struct connection_payload *ret_payload)
{
        if (!reporter->latest || reporter->latest->turn != reporter->meter->n_turns) {
                report_unref(reporter->latest);
                reporter->latest = report_new(reporter);
                if (!reporter->latest)
                        return false;
        }
        reporter->latest->refs++;
        *ret_payload = (struct connection_payload){
                .bytes = (const uint8_t *)reporter->latest->json,
                .n_bytes = strlen(reporter->latest->json),
                .release_fn = report_unref,
                .owner = reporter->latest,
        };
        return true;
}

void reporter_deinit(struct reporter *reporter)
{
        report_unref(reporter->latest);
        reporter->latest = NULL;
}
