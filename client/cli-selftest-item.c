/* SPDX-License-Identifier: MIT */
/* cli-selftest-item.c - see cli-selftest-item.h. */
#include "cli-selftest-item.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli-bench-random.h"
#include "cli-bench.h"

#define SHIFT   9u   /* of int8: sums of random operands then reach both ends of its range, and keep within */
#define SPOILT  0x55 /* each byte of a C that nobody has written: not what a product is made of */
#define LOOK_MS 1000 /* from one look at the clock to the next */

/* Without the end of any job; a slow CPU takes a second for one. */
#define PATIENCE_NS UINT64_C(60000000000)

/* Of each job: A, B, C, B transposed, and what float32 has besides. */
#define MEMORY_MAX (5 * SELFTEST_JOBS_MAX)

struct attempt;

struct attempt_job {
        struct attempt *attempt; /* borrowed: has us */
        struct npumm_matmul matmul;
        const int8_t *b; /* borrowed: attempt::memory; K x N */
        int result;      /* once it has ended */
};

struct attempt {
        struct npumm_client *client;      /* borrowed */
        const struct selftest_item *item; /* borrowed */
        struct selftest_outcome *outcome; /* borrowed */
        uint64_t number;
        struct attempt_job jobs[SELFTEST_JOBS_MAX];
        size_t n_jobs, n_running;
        uint64_t weights; /* 0: none */
        uint64_t heard_ns;
        void *memory[MEMORY_MAX]; /* owned, of npumm_alloc() */
        size_t n_memory;
};

/* ---- operands ---- */

/* Memory that is there until the attempt is over. */
static enum cli_exit take(struct attempt *attempt, uint64_t n_bytes, void **ret_memory)
{
        const int r = npumm_alloc(attempt->client, n_bytes, ret_memory);

        assert(attempt->n_memory < MEMORY_MAX);
        if (r != 0)
                return cli_fail_job(attempt->client, r, &(struct cli_asked){.memory_bytes = n_bytes});
        attempt->memory[attempt->n_memory++] = *ret_memory;
        return CLI_DONE;
}

static enum cli_exit take_filled(struct attempt *attempt, enum bench_purpose purpose, size_t job,
                                 uint64_t n_bytes, const int8_t **ret_matrix)
{
        struct bench_random random = bench_random_of(attempt->number, purpose, job, 0);
        void *memory = NULL;
        enum cli_exit r;

        r = take(attempt, n_bytes, &memory);
        if (r != CLI_DONE)
                return r;
        if (attempt->item->extremes)
                memset(memory, INT8_MIN, n_bytes);
        else
                bench_random_fill(&random, memory, n_bytes);
        *ret_matrix = memory;
        return CLI_DONE;
}

static enum cli_exit take_transposed(struct attempt *attempt, struct attempt_job *job)
{
        const uint64_t k = job->matmul.k, n = job->matmul.n;
        void *memory = NULL;
        enum cli_exit r;
        int8_t *to;

        r = take(attempt, k * n, &memory);
        if (r != CLI_DONE)
                return r;
        to = memory;
        for (uint64_t i = 0; i < k; i++)
                for (uint64_t j = 0; j < n; j++)
                        to[j * k + i] = job->b[i * n + j];
        job->matmul.b = to;
        job->matmul.flags |= NPUMM_MATMUL_B_TRANSPOSED;
        return CLI_DONE;
}

/* The B of a job, or for all jobs the weights that the first one's is loaded as. */
static enum cli_exit b_prepare(struct attempt *attempt, size_t number)
{
        struct attempt_job *job = &attempt->jobs[number];
        struct npumm_weights_spec spec = {.size = sizeof spec, .k = job->matmul.k, .n = job->matmul.n};
        enum cli_exit r;
        int result;

        if (attempt->item->has_weights && number > 0) {
                job->b = attempt->jobs[0].b;
                job->matmul.weights = attempt->weights;
                return CLI_DONE;
        }
        r = take_filled(attempt, BENCH_RANDOM_B, number, spec.k * spec.n, &job->b);
        if (r != CLI_DONE)
                return r;
        if (attempt->item->transposed_b)
                return take_transposed(attempt, job);
        if (!attempt->item->has_weights) {
                job->matmul.b = job->b;
                return CLI_DONE;
        }
        spec.b = job->b;
        result = npumm_weights_load(attempt->client, &spec, &attempt->weights);
        if (result != 0)
                return cli_fail_job(attempt->client, result, &(struct cli_asked){0});
        job->matmul.weights = attempt->weights;
        return CLI_DONE;
}

/* Factors and summands of which most sums are rounded. */
static enum cli_exit scales_prepare(struct attempt *attempt, struct npumm_matmul *matmul)
{
        const uint64_t m = matmul->m, n = matmul->n;
        void *memory = NULL;
        enum cli_exit r;
        float *floats;

        r = take(attempt, (m + 2 * n) * sizeof(float), &memory);
        if (r != CLI_DONE)
                return r;
        floats = memory;
        for (uint64_t i = 0; i < m + 2 * n; i++)
                floats[i] = 1.0F / (float)(i + 3);
        matmul->row_scale = floats;
        matmul->col_scale = floats + m;
        matmul->bias = floats + m + n;
        return CLI_DONE;
}

static enum cli_exit job_prepare(struct attempt *attempt, size_t number)
{
        const struct selftest_item *item = attempt->item;
        struct attempt_job *job = &attempt->jobs[number];
        struct npumm_matmul *matmul = &job->matmul;
        const uint64_t c_bytes = (uint64_t)item->m * item->n * (item->output == NPUMM_OUTPUT_INT8 ? 1 : 4);
        enum cli_exit r;

        job->attempt = attempt;
        *matmul = (struct npumm_matmul){
                .size = sizeof *matmul,
                .m = item->m,
                .k = item->k + number * item->k_step,
                .n = item->n,
                .output = item->output,
                .shift = item->output == NPUMM_OUTPUT_INT8 ? SHIFT : 0,
                .flags = item->in_group && number + 1 < attempt->n_jobs ? NPUMM_MATMUL_MORE : 0,
        };
        r = take_filled(attempt, BENCH_RANDOM_A, number, matmul->m * matmul->k, &matmul->a);
        if (r == CLI_DONE)
                r = b_prepare(attempt, number);
        if (r == CLI_DONE && item->output == NPUMM_OUTPUT_FLOAT32)
                r = scales_prepare(attempt, matmul);
        if (r == CLI_DONE)
                r = take(attempt, c_bytes, &matmul->c);
        if (r == CLI_DONE)
                memset(matmul->c, SPOILT, c_bytes);
        return r;
}

/* ---- jobs ---- */

static void on_done(struct npumm_client *client, uint64_t id, int result, void *userdata)
{
        struct attempt_job *job = userdata;
        struct attempt *attempt = job->attempt;

        (void)id;
        job->result = result;
        attempt->n_running--;
        attempt->heard_ns = bench_now_ns();
        if (result != 0 && attempt->outcome->n_failed++ == 0)
                cli_explain(client, result, &(struct cli_asked){0}, attempt->outcome->failure);
}

static enum cli_exit jobs_run(struct attempt *attempt)
{
        const uint64_t start_ns = bench_now_ns();
        int r = 0;

        attempt->heard_ns = start_ns;
        for (size_t i = 0; i < attempt->n_jobs; i++) {
                struct attempt_job *job = &attempt->jobs[i];

                r = npumm_submit(attempt->client, &job->matmul, NULL, on_done, job, NULL);
                if (r != 0)
                        return cli_fail_job(attempt->client, r, &(struct cli_asked){0});
                attempt->n_running++;
        }
        while (attempt->n_running > 0) {
                r = npumm_dispatch(attempt->client, LOOK_MS);
                if (r != 0)
                        return cli_fail_job(attempt->client, r, &(struct cli_asked){0});
                if (bench_now_ns() - attempt->heard_ns >= PATIENCE_NS)
                        return cli_fail(CLI_FAILED,
                                        "no product within %" PRIu64 " s; look into the daemon's log",
                                        PATIENCE_NS / UINT64_C(1000000000));
        }
        attempt->outcome->took_ns = attempt->heard_ns - start_ns;
        return CLI_DONE;
}

/* ---- what became of them ---- */

static void flaws_add(struct selftest_outcome *outcome, size_t job, const struct selftest_flaws *flaws)
{
        struct selftest_flaws *all = &outcome->flaws;
        const struct selftest_flaws before = *all;

        if (before.n_wrong == 0 && flaws->n_wrong > 0) {
                *all = *flaws;
                outcome->wrong_job = job;
        }
        all->n_elems = before.n_elems + flaws->n_elems;
        all->n_wrong = before.n_wrong + flaws->n_wrong;
        outcome->n_wrong += flaws->n_wrong > 0;
}

static enum cli_exit jobs_judge(struct attempt *attempt)
{
        int r;

        for (size_t i = 0; i < attempt->n_jobs; i++) {
                const struct attempt_job *job = &attempt->jobs[i];

                if (job->result == 0) {
                        const struct selftest_flaws flaws = selftest_judge(&job->matmul, job->b);

                        flaws_add(attempt->outcome, i, &flaws);
                }
        }
        if (attempt->outcome->n_wrong == 0)
                return CLI_DONE;
        /* With the connection products are lost: that is no fault of what computed them. */
        r = npumm_ping(attempt->client, NULL);
        return r == 0 ? CLI_DONE : cli_fail_job(attempt->client, r, &(struct cli_asked){0});
}

static void attempt_deinit(struct attempt *attempt)
{
        if (npumm_outstanding(attempt->client) > 0)
                return; /* npumm_close() does it */
        for (size_t i = 0; i < attempt->n_memory; i++)
                npumm_free(attempt->client, attempt->memory[i]);
}

enum cli_exit selftest_item_run(struct npumm_client *client, const struct selftest_item *item,
                                uint64_t number, struct selftest_outcome *ret_outcome)
{
        struct selftest_outcome outcome = {0};
        _cleanup_(attempt_deinit) struct attempt attempt = {
                .client = client,
                .item = item,
                .outcome = &outcome,
                .number = number,
                .n_jobs = MIN(MAX(item->n_jobs, 1u), npumm_info(client)->jobs_max),
        };
        enum cli_exit r = CLI_DONE;
        int result;

        assert(item->n_jobs <= SELFTEST_JOBS_MAX);
        outcome.n_jobs = attempt.n_jobs;
        for (size_t i = 0; i < attempt.n_jobs && r == CLI_DONE; i++)
                r = job_prepare(&attempt, i);
        if (r == CLI_DONE)
                r = jobs_run(&attempt);
        if (r == CLI_DONE)
                r = jobs_judge(&attempt);
        if (r != CLI_DONE)
                return r;
        result = attempt.weights != 0 ? npumm_weights_release(client, attempt.weights) : 0;
        if (result != 0)
                return cli_fail_job(client, result, &(struct cli_asked){0});
        *ret_outcome = outcome;
        return CLI_DONE;
}

/* ---- the line ---- */

#define WORDS_MAX 256

/* "16 products of 20xK @ Kx24, K = 16 to 961, int32, in one group" */
static void item_name(const struct selftest_item *item, size_t n_jobs, char ret_name[WORDS_MAX])
{
        static const char *const outputs[] = {[NPUMM_OUTPUT_INT32] = "int32",
                                              [NPUMM_OUTPUT_INT8] = "int8",
                                              [NPUMM_OUTPUT_FLOAT32] = "float32"};
        char many[40] = "", k[16] = "K", range[48] = "";

        if (n_jobs > 1)
                (void)snprintf(many, sizeof many, "%zu products of ", n_jobs);
        if (item->k_step > 0 && n_jobs > 1)
                (void)snprintf(range, sizeof range, ", K = %" PRIu32 " to %zu", item->k,
                               item->k + (n_jobs - 1) * item->k_step);
        else
                (void)snprintf(k, sizeof k, "%" PRIu32, item->k);
        (void)snprintf(ret_name, WORDS_MAX, "%s%" PRIu32 "x%s @ %sx%" PRIu32 "%s, %s%s%s%s%s", many, item->m,
                       k, k, item->n, range, outputs[item->output], item->in_group ? ", in one group" : "",
                       item->has_weights ? ", B loaded once" : "", item->transposed_b ? ", B transposed" : "",
                       item->extremes ? ", all -128" : "");
}

void selftest_item_say(const struct selftest_item *item, const struct selftest_outcome *outcome)
{
        const struct selftest_flaws *flaws = &outcome->flaws;
        char name[WORDS_MAX], where[64] = "";

        item_name(item, outcome->n_jobs, name);
        if (outcome->n_jobs > 1)
                (void)snprintf(where, sizeof where, "in product %zu of %zu, ", outcome->wrong_job + 1,
                               outcome->n_jobs);
        if (outcome->n_wrong > 0)
                cli_say("%s: WRONG: %" PRIu64 " of %" PRIu64 " elements, first %sat row %" PRIu64
                        ", column %" PRIu64 ": %.10g, not %.10g",
                        name, flaws->n_wrong, flaws->n_elems, where, flaws->row, flaws->col, flaws->found,
                        flaws->right);
        else if (outcome->n_failed > 0)
                cli_say("%s: FAILED: %zu of %zu: %s", name, outcome->n_failed, outcome->n_jobs,
                        outcome->failure);
        else
                cli_say("%s: exact, %.1f ms", name, (double)outcome->took_ns / 1e6);
        (void)fflush(
                stdout); /* whoever waits sees what for; cli_finish_stdout() tells whether it could be written */
}
