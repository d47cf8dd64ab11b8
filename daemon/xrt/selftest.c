/* SPDX-License-Identifier: MIT */
/* selftest.c - see selftest.h. */
#include "daemon/xrt/selftest.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/random.h>

#define ROUNDS 2

/* In their order in the batch. What shares a B with the one before is stacked with it. */
static const struct test_case {
        const char *name;
        uint64_t m, k, n;
        bool shares_b, b_transposed, b_stays;
} cases[] = {
        {"one full macro-tile", 256, 64, 256, false, true, false},
        {"edges, resident", 200, 130, 270, false, false, true},
        {"edges, resident, stacked", 100, 130, 270, true, false, true},
        {"few rows, deep", 5, 700, 40, false, false, false},
};

#define CASES ARRAY_SIZE(cases)

struct selftest {
        int8_t *a[CASES], *b[CASES]; /* owned; b of one that shares it is NULL */
        int32_t *c[CASES];           /* owned */
        struct product products[CASES];
        struct mapping region; /* of the B that stays */
};

static void selftest_deinit(struct selftest *test)
{
        for (size_t i = 0; i < CASES; i++) {
                free(test->a[i]);
                free(test->b[i]);
                free(test->c[i]);
        }
}

static bool fill(int8_t **ret_bytes, uint64_t n)
{
        int8_t *bytes = malloc(n);
        size_t done = 0;

        *ret_bytes = bytes;
        while (bytes && done < n) {
                const ssize_t got = getrandom(bytes + done, n - done, 0);

                if (got <= 0)
                        return false;
                done += (size_t)got;
        }
        return bytes != NULL;
}

static bool case_init(struct selftest *test, size_t i)
{
        const struct test_case *of = &cases[i];

        if (!fill(&test->a[i], of->m * of->k) || (!of->shares_b && !fill(&test->b[i], of->k * of->n)))
                return false;
        test->c[i] = malloc(of->m * of->n * sizeof(int32_t));
        test->products[i] = (struct product){
                .m = of->m,
                .k = of->k,
                .n = of->n,
                .a = test->a[i],
                .lda = of->k,
                .b = of->shares_b ? test->products[i - 1].b : test->b[i],
                .ldb = of->b_transposed ? of->k : of->n,
                .b_transposed = of->b_transposed,
                .c = test->c[i],
                .ldc = of->n,
                .form = OUTPUT_INT32,
        };
        return test->c[i] != NULL;
}

static bool product_is_right(const struct product *p)
{
        for (uint64_t row = 0; row < p->m; row++)
                for (uint64_t col = 0; col < p->n; col++) {
                        int32_t sum = 0;

                        for (uint64_t k = 0; k < p->k; k++)
                                sum += p->a[row * p->lda + k] *
                                       (p->b_transposed ? p->b[col * p->ldb + k] : p->b[k * p->ldb + col]);
                        if (((const int32_t *)p->c)[row * p->ldc + col] != sum)
                                return false;
                }
        return true;
}

static void work_fill(struct selftest *test, struct work *work)
{
        *work = (struct work){0};
        for (size_t i = 0; i < CASES; i++) {
                memset(test->c[i], 0, cases[i].m * cases[i].n * sizeof(int32_t));
                work_add(work, &test->products[i], 0, cases[i].m, cases[i].b_stays ? &test->region : NULL,
                         !work_stacks_with_last(work, &test->products[i]));
        }
}

/* Until all that is inside is done. */
static int engine_finish(struct engine *engine, struct xrt_fault *ret_fault)
{
        struct wire_done done;

        while (!engine_pop(engine, &done)) {
                struct pollfd end = {.fd = engine_fd(engine), .events = POLLIN};
                bool has_stepped;
                int r;

                r = engine_step(engine, &has_stepped, ret_fault);
                if (r != 0)
                        return r;
                (void)poll(&end, 1, has_stepped ? 0 : -1);
                r = engine_reap(engine, ret_fault);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int round_run(struct engine *engine, struct selftest *test, struct xrt_fault *ret_fault)
{
        int r;

        work_fill(test, engine_room(engine));
        engine_push(engine);
        r = engine_finish(engine, ret_fault);
        for (size_t i = 0; r == 0 && i < CASES; i++)
                if (!product_is_right(&test->products[i]))
                        r = xrt_fault_set(ret_fault, WIRE_CAUSE_WRONG, 0,
                                          "the self-test: %" PRIu64 " x %" PRIu64 ", K %" PRIu64
                                          " (%s) is wrong",
                                          cases[i].m, cases[i].n, cases[i].k, cases[i].name);
        return r;
}

int selftest_run(struct engine *engine, struct xrt_fault *ret_fault)
{
        _cleanup_(selftest_deinit) struct selftest test = {0};
        int r = 0;

        for (size_t i = 0; i < CASES; i++)
                if (!case_init(&test, i))
                        return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, ENOMEM,
                                             "no memory for the self-test");
        for (unsigned i = 0; r == 0 && i < ROUNDS; i++)
                r = round_run(engine, &test, ret_fault);
        if (r == 0)
                engine_forget(engine, &test.region);
        return r;
}
