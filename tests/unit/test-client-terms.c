/* SPDX-License-Identifier: MIT */
/*
 * test-client-terms.c - what a job asks for beside its product (weights, class, deadline, group) reaches the daemon
 * as it was said; npumm_set; and a daemon of protocol 1.0, which knows nothing of all this.
 */
#include "tests/unit/visit.h"
#include "tests/unit/suite.h"

/* ---- what is sent ---- */

#define SEEN_MAX 8u

/* The matmuls that the stub has taken. */
struct seen {
        struct request_matmul all[SEEN_MAX];
        unsigned n;
};

static bool keep_matmuls(struct stub_daemon *stub)
{
        struct seen *seen = stub->options.userdata;

        if (stub->frame.header.type == FRAME_MATMUL) {
                assert(seen->n < SEEN_MAX);
                seen->all[seen->n++] = stub->frame.request.matmul;
        }
        return false;
}

/* B stays at home; the inputs that are left travel as they would beside one. In arenas and inline. */
START_TEST(test_weights_in_place_of_b)
{
        struct seen seen = {0};
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = keep_matmuls, .userdata = &seen});
        struct small_job job;

        small_job_init(&job, _i == 0 ? 0 : NPUMM_MATMUL_INLINE);
        job.matmul.b = NULL;
        job.matmul.weights = UINT64_MAX - 4;
        ck_assert_msg(npumm_matmul(visit.client, &job.matmul) == 0, "%s", npumm_text(visit.client));
        ck_assert_uint_eq(seen.n, 1);
        ck_assert(seen.all[0].b_is_weights);
        ck_assert_uint_eq(seen.all[0].weights, UINT64_MAX - 4);
        ck_assert_uint_eq(seen.all[0].a.arena != 0, _i == 0);
        ck_assert_uint_eq(seen.all[0].k, SMALL_K);
        small_job_check_guards(&job);
        visit_end(&visit);
}
END_TEST

START_TEST(test_class_and_deadline)
{
        struct seen seen = {0};
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = keep_matmuls, .userdata = &seen});
        struct small_job job;

        small_job_init(&job, NPUMM_MATMUL_INLINE);
        ck_assert_int_eq(npumm_matmul(visit.client, &job.matmul), 0);
        job.matmul.job_class = NPUMM_CLASS_BULK;
        job.matmul.deadline_us = 3600000000;
        ck_assert_int_eq(npumm_matmul(visit.client, &job.matmul), 0);
        job.matmul.job_class = NPUMM_CLASS_INTERACTIVE;
        job.matmul.deadline_us = 1;
        ck_assert_int_eq(npumm_matmul(visit.client, &job.matmul), 0);
        ck_assert_uint_eq(seen.n, 3);
        ck_assert(seen.all[0].class == CLASS_NORMAL && seen.all[0].deadline_us == 0 &&
                  !seen.all[0].b_is_weights);
        ck_assert(seen.all[1].class == CLASS_BULK && seen.all[1].deadline_us == 3600000000);
        ck_assert(seen.all[2].class == CLASS_INTERACTIVE && seen.all[2].deadline_us == 1);
        visit_end(&visit);
}
END_TEST

/* Each job says whether the next belongs to it; a blocking call may end a group. */
START_TEST(test_group)
{
        static const bool more[] = {true, true, false, true, false};
        struct seen seen = {0};
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = keep_matmuls, .userdata = &seen});
        struct tally tallies[ARRAY_SIZE(more)] = {{0}};
        struct small_job jobs[ARRAY_SIZE(more)];

        for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
                small_job_init(&jobs[i], NPUMM_MATMUL_INLINE | (more[i] ? NPUMM_MATMUL_MORE : 0u));
                if (i + 1 == ARRAY_SIZE(more))
                        ck_assert_int_eq(npumm_matmul(visit.client, &jobs[i].matmul), 0);
                else
                        ck_assert_int_eq(npumm_submit(visit.client, &jobs[i].matmul, tally_rows, tally_done,
                                                      &tallies[i], NULL),
                                         0);
        }
        for (size_t i = 0; i + 1 < ARRAY_SIZE(more); i++) {
                tally_await(&tallies[i], visit.client);
                ck_assert_int_eq(tallies[i].result, 0);
        }
        ck_assert_uint_eq(seen.n, ARRAY_SIZE(more));
        for (size_t i = 0; i < ARRAY_SIZE(more); i++)
                ck_assert_int_eq(seen.all[i].more, more[i]);
        visit_end(&visit);
}
END_TEST

/* ---- settings ---- */

static bool keep_setting(struct stub_daemon *stub)
{
        if (stub->frame.header.type == FRAME_SET)
                *(struct request_set *)stub->options.userdata = stub->frame.request.set;
        return false;
}

static bool refuse_setting(struct stub_daemon *stub)
{
        const struct request_set *set = &stub->frame.request.set;

        if (stub->frame.header.type != FRAME_SET)
                return false;
        assert(strcmp(set->key, "log-level") == 0 && strcmp(set->value, "") == 0);
        stub_say_outcome(stub, FRAME_ERROR, stub->frame.header.request_id, STATUS_DENIED, "");
        return true;
}

START_TEST(test_set)
{
        struct request_set set = {0};
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = keep_setting, .userdata = &set});

        ck_assert_int_eq(npumm_set(visit.client, "policy", "hold"), 0);
        ck_assert_str_eq(set.key, "policy");
        ck_assert_str_eq(set.value, "hold");
        visit_end(&visit);
}
END_TEST

START_TEST(test_set_is_denied)
{
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = refuse_setting});

        ck_assert_int_eq(npumm_set(visit.client, "log-level", ""), NPUMM_STATUS_DENIED);
        expect_words(npumm_text(visit.client), "only root and the daemon's own user");
        visit_end(&visit);
}
END_TEST

#define CHARACTERS_33 "123456789012345678901234567890123"

static const struct {
        const char *key, *value;
        const char *words;
} bad_settings[] = {
        {NULL, "hold", "the key is NULL"},
        {"policy", NULL, "the value is NULL"},
        {"", "hold", "the key has 0 characters"},
        {CHARACTERS_33, "hold", "the key has 33 characters; it must have 1 to 32"},
        {"policy", CHARACTERS_33 CHARACTERS_33, "the value has 66 characters; it must have 0 to 64"},
        {"pol\ticy", "hold", "the key 'pol?icy' is not made of printable"},
        {"policy", "h\xc3\xb6ld", "the value 'h??ld' is not made of printable"},
};

START_TEST(test_bad_setting)
{
        struct visit visit = visit_begin(&(struct stub_options){0});

        ck_assert_int_eq(npumm_set(visit.client, bad_settings[_i].key, bad_settings[_i].value),
                         NPUMM_STATUS_INVALID);
        expect_words(npumm_text(visit.client), bad_settings[_i].words);
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_uint_eq(visit.stub->n_sets, 0);
        visit_end(&visit);
}
END_TEST

START_TEST(test_longest_setting)
{
        char key[MESSAGE_KEY_MAX + 1] = "", value[MESSAGE_VALUE_MAX + 1] = "";
        struct request_set set = {0};
        struct visit visit = visit_begin(&(struct stub_options){.frame_fn = keep_setting, .userdata = &set});

        memset(key, 'k', sizeof key - 1);
        memset(value, '~', sizeof value - 1);
        ck_assert_int_eq(npumm_set(visit.client, key, value), 0);
        ck_assert_str_eq(set.key, key);
        ck_assert_str_eq(set.value, value);
        visit_end(&visit);
}
END_TEST

/* ---- a daemon of protocol 1.0 ---- */

static void expect_too_old(const struct visit *visit, int result, const char *advice)
{
        ck_assert_int_eq(result, NPUMM_STATUS_VERSION);
        expect_words(npumm_text(visit->client), "speaks protocol 1.0, which has no");
        expect_words(npumm_text(visit->client), advice);
}

static int submit(const struct visit *visit, const struct npumm_matmul *matmul)
{
        return npumm_submit(visit->client, matmul, NULL, NULL, NULL, NULL);
}

START_TEST(test_daemon_of_1_0)
{
        struct visit visit = visit_begin(&(struct stub_options){.speaks_1_0 = true});
        struct small_job job;
        const struct npumm_weights_spec spec = {.size = sizeof spec, .k = SMALL_K, .n = SMALL_N, .b = job.b};
        struct npumm_matmul matmul;
        uint64_t weights = 1234;

        small_job_init(&job, NPUMM_MATMUL_INLINE);
        matmul = job.matmul;
        matmul.b = NULL;
        matmul.weights = 7;
        expect_too_old(&visit, submit(&visit, &matmul), "or give b");
        matmul = job.matmul;
        matmul.deadline_us = 1000;
        expect_too_old(&visit, submit(&visit, &matmul), "or leave deadline_us 0");
        matmul = job.matmul;
        matmul.flags |= NPUMM_MATMUL_MORE;
        expect_too_old(&visit, submit(&visit, &matmul), "or leave NPUMM_MATMUL_MORE out");
        expect_too_old(&visit, npumm_weights_load(visit.client, &spec, &weights), "or give b to each job");
        ck_assert_uint_eq(weights, 1234);
        expect_too_old(&visit, npumm_weights_release(visit.client, 7), "");
        expect_too_old(&visit, npumm_set(visit.client, "policy", "hold"), "configuration");
        ck_assert_int_eq(npumm_ping(visit.client, NULL), 0);
        ck_assert_uint_eq(visit.stub->n_matmuls + visit.stub->n_arenas, 0);
        matmul = job.matmul;
        matmul.job_class = NPUMM_CLASS_BULK; /* may be ignored */
        ck_assert_int_eq(npumm_matmul(visit.client, &matmul), 0);
        ck_assert_uint_eq(visit.stub->n_matmuls, 1);
        visit_end(&visit);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("client-terms");
        TCase *tcase = tcase_create("terms");

        tcase_add_loop_test(tcase, test_weights_in_place_of_b, 0, 2);
        tcase_add_test(tcase, test_class_and_deadline);
        tcase_add_test(tcase, test_group);
        tcase_add_test(tcase, test_set);
        tcase_add_test(tcase, test_set_is_denied);
        tcase_add_loop_test(tcase, test_bad_setting, 0, ARRAY_SIZE(bad_settings));
        tcase_add_test(tcase, test_longest_setting);
        tcase_add_test(tcase, test_daemon_of_1_0);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
