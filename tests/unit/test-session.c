/* SPDX-License-Identifier: MIT */
/*
 * test-session.c - what a session answers and what it holds: HELLO, STATUS, SET, PING, arenas; jobs are in
 * test-session-matmul.c.
 */
#include <check.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/version.h"
#include "tests/unit/session-replies.h"
#include "tests/unit/suite.h"

#define PAGE UINT64_C(4096)

static struct stage stage;

static void setup(void)
{
        stage_open(&stage, &stage_quota_limits, &stage_limits);
}

static void teardown(void)
{
        stage_close(&stage); /* checks that nothing is left */
}

static void request_bare(enum frame_type type, uint64_t id)
{
        stage_request(&stage, &(struct request){.type = type, .id = id});
}

static void arena_create(uint64_t id, uint64_t size_bytes)
{
        stage_request(&stage, &(struct request){.type = FRAME_ARENA_CREATE,
                                                .id = id,
                                                .arena_create = {.size_bytes = size_bytes}});
}

static void arena_release(uint64_t id, uint32_t arena)
{
        stage_request(
                &stage,
                &(struct request){.type = FRAME_ARENA_RELEASE, .id = id, .arena_release = {.arena = arena}});
}

/* ---- HELLO, STATUS, PING ---- */

static const struct {
        uint32_t client_minor, spoken;
} minors[] = {
        {0, 0},
        {FRAME_VERSION_MINOR, FRAME_VERSION_MINOR},
        {FRAME_VERSION_MINOR + 7, FRAME_VERSION_MINOR},
        {UINT32_MAX, FRAME_VERSION_MINOR},
};

START_TEST(test_hello)
{
        struct fake_reply *reply;

        stage.session.greeted = false;
        stage_request(&stage, &(struct request){.type = FRAME_HELLO,
                                                .id = 1,
                                                .hello = {.version_minor = minors[_i].client_minor,
                                                          .features = UINT64_MAX,
                                                          .client_name = "x"}});
        ck_assert(stage.session.greeted);
        reply = expect_reply(&stage, FRAME_WELCOME, 1);
        ck_assert_uint_eq(reply->reply.welcome.version_minor, minors[_i].spoken);
        ck_assert_uint_eq(reply->reply.welcome.features,
                          MESSAGE_FEATURE_RING | MESSAGE_FEATURE_LAST_ROWS); /* which both sides understand */
        ck_assert_str_eq(reply->reply.welcome.daemon_version, DAEMON_VERSION);
        ck_assert_str_eq(reply->reply.welcome.backend, "fake");
        ck_assert_mem_eq(&reply->reply.welcome.limits, &stage_limits, sizeof stage_limits);
        (void)fake_reply_free(reply);
        expect_nothing(&stage);
}
END_TEST

START_TEST(test_ping)
{
        request_bare(FRAME_PING, 5);
        expect_bare(&stage, FRAME_PONG, 5);
        expect_nothing(&stage);
}
END_TEST

START_TEST(test_status)
{
        struct fake_reply *reply;

        stage.status_text = "{\"a\": 1}";
        request_bare(FRAME_STATUS, 5);
        reply = expect_reply(&stage, FRAME_STATUS_REPORT, 5);
        ck_assert(reply->has_payload);
        ck_assert_uint_eq(reply->payload.n_bytes, strlen(stage.status_text));
        ck_assert_mem_eq(reply->payload.bytes, stage.status_text, strlen(stage.status_text));
        (void)fake_reply_free(reply);
        expect_nothing(&stage);
}
END_TEST

START_TEST(test_status_without_memory)
{
        request_bare(FRAME_STATUS, 5);
        expect_outcome(&stage, FRAME_ERROR, 5, STATUS_BUSY, "out of memory");
        expect_nothing(&stage);
}
END_TEST

/* _i: who asks. Whoever may stop the daemon may also tell it how to work. */
static const struct {
        uid_t uid;
        const char *key;
        enum status status;
        const char *words;
} setters[] = {
        {0, "policy", STATUS_OK, ""},
        {STAGE_OWNER_UID, "policy", STATUS_OK, ""},
        {STAGE_UID, "policy", STATUS_DENIED, "uid 1000 may not change settings"},
        {STAGE_UID, "colour", STATUS_DENIED,
         "uid 1000 may not change settings"}, /* nor learn which there are */
        {0, "colour", STATUS_INVALID, "\"colour\" is not a setting"},
};

START_TEST(test_set)
{
        struct request request = {.type = FRAME_SET, .id = 7, .set = {.value = "hold"}};

        (void)snprintf(request.set.key, sizeof request.set.key, "%s", setters[_i].key);
        stage.session.uid = setters[_i].uid;
        stage_request(&stage, &request);
        if (setters[_i].status == STATUS_OK)
                expect_bare(&stage, FRAME_SET_DONE, 7);
        else
                expect_outcome(&stage, FRAME_ERROR, 7, setters[_i].status, setters[_i].words);
        ck_assert_str_eq(stage.was_set, setters[_i].status == STATUS_OK ? "policy=hold" : "");
        expect_nothing(&stage);
}
END_TEST

/* A refused MATMUL ends with DONE, everything else with ERROR. */
START_TEST(test_refuse)
{
        static const enum frame_type others[] = {FRAME_ARENA_CREATE, FRAME_ARENA_RELEASE, FRAME_STATUS,
                                                 FRAME_PING};
        const struct fault fault = {.status = STATUS_INVALID, .text = "M is 0"};

        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                session_refuse(&stage.session, &(struct request){.type = others[i], .id = 10 + i}, &fault);
                expect_outcome(&stage, FRAME_ERROR, 10 + i, STATUS_INVALID, "M is 0");
        }
        ck_assert_uint_eq(stage.stats.jobs_refused, 0);
        session_refuse(&stage.session, &(struct request){.type = FRAME_MATMUL, .id = 20}, &fault);
        expect_outcome(&stage, FRAME_DONE, 20, STATUS_INVALID, "M is 0");
        ck_assert_uint_eq(stage.stats.jobs_refused, 1);
        expect_nothing(&stage);
}
END_TEST

/* ---- arenas ---- */

START_TEST(test_arena_created)
{
        struct fake_reply *reply;
        struct stat stat = {0};

        arena_create(3, PAGE + 1);
        reply = expect_reply(&stage, FRAME_ARENA_CREATED, 3);
        ck_assert_uint_eq(reply->reply.arena_created.arena, 1);
        ck_assert_uint_eq(reply->reply.arena_created.size_bytes, 2 * PAGE);
        ck_assert_int_ge(reply->fd, 0);
        ck_assert_int_eq(fstat(reply->fd, &stat), 0);
        ck_assert_uint_eq((uint64_t)stat.st_size, 2 * PAGE);
        ck_assert(!reply->has_payload);
        ck_assert_uint_eq(stage_bytes(&stage), 2 * PAGE);
        (void)fake_reply_free(reply);
        expect_nothing(&stage);
}
END_TEST

/* A number is never used again: a request that crosses a release cannot meet another arena. */
START_TEST(test_arena_numbers_are_not_reused)
{
        for (uint32_t i = 1; i <= 5; i++) {
                struct client_arena arena = stage_arena(&stage, 2 * i, PAGE);

                ck_assert_uint_eq(arena.number, i);
                client_arena_unmap(&arena);
                arena_release(2 * i + 1, i);
                stage_settle(&stage);
                expect_bare(&stage, FRAME_ARENA_RELEASED, 2 * i + 1);
        }
        stage.session.last_arena_id = UINT32_MAX;
        arena_create(100, PAGE);
        expect_outcome(&stage, FRAME_ERROR, 100, STATUS_BUSY, "used up its arena ids");
}
END_TEST

/* The answer comes when the pages are free and the user is discharged, and not before. */
START_TEST(test_release_is_answered_last)
{
        struct client_arena arena = stage_arena(&stage, 1, 4 * PAGE);

        memset(arena.memory, 0x77, arena.size_bytes);
        arena_release(2, arena.number);
        expect_nothing(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), 4 * PAGE);
        while (stage.sink.n_replies == 0)
                (void)uv_run(&stage.loop, UV_RUN_ONCE);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        for (uint64_t i = 0; i < arena.size_bytes; i += 64)
                ck_assert_uint_eq(arena.memory[i], 0); /* the client's mapping is still there, and empty */
        expect_bare(&stage, FRAME_ARENA_RELEASED, 2);
        client_arena_unmap(&arena);
}
END_TEST

START_TEST(test_release_of_what_is_not_there)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE);

        arena_release(2, 0);
        expect_outcome(&stage, FRAME_ERROR, 2, STATUS_NOT_FOUND, "arena 0 is not one of this connection's");
        arena_release(3, arena.number + 1);
        expect_outcome(&stage, FRAME_ERROR, 3, STATUS_NOT_FOUND, "arena 2 is not one");
        arena_release(4, arena.number);
        arena_release(5, arena.number); /* stale: its end is under way */
        expect_outcome(&stage, FRAME_ERROR, 5, STATUS_NOT_FOUND, "arena 1 is not one");
        stage_settle(&stage);
        expect_bare(&stage, FRAME_ARENA_RELEASED, 4);
        arena_release(6, arena.number); /* and now it is over */
        expect_outcome(&stage, FRAME_ERROR, 6, STATUS_NOT_FOUND, "arena 1 is not one");
        expect_nothing(&stage);
        client_arena_unmap(&arena);
}
END_TEST

/* Numbers belong to a connection: another one's arena is no arena. */
START_TEST(test_foreign_handles)
{
        struct client_arena arena = stage_arena(&stage, 1, PAGE);
        struct fake_sink other_sink;
        struct session other;
        uint8_t *payload = NULL;
        struct fake_reply *reply;
        struct reply_sink sink;

        fake_sink_init(&other_sink);
        sink = fake_sink_for(&other_sink);
        ck_assert_int_eq(session_init(&other, &stage.context, &sink, STAGE_UID), 0);
        session_request(&other,
                        &(struct request){.type = FRAME_ARENA_RELEASE,
                                          .id = 9,
                                          .arena_release = {.arena = arena.number}},
                        0, &payload);
        reply = fake_sink_take(&other_sink);
        ck_assert_ptr_nonnull(reply);
        ck_assert_int_eq(reply->reply.type, FRAME_ERROR);
        ck_assert_int_eq(reply->reply.outcome.status, STATUS_NOT_FOUND);
        (void)fake_reply_free(reply);
        session_deinit(&other);
        fake_sink_deinit(&other_sink);
        stage_settle(&stage);
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        memset(arena.memory, 1, PAGE);
        client_arena_unmap(&arena);
}
END_TEST

/* ---- limits ---- */

static const struct {
        const char *words;
        uint32_t arenas; /* limits; 0: as usual */
        uint64_t arena_bytes, bytes_per_uid, bytes;
        uint64_t size_bytes; /* of the second arena; the first one has a page */
} arena_limits[] = {
        {"8193 bytes are over the limit arena-bytes = 8192", 0, 2 * PAGE, 0, 0, 2 * PAGE + 1},
        {"at its limit arenas-per-connection = 1", 1, 0, 0, 0, PAGE},
        {"uid 1000 is at its limit bytes-per-uid = 8192", 0, 0, 2 * PAGE, 0, PAGE + 1},
        {"at the limit bytes = 8192", 0, 0, 0, 2 * PAGE, PAGE + 1},
        {"at its limit bytes-per-uid", 0, UINT64_MAX, 0, 0, UINT64_MAX},
};

static void limit_set(uint64_t *limit, uint64_t value)
{
        *limit = value != 0 ? value : *limit;
}

START_TEST(test_arena_limits)
{
        struct client_arena arena;

        if (arena_limits[_i].arenas != 0)
                stage.context.limits.arenas = arena_limits[_i].arenas;
        limit_set(&stage.context.limits.arena_bytes, arena_limits[_i].arena_bytes);
        limit_set(&stage.quota.limits.per_uid[QUOTA_BYTES], arena_limits[_i].bytes_per_uid);
        limit_set(&stage.quota.limits.total[QUOTA_BYTES], arena_limits[_i].bytes);
        arena = stage_arena(&stage, 1, PAGE);
        arena_create(2, arena_limits[_i].size_bytes);
        expect_outcome(&stage, FRAME_ERROR, 2, STATUS_BUSY, arena_limits[_i].words);
        ck_assert_uint_eq(stage_bytes(&stage), PAGE);
        ck_assert_uint_eq(stage.arenas.n_arenas, 1);
        client_arena_unmap(&arena);
        arena_release(3, arena.number);
        stage_settle(&stage);
        expect_bare(&stage, FRAME_ARENA_RELEASED, 3);
        arena = stage_arena(&stage, 4, PAGE); /* there is room again, and no number was lost on the refusal */
        ck_assert_uint_eq(arena.number, 2);
        client_arena_unmap(&arena);
}
END_TEST

/* ---- the end ---- */

/* Some with a handle, some on their way out: all go, and nobody is told any more. */
START_TEST(test_end_with_arenas)
{
        struct client_arena arenas[6];
        uint64_t n_sent;

        for (size_t i = 0; i < ARRAY_SIZE(arenas); i++) {
                arenas[i] = stage_arena(&stage, 1 + i, PAGE * (1 + i));
                memset(arenas[i].memory, 0x55, arenas[i].size_bytes);
        }
        arena_release(10, arenas[1].number);
        arena_release(11, arenas[4].number);
        n_sent = stage.sink.n_sent;
        stage_session_deinit(&stage);
        stage_settle(&stage);
        ck_assert_uint_eq(stage.sink.n_sent, n_sent);
        ck_assert_uint_eq(stage_bytes(&stage), 0);
        ck_assert_uint_eq(stage.arenas.n_arenas, 0);
        for (size_t i = 0; i < ARRAY_SIZE(arenas); i++) {
                ck_assert_uint_eq(arenas[i].memory[0], 0);
                client_arena_unmap(&arenas[i]);
        }
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("session");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, test_hello, 0, ARRAY_SIZE(minors));
        tcase_add_test(tcase, test_ping);
        tcase_add_test(tcase, test_status);
        tcase_add_test(tcase, test_status_without_memory);
        tcase_add_loop_test(tcase, test_set, 0, ARRAY_SIZE(setters));
        tcase_add_test(tcase, test_refuse);
        tcase_add_test(tcase, test_arena_created);
        tcase_add_test(tcase, test_arena_numbers_are_not_reused);
        tcase_add_test(tcase, test_release_is_answered_last);
        tcase_add_test(tcase, test_release_of_what_is_not_there);
        tcase_add_test(tcase, test_foreign_handles);
        tcase_add_loop_test(tcase, test_arena_limits, 0, ARRAY_SIZE(arena_limits));
        tcase_add_test(tcase, test_end_with_arenas);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("session");

        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
