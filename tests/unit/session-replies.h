/* SPDX-License-Identifier: MIT */
/*
 * session-replies.h - what the tests of a session expect in its sink.
 *
 * Role:   takes the oldest reply out of the stage's sink and fails the test if it is another than expected.
 */
#ifndef TESTS_UNIT_SESSION_REPLIES_H
#define TESTS_UNIT_SESSION_REPLIES_H

#include <check.h>

#include "tests/fake/stage.h"

/* The caller frees it. */
static inline struct fake_reply *expect_reply(struct stage *stage, enum frame_type type, uint64_t id)
{
        struct fake_reply *reply = fake_sink_take(&stage->sink);

        ck_assert_msg(reply, "no reply, but %s was expected", frame_type_name(type));
        ck_assert_msg(reply->reply.type == type, "%s, but %s was expected",
                      frame_type_name(reply->reply.type), frame_type_name(type));
        ck_assert_uint_eq(reply->reply.id, id);
        return reply;
}

/* DONE, ERROR or BYE with these words in its text; OK has none. */
static inline void expect_outcome(struct stage *stage, enum frame_type type, uint64_t id, enum status status,
                                  const char *words)
{
        struct fake_reply *reply = expect_reply(stage, type, id);
        const struct reply_outcome *outcome = &reply->reply.outcome;

        ck_assert_msg(outcome->status == status, "%s \"%s\", but %s was expected",
                      status_name(outcome->status), outcome->text, status_name(status));
        ck_assert_msg(strstr(outcome->text, words), "\"%s\" lacks \"%s\"", outcome->text, words);
        ck_assert_int_eq(outcome->text[0] == '\0', status == STATUS_OK);
        ck_assert(!reply->has_payload);
        ck_assert_int_eq(reply->fd, -1);
        (void)fake_reply_free(reply);
}

static inline void expect_bare(struct stage *stage, enum frame_type type, uint64_t id)
{
        struct fake_reply *reply = expect_reply(stage, type, id);

        ck_assert(!reply->has_payload);
        ck_assert_int_eq(reply->fd, -1);
        (void)fake_reply_free(reply);
}

static inline void expect_rows(struct stage *stage, uint64_t id, uint64_t first_row, uint64_t rows)
{
        struct fake_reply *reply = expect_reply(stage, FRAME_ROWS, id);

        ck_assert_uint_eq(reply->reply.rows.first_row, first_row);
        ck_assert_uint_eq(reply->reply.rows.rows, rows);
        ck_assert(!reply->has_payload);
        (void)fake_reply_free(reply);
}

static inline void expect_nothing(const struct stage *stage)
{
        ck_assert_uint_eq(stage->sink.n_replies, 0);
}

#endif
