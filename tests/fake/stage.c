/* SPDX-License-Identifier: MIT */
/* stage.c - see stage.h. */
#include "tests/fake/stage.h"

#include <stdio.h>
#include <sys/mman.h>

#define BOUND_NS UINT64_C(1000000000000)

const struct quota_limits stage_quota_limits = {
        .per_uid = {[QUOTA_CONNECTIONS] = 10,
                    [QUOTA_BYTES] = 1 << 30,
                    [QUOTA_ARENAS] = 1000,
                    [QUOTA_WEIGHTS] = 100000,
                    [QUOTA_JOBS] = 1000},
        .total = {[QUOTA_CONNECTIONS] = 10,
                  [QUOTA_BYTES] = 1 << 30,
                  [QUOTA_ARENAS] = 1000,
                  [QUOTA_WEIGHTS] = 100000,
                  [QUOTA_JOBS] = 1000},
};

const struct limits stage_limits = {
        .control_bytes = FRAME_CONTROL_BYTES_MAX,
        .payload_bytes = 1 << 28,
        .arena_bytes = 1 << 28,
        .arenas = 100,
        .uid_bytes = 1 << 30,
        .jobs = 100,
};

static bool status_json(void *userdata, struct connection_payload *ret_payload)
{
        const struct stage *stage = userdata;

        if (!stage->status_text)
                return false;
        *ret_payload = (struct connection_payload){
                .bytes = (const uint8_t *)stage->status_text,
                .n_bytes = strlen(stage->status_text),
        };
        return true;
}

static bool set(void *userdata, const char *key, const char *value, struct fault *ret_fault)
{
        struct stage *stage = userdata;

        if (strcmp(key, "policy") != 0)
                return fault_set(ret_fault, STATUS_INVALID, "\"%s\" is not a setting of this stage", key);
        (void)snprintf(stage->was_set, sizeof stage->was_set, "%s=%s", key, value);
        return true;
}

void stage_open(struct stage *stage, const struct quota_limits *quota_limits, const struct limits *limits)
{
        const struct pipeline_settings settings = {
                .bound_ns = BOUND_NS, .aging_ns = BOUND_NS, .policy = POLICY_NATURAL, .stacks = true};
        struct reply_sink sink;
        int r;

        *stage = (struct stage){0};
        r = uv_loop_init(&stage->loop);
        assert(r == 0);
        quota_init(&stage->quota, quota_limits);
        stage->arenas = (struct arena_set){.loop = &stage->loop, .quota = &stage->quota};
        weights_set_init(&stage->weights, &stage->loop, &stage->quota, &stage->stats, 0);
        fake_timeline_init(&stage->timeline);
        pipeline_init(&stage->pipeline, &stage->timeline.timeline, &settings, &stage->stats);
        fake_device_init(&stage->device, 1, 1, &pipeline_device_events, &stage->pipeline);
        stage->device.computes = true;
        r = pipeline_set_device(&stage->pipeline, &stage->device.device);
        assert(r == 0);
        stage->context = (struct session_context){
                .arenas = &stage->arenas,
                .weights = &stage->weights,
                .quota = &stage->quota,
                .pipeline = &stage->pipeline,
                .stats = &stage->stats,
                .limits = *limits,
                .backend = "fake",
                .owner_uid = STAGE_OWNER_UID,
                .status_json = status_json,
                .set = set,
                .userdata = stage,
        };
        fake_sink_init(&stage->sink);
        sink = fake_sink_for(&stage->sink);
        r = session_init(&stage->session, &stage->context, &sink, STAGE_UID);
        assert(r == 0);
        stage->session.greeted = true;
        stage->has_session = true;
}

void stage_session_deinit(struct stage *stage)
{
        if (stage->has_session)
                session_deinit(&stage->session);
        stage->has_session = false;
        stage->sink.is_closed = true;
}

void stage_settle(struct stage *stage)
{
        (void)uv_run(&stage->loop, UV_RUN_DEFAULT);
}

void stage_close(struct stage *stage)
{
        int r;

        stage_session_deinit(stage);
        fake_device_run(&stage->device);
        fake_sink_deinit(&stage->sink);
        weights_set_close(&stage->weights);
        stage_settle(stage);
        weights_set_deinit(&stage->weights);
        assert(stage->pipeline.jobs_inside == 0 && stage->pipeline.scheduler.depth == 0);
        assert(stage->arenas.n_arenas == 0);
        for (int kind = 0; kind < QUOTA_KIND_MAX; kind++)
                assert(stage->quota.used[kind] == 0);
        quota_deinit(&stage->quota); /* asserts that no user is left either */
        pipeline_deinit(&stage->pipeline);
        fake_device_deinit(&stage->device);
        r = uv_loop_close(&stage->loop);
        assert(r == 0);
}

uint64_t stage_bytes(const struct stage *stage)
{
        return stage->quota.used[QUOTA_BYTES];
}

uint64_t stage_jobs(const struct stage *stage)
{
        return stage->quota.used[QUOTA_JOBS];
}

void stage_request(struct stage *stage, const struct request *request)
{
        uint8_t *payload = NULL;

        session_request(&stage->session, request, 0, &payload);
        assert(!payload);
        session_payload_done(&stage->session);
}

/* From head to end, the payload where the session says. */
static bool request_whole(struct stage *stage, const struct request *request, const void *payload,
                          uint64_t payload_bytes)
{
        uint8_t *to = NULL;

        session_request(&stage->session, request, payload_bytes, &to);
        if (to)
                memcpy(to, payload, payload_bytes);
        session_payload_done(&stage->session);
        return to != NULL;
}

bool stage_matmul(struct stage *stage, uint64_t id, const struct request_matmul *matmul, const void *payload,
                  uint64_t payload_bytes)
{
        struct request request = {.type = FRAME_MATMUL, .id = id, .matmul = *matmul};
        struct fault fault;
        const bool is_sound = message_check_matmul(&request.matmul, payload_bytes, &fault);

        assert(is_sound);
        return request_whole(stage, &request, payload, payload_bytes);
}

bool stage_weights_load(struct stage *stage, uint64_t id, const struct request_weights_load *load,
                        const void *payload, uint64_t payload_bytes)
{
        struct request request = {.type = FRAME_WEIGHTS_LOAD, .id = id, .weights_load = *load};
        struct fault fault;
        const bool is_sound = message_check_weights_load(&request.weights_load, payload_bytes, &fault);

        assert(is_sound);
        return request_whole(stage, &request, payload, payload_bytes);
}

struct client_arena stage_arena(struct stage *stage, uint64_t id, uint64_t size_bytes)
{
        struct client_arena arena;
        struct fake_reply *reply;

        stage_request(stage, &(struct request){.type = FRAME_ARENA_CREATE,
                                               .id = id,
                                               .arena_create = {.size_bytes = size_bytes}});
        reply = fake_sink_take(&stage->sink);
        assert(reply && stage->sink.n_replies == 0);
        assert(reply->reply.type == FRAME_ARENA_CREATED && reply->reply.id == id && reply->fd >= 0);
        arena.number = reply->reply.arena_created.arena;
        arena.size_bytes = reply->reply.arena_created.size_bytes;
        arena.memory = mmap(NULL, arena.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, reply->fd, 0);
        assert(arena.memory != MAP_FAILED);
        (void)fake_reply_free(reply);
        return arena;
}

void client_arena_unmap(struct client_arena *arena)
{
        (void)munmap(arena->memory, arena->size_bytes);
        arena->memory = NULL;
}
