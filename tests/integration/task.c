/* SPDX-License-Identifier: MIT */
/* task.c - see task.h. */
#include "task.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/lib/oracle.h"

#define POISON        0x5a
#define JUDGED_MACS   20000000u /* of one product, about: the oracle is slow */
#define GAP_MAX       3
#define UNUSUAL_SHIFT 9 /* random sums of some hundred products are then spread over int8 */

bool task_is_slow_build(void)
{
        const char *slow = getenv("NPUMM_TEST_SLOW");

        return slow && strcmp(slow, "0") != 0;
}

/* ---- making ---- */

struct task_spec task_spec_random(struct rng *rng)
{
        /* Small, or one row, or wide: so that jobs of one slice and of many meet. */
        static const uint64_t most[][3] = {{64, 200, 200}, {1, 600, 900}, {300, 40, 300}, {9, 2000, 20}};
        const uint64_t *limits = most[rng_below(rng, ARRAY_SIZE(most))];

        return (struct task_spec){
                .way = (enum task_way)rng_below(rng, TASK_WAY_MAX),
                .m = rng_between(rng, 1, limits[0]),
                .k = rng_between(rng, 1, limits[1]),
                .n = rng_between(rng, 1, limits[2]),
                .output = (enum npumm_output)rng_below(rng, 4),
                .b_transposed = rng_once_in(rng, 2),
                .gap = rng_below(rng, GAP_MAX + 1),
        };
}

static void *take(const struct task *task, size_t size_bytes)
{
        void *memory = NULL;

        if (task->spec.way == TASK_IN_ARENA) {
                if (npumm_alloc(task->client, size_bytes, &memory) != 0)
                        die(0, "%zu bytes: %s", size_bytes, npumm_text(task->client));
        } else {
                memory = malloc(size_bytes);
                if (!memory)
                        die(0, "no memory");
        }
        return memory;
}

static void give_back(const struct task *task, void *memory)
{
        if (task->spec.way == TASK_IN_ARENA)
                npumm_free(task->client, memory);
        else
                free(memory);
}

static size_t c_bytes(const struct task *task)
{
        return task->matmul.m * task->matmul.ldc * oracle_elem_bytes((enum oracle_form)task->matmul.output);
}

static void scales_init(struct task *task, struct rng *rng)
{
        const size_t n_scales = MAX(task->spec.m, task->spec.n);

        task->scales = take(task, n_scales * sizeof *task->scales);
        rng_floats(rng, task->scales, n_scales);
        task->matmul.row_scale = rng_once_in(rng, 4) ? NULL : task->scales;
        task->matmul.col_scale = rng_once_in(rng, 4) ? NULL : task->scales;
        task->matmul.bias = rng_once_in(rng, 4) ? NULL : task->scales;
}

/* From where the task has its B, in the way that its other operands go. */
static void weights_init(struct task *task)
{
        struct npumm_matmul *matmul = &task->matmul;
        const struct npumm_weights_spec spec = {
                .size = sizeof spec,
                .k = matmul->k,
                .n = matmul->n,
                .b = task->b,
                .ldb = matmul->ldb,
                .flags = (task->spec.b_transposed ? NPUMM_WEIGHTS_B_TRANSPOSED : 0u) |
                         (task->spec.way == TASK_INLINE ? NPUMM_WEIGHTS_INLINE : 0u),
        };

        if (npumm_weights_load(task->client, &spec, &matmul->weights) != 0)
                die(0, "npumm_weights_load: %s", npumm_text(task->client));
        matmul->b = NULL;
        matmul->ldb = 0;
        matmul->flags &= ~(uint32_t)NPUMM_MATMUL_B_TRANSPOSED;
}

void task_init(struct task *task, struct npumm_client *client, const struct task_spec *spec, struct rng *rng)
{
        const uint64_t b_rows = spec->b_transposed ? spec->n : spec->k;
        const uint64_t b_cols = spec->b_transposed ? spec->k : spec->n;
        struct npumm_matmul *matmul = &task->matmul;

        *task = (struct task){.client = client, .spec = *spec};
        *matmul = (struct npumm_matmul){
                .size = sizeof *matmul,
                .m = spec->m,
                .k = spec->k,
                .n = spec->n,
                .lda = spec->k + spec->gap,
                .ldb = b_cols + spec->gap,
                .ldc = spec->n + spec->gap,
                .output = spec->output,
                .flags = (spec->b_transposed ? NPUMM_MATMUL_B_TRANSPOSED : 0u) |
                         (spec->way == TASK_INLINE ? NPUMM_MATMUL_INLINE : 0u),
        };
        if (spec->output == NPUMM_OUTPUT_INT8) {
                matmul->shift = rng_once_in(rng, 2) ? UNUSUAL_SHIFT : (uint32_t)rng_below(rng, 32);
                matmul->rounding = (enum npumm_rounding)rng_below(rng, 2);
        } else if (spec->output == NPUMM_OUTPUT_FLOAT32) {
                scales_init(task, rng);
        }
        matmul->a = task->a = take(task, spec->m * matmul->lda);
        matmul->b = task->b = take(task, b_rows * matmul->ldb);
        matmul->c = task->c = take(task, c_bytes(task));
        task->seen = calloc(spec->m, sizeof *task->seen);
        if (!task->seen)
                die(0, "no memory");
        rng_fill(rng, task->a, spec->m * matmul->lda);
        rng_fill(rng, task->b, b_rows * matmul->ldb);
        memset(task->c, POISON, c_bytes(task));
        if (spec->with_weights)
                weights_init(task);
}

void task_deinit(struct task *task)
{
        give_back(task, task->a);
        give_back(task, task->b);
        give_back(task, task->c);
        give_back(task, task->scales);
        free(task->seen);
}

/* ---- running ---- */

static void on_rows(struct npumm_client *client, uint64_t job, uint64_t first_row, uint64_t rows,
                    void *userdata)
{
        struct task *task = userdata;
        const uint64_t m = task->matmul.m;

        (void)client;
        if (task->n_ends > 0)
                die(0, "job %" PRIu64 ": rows after its end", job);
        if (rows == 0 || first_row > m || rows > m - first_row)
                die(0, "job %" PRIu64 ": rows %" PRIu64 "+%" PRIu64 " are not in a product of %" PRIu64, job,
                    first_row, rows, m);
        for (uint64_t row = first_row; row < first_row + rows; row++) {
                if (task->seen[row])
                        die(0, "job %" PRIu64 ": row %" PRIu64 " was reported twice", job, row);
                task->seen[row] = true;
        }
        task->rows_reported += rows;
        if (task->rows_fn)
                task->rows_fn(task);
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct task *task = userdata;

        if (task->n_ends++ > 0)
                die(0, "job %" PRIu64 " ended twice", job);
        if (task->job != job)
                die(0, "job %" PRIu64 " ended as job %" PRIu64, task->job, job);
        task->result = result;
        (void)snprintf(task->text, sizeof task->text, "%s", npumm_text(client));
        if ((result == 0) != (task->text[0] == '\0'))
                die(0, "job %" PRIu64 " ended with %d and the text \"%s\"", job, result, task->text);
        if (task->end_fn)
                task->end_fn(task);
}

void task_submit(struct task *task)
{
        if (npumm_submit(task->client, &task->matmul, on_rows, on_done, task, &task->job) != 0)
                die(0, "npumm_submit: %s", npumm_text(task->client));
}

void task_dispatch(struct npumm_client *client)
{
        if (npumm_dispatch(client, -1) != 0)
                die(0, "npumm_dispatch: %s", npumm_text(client));
}

struct npumm_client *task_connect(const struct daemon_process *daemon)
{
        const struct npumm_connect_options options = {.size = sizeof options,
                                                      .socket_path = daemon->socket_path};
        char text[NPUMM_TEXT_MAX];
        struct npumm_client *client;

        if (npumm_connect(&options, &client, text) != 0)
                die(0, "%s", text);
        return client;
}

/* ---- judging ---- */

static struct oracle_product product_of(const struct task *task)
{
        const struct npumm_matmul *matmul = &task->matmul;

        return (struct oracle_product){
                .m = matmul->m,
                .k = matmul->k,
                .n = matmul->n,
                .a = matmul->a,
                .lda = matmul->lda,
                .b = task->b,
                .ldb = (task->spec.b_transposed ? matmul->k : matmul->n) + task->spec.gap,
                .b_transposed = task->spec.b_transposed,
                .form = (enum oracle_form)matmul->output,
                .shift = matmul->shift,
                .nearest_even = matmul->rounding == NPUMM_ROUNDING_NEAREST_EVEN,
                .row_scale = matmul->row_scale,
                .col_scale = matmul->col_scale,
                .bias = matmul->bias,
        };
}

static void check_gap(const struct task *task, uint64_t row)
{
        const size_t elem_bytes = oracle_elem_bytes((enum oracle_form)task->matmul.output);
        const uint8_t *gap =
                (const uint8_t *)task->c + (row * task->matmul.ldc + task->matmul.n) * elem_bytes;

        for (size_t i = 0; i < task->spec.gap * elem_bytes; i++)
                if (gap[i] != POISON)
                        die(0, "job %" PRIu64 ": byte %zu behind row %" PRIu64 " was written to", task->job,
                            i, row);
}

void task_check_rows(const struct task *task)
{
        const struct oracle_product product = product_of(task);
        const uint64_t macs = task->matmul.m * task->matmul.k * task->matmul.n;
        const uint64_t step = 1 + macs / JUDGED_MACS;

        for (uint64_t row = 0; row < task->matmul.m; row++) {
                if (!task->seen[row])
                        continue;
                check_gap(task, row);
                if ((row % step == 0 || row == task->matmul.m - 1) &&
                    !oracle_check(&product, row, 1, task->c, task->matmul.ldc))
                        die(0, "job %" PRIu64 ": row %" PRIu64 " is not exact", task->job, row);
        }
}

void task_check(const struct task *task)
{
        if (task->n_ends != 1)
                die(0, "job %" PRIu64 " has not ended", task->job);
        if (task->result != 0)
                die(0, "job %" PRIu64 " ended with %d: %s", task->job, task->result, task->text);
        if (task->rows_reported != task->matmul.m)
                die(0, "job %" PRIu64 " is done with %" PRIu64 " of %" PRIu64 " rows reported", task->job,
                    task->rows_reported, task->matmul.m);
        task_check_rows(task);
}
