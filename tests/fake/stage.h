/* SPDX-License-Identifier: MIT */
/*
 * stage.h - one client's session with all that is real below it: arenas, weights, quota, pipeline; a fake device
 * under that, a fake sink above.
 *
 * Role:   builds it with limits that the test chooses, takes it down again and checks that nothing is left.
 * Thread: the one that runs the loop; arenas end on libuv's pool, weights are loaded there.
 */
#ifndef TESTS_FAKE_STAGE_H
#define TESTS_FAKE_STAGE_H

#include "daemon/session.h"
#include "daemon/weights.h"
#include "tests/fake/device.h"
#include "tests/fake/sink.h"
#include "tests/fake/timeline.h"

#define STAGE_UID       1000
#define STAGE_OWNER_UID 900 /* as if the daemon ran as this one */

struct stage {
        uv_loop_t loop;
        struct quota quota;
        struct arena_set arenas;
        struct weights_set weights; /* keeps none; a test that is about kept ones sets kept_bytes_max */
        struct stats stats;
        struct fake_timeline timeline;
        struct pipeline pipeline;
        struct fake_device device;
        struct session_context context;
        struct fake_sink sink;
        struct session session;
        bool has_session;
        const char *status_text; /* borrowed: what STATUS answers; NULL: as if memory were short */
        char was_set[128]; /* "key=value" of the last SET that was let through; "policy" is the one key */
};

/* Limits that no test meets by accident; a test lowers those that it is about. */
extern const struct quota_limits stage_quota_limits;
extern const struct limits stage_limits;

/* A device of one slot that computes and takes all rows at once; the session is greeted already. */
void stage_open(struct stage *stage, const struct quota_limits *quota_limits, const struct limits *limits);

/* Ends the session with whatever it has: its sink must stay silent from then on. */
void stage_session_deinit(struct stage *stage);

/* Ends all, runs the loop empty, and checks that nobody is charged for anything any more. */
void stage_close(struct stage *stage);

/* Runs the loop until arenas that have ended are gone, and weights are loaded. */
void stage_settle(struct stage *stage);

/* Bytes that the client's user is charged for; jobs likewise. */
uint64_t stage_bytes(const struct stage *stage);
uint64_t stage_jobs(const struct stage *stage);

/* A request without payload, from head to end. */
void stage_request(struct stage *stage, const struct request *request);

/*
 * A MATMUL as it comes from the wire: checked (it must pass), announced, its payload put where the session
 * says, if it wants it. Returns whether the session took the payload. `payload` may be NULL if there is none.
 */
bool stage_matmul(struct stage *stage, uint64_t id, const struct request_matmul *matmul, const void *payload,
                  uint64_t payload_bytes);

/* The same for a WEIGHTS_LOAD; its answer comes when the stage has settled. */
bool stage_weights_load(struct stage *stage, uint64_t id, const struct request_weights_load *load,
                        const void *payload, uint64_t payload_bytes);

/* An arena as its client sees it. */
struct client_arena {
        uint32_t number;
        uint64_t size_bytes;
        uint8_t *memory; /* owned: the client's own mapping */
};

/* Makes an arena, which must work, takes the reply out of the sink, and maps what came with it. */
struct client_arena stage_arena(struct stage *stage, uint64_t id, uint64_t size_bytes);

/* Only the client's own mapping goes. */
void client_arena_unmap(struct client_arena *arena);

#endif
