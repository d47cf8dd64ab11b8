/* SPDX-License-Identifier: MIT */
/* cli-selftest-judge.c - see cli-selftest-judge.h. */
#include "cli-selftest-judge.h"

static double right_int8(int32_t sum, uint32_t shift)
{
        /* Rounded towards minus infinity, in whatever way the compiler shifts negative numbers. */
        const int32_t shifted = sum >= 0 ? sum >> shift : ~(~sum >> shift);

        return MAX(MIN(shifted, INT8_MAX), INT8_MIN);
}

/* Each step rounded to float. */
static double right_float32(const struct npumm_matmul *job, int32_t sum, uint64_t row, uint64_t col)
{
        float value = (float)sum;

        if (job->row_scale)
                value *= job->row_scale[row];
        if (job->col_scale)
                value *= job->col_scale[col];
        if (job->bias)
                value += job->bias[col];
        return (double)value;
}

static double element_right(const struct npumm_matmul *job, const int8_t *b, uint64_t row, uint64_t col)
{
        int32_t sum = 0;

        for (uint64_t i = 0; i < job->k; i++)
                sum += job->a[row * job->k + i] * b[i * job->n + col]; /* K is small enough for int32 */
        switch (job->output) {
        case NPUMM_OUTPUT_INT8:
                return right_int8(sum, job->shift);
        case NPUMM_OUTPUT_FLOAT32:
                return right_float32(job, sum, row, col);
        default:
                return sum;
        }
}

static double element_found(const struct npumm_matmul *job, uint64_t at)
{
        switch (job->output) {
        case NPUMM_OUTPUT_INT8:
                return ((const int8_t *)job->c)[at];
        case NPUMM_OUTPUT_FLOAT32:
                return (double)((const float *)job->c)[at];
        default:
                return ((const int32_t *)job->c)[at];
        }
}

struct selftest_flaws selftest_judge(const struct npumm_matmul *job, const int8_t *b)
{
        struct selftest_flaws flaws = {.n_elems = job->m * job->n};

        for (uint64_t at = 0; at < flaws.n_elems; at++) {
                const uint64_t row = at / job->n, col = at % job->n;
                const double right = element_right(job, b, row, col), found = element_found(job, at);

                if (found == right)
                        continue;
                if (flaws.n_wrong++ > 0)
                        continue;
                flaws.row = row;
                flaws.col = col;
                flaws.found = found;
                flaws.right = right;
        }
        return flaws;
}
