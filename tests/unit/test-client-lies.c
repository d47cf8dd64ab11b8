/* SPDX-License-Identifier: MIT */
/*
 * test-client-lies.c - a daemon that says what is not so about jobs and questions loses its connection, and
 * no byte is written where the program did not want one.
 */
#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- about jobs ---- */

/* One reply; the ids are relative to the job's. */
struct said {
        enum frame_type type;
        uint64_t id_offset;
        uint64_t first_row, rows;
        uint64_t payload_bytes;
        enum status status;
};

/* clang-format off */
#define ROWS(first_row, rows, payload_bytes) {FRAME_ROWS, 0, first_row, rows, payload_bytes, STATUS_OK}
#define DONE(status)                         {FRAME_DONE, 0, 0, 0, 0, STATUS_##status}
/* clang-format on */

/*
 * What is said of a job of 4 rows of 8 bytes each, inline. The job ends as PROTOCOL unless DONE came first.
 */
static const struct lie {
        struct said said[3];
        const char *words;
        int job_result;
} lies[] = {
        {{ROWS(3, 2, 16)}, "2 from 3 on, of 4", NPUMM_STATUS_PROTOCOL},
        {{ROWS(UINT64_MAX, 2, 16)}, "2 from 18446744073709551615 on", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 0, 0)}, "0 from 0 on", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 5, 40)}, "5 from 0 on, of 4", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, UINT64_MAX, 8)}, "18446744073709551615 from 0 on", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 2, 15)}, "2 rows with a payload of 15", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 2, 24)}, "2 rows with a payload of 24", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 2, 0)}, "2 rows with a payload of 0", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 3, 24), ROWS(0, 3, 24)}, "3 from 0 on, of 4 with 3 reported", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 2, 16), ROWS(0, 2, 16), DONE(OK)}, "2 from 0 on, of 4 with 2 rep", NPUMM_STATUS_PROTOCOL},
        {{ROWS(2, 2, 16), ROWS(1, 2, 16), DONE(OK)}, "2 from 1 on, of 4 with 2 rep", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 1, 8), ROWS(2, 2, 16), DONE(OK)}, "3 of 4 rows reported", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 1, 8), ROWS(3, 1, 8), ROWS(1, 3, 24)},
         "3 from 1 on, of 4 with 2 rep",
         NPUMM_STATUS_PROTOCOL},
        {{{FRAME_ROWS, 1, 0, 2, 16, STATUS_OK}}, "which is not running", NPUMM_STATUS_PROTOCOL},
        {{DONE(OK)}, "0 of 4 rows reported", NPUMM_STATUS_PROTOCOL},
        {{ROWS(0, 3, 24), DONE(OK)}, "3 of 4 rows reported", NPUMM_STATUS_PROTOCOL},
        {{{FRAME_DONE, 3, 0, 0, 0, STATUS_OK}}, "which is not running", NPUMM_STATUS_PROTOCOL},
        {{DONE(BUSY), DONE(BUSY)}, "which is not running", NPUMM_STATUS_BUSY},
        {{DONE(BUSY), ROWS(0, 1, 8)}, "which is not running", NPUMM_STATUS_BUSY},
        {{{FRAME_ERROR, 0, 0, 0, 0, STATUS_BUSY}}, "does not ask for it", NPUMM_STATUS_PROTOCOL},
        {{{FRAME_STATUS_REPORT, 0, 0, 0, 10, STATUS_OK}}, "does not ask for it", NPUMM_STATUS_PROTOCOL},
};

static bool lie_about_job(struct stub_daemon *stub)
{
        static const uint8_t junk[64];
        const struct lie *lie = stub->options.userdata;

        assert(stub->frame.header.type == FRAME_MATMUL);
        for (size_t i = 0; i < ARRAY_SIZE(lie->said) && lie->said[i].type != FRAME_NONE; i++) {
                const struct said *said = &lie->said[i];
                struct reply reply = {.type = said->type,
                                      .id = stub->frame.header.request_id + said->id_offset};

                if (said->type == FRAME_ROWS)
                        reply.rows = (struct reply_rows){said->first_row, said->rows};
                else
                        reply.outcome = (struct reply_outcome){said->status, "x"};
                stub_say_more(stub, &reply, junk, said->payload_bytes, -1);
        }
        return true;
}

START_TEST(test_lie_about_a_job)
{
        const struct lie *lie = &lies[_i];
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = lie_about_job, .userdata = (void *)lie});
        struct tally tally = {0};
        struct small_job job;
        int r;

        small_job_init(&job, NPUMM_MATMUL_INLINE);
        ck_assert_int_eq(npumm_submit(visit.client, &job.matmul, tally_rows, tally_done, &tally, NULL), 0);
        while ((r = npumm_dispatch(visit.client, -1)) == 0)
                ;
        ck_assert_int_eq(r, NPUMM_STATUS_PROTOCOL);
        expect_words(npumm_text(visit.client), "broke the protocol");
        expect_words(npumm_text(visit.client), lie->words);
        ck_assert_uint_eq(tally.n_done, 1);
        ck_assert_int_eq(tally.result, lie->job_result);
        ck_assert_uint_eq(npumm_outstanding(visit.client), 0);
        small_job_check_guards(&job);
        visit_end(&visit);
}
END_TEST

/* The rows of a job in every order, one by one: each is told once, and the job ends well. */
static bool tell_rows_in_order(struct stub_daemon *stub)
{
        static const uint8_t row[SMALL_N * sizeof(int32_t)];
        const unsigned *order = stub->options.userdata;
        const uint64_t id = stub->frame.header.request_id;

        for (size_t i = 0; i < SMALL_M; i++)
                stub_say_rows(stub, id, order[i], 1, row, sizeof row);
        stub_say_outcome(stub, FRAME_DONE, id, STATUS_OK, "");
        return true;
}

START_TEST(test_rows_in_any_order)
{
        unsigned order[SMALL_M], left = 0xf;
        struct tally tally = {0};
        struct small_job job;
        struct visit visit;

        for (unsigned i = 0, code = (unsigned)_i; i < SMALL_M; code /= SMALL_M - i, i++) {
                unsigned row = 0, skip = code % (SMALL_M - i);

                while ((left & 1u << row) == 0 || skip-- > 0)
                        row++;
                order[i] = row;
                left &= ~(1u << row);
        }
        visit = visit_begin(&(struct stub_options){.frame_fn = tell_rows_in_order, .userdata = order});
        small_job_init(&job, NPUMM_MATMUL_INLINE);
        ck_assert_int_eq(npumm_submit(visit.client, &job.matmul, tally_rows, tally_done, &tally, NULL), 0);
        tally_await(&tally, visit.client);
        ck_assert_msg(tally.result == 0, "%d: %s", tally.result, tally.text);
        ck_assert_uint_eq(tally.rows, SMALL_M);
        visit_end(&visit);
}
END_TEST

/* ---- about the status ---- */

static void report(struct stub_daemon *stub, uint64_t id)
{
        const struct reply reply = {.type = FRAME_STATUS_REPORT, .id = id};

        stub_say_more(stub, &reply, "{\"a\":1}", 7, -1);
}

static void report_nothing(struct stub_daemon *stub, uint64_t id)
{
        stub_say(stub, &(struct reply){.type = FRAME_STATUS_REPORT, .id = id});
}

static void report_an_exbibyte(struct stub_daemon *stub, uint64_t id)
{
        stub_say_header(stub, &(struct frame_header){.version_major = 1,
                                                     .type = FRAME_STATUS_REPORT,
                                                     .request_id = id,
                                                     .payload_bytes = UINT64_C(1) << 60});
}

static void answer_something_else(struct stub_daemon *stub, uint64_t id)
{
        stub_say(stub, &(struct reply){.type = FRAME_PONG, .id = id});
}

static void fail_without_words(struct stub_daemon *stub, uint64_t id)
{
        stub_say_outcome(stub, FRAME_ERROR, id, STATUS_INTERNAL, "");
}

static void fail_with_ok(struct stub_daemon *stub, uint64_t id)
{
        stub_say_outcome(stub, FRAME_ERROR, id, STATUS_OK, "");
}

static const struct answer {
        void (*say)(struct stub_daemon *stub, uint64_t id);
        int result;
        const char *words;
} answers[] = {
        {report, 0, ""},
        {fail_without_words, NPUMM_STATUS_INTERNAL, "the daemon failed"},
        {report_nothing, NPUMM_STATUS_INTERNAL, "an empty status report"},
        {report_an_exbibyte, NPUMM_STATUS_PROTOCOL, "1152921504606846976 bytes"},
        {answer_something_else, NPUMM_STATUS_PROTOCOL, "PONG"},
        {fail_with_ok, NPUMM_STATUS_PROTOCOL, "with status OK"},
};

static bool answer_status(struct stub_daemon *stub)
{
        const struct answer *answer = stub->options.userdata;

        assert(stub->frame.header.type == FRAME_STATUS);
        answer->say(stub, stub->frame.header.request_id);
        return true;
}

START_TEST(test_status)
{
        const struct answer *answer = &answers[_i];
        struct visit visit =
                visit_begin(&(struct stub_options){.frame_fn = answer_status, .userdata = (void *)answer});
        char *json = NULL;
        const int r = npumm_daemon_status(visit.client, &json);

        ck_assert_msg(r == answer->result, "%d: %s", r, npumm_text(visit.client));
        if (r == 0)
                ck_assert_str_eq(json, "{\"a\":1}");
        else
                ck_assert_ptr_null(json);
        if (r != 0)
                expect_words(npumm_text(visit.client), answer->words);
        free(json);
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-lies");
        TCase *tcase = tcase_create("lies");

        tcase_add_loop_test(tcase, test_lie_about_a_job, 0, ARRAY_SIZE(lies));
        tcase_add_loop_test(tcase, test_rows_in_any_order, 0, 24);
        tcase_add_loop_test(tcase, test_status, 0, ARRAY_SIZE(answers));
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
