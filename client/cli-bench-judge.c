/* SPDX-License-Identifier: MIT */
/* cli-bench-judge.c - see cli-bench-judge.h. */
#include "cli-bench-judge.h"

#define TILE_DEPTH 16u /* of K, and */
#define TILE_SHIFT 7u  /* of each partial sum: what TILE16_SHIFT7 is named after */

static int32_t clamp(int32_t value)
{
        return MAX(MIN(value, INT8_MAX), INT8_MIN);
}

/* Rounded towards minus infinity, in whatever way the compiler shifts negative numbers. */
static int32_t shift_down(int32_t value, unsigned shift)
{
        return value >= 0 ? value >> shift : ~(~value >> shift);
}

/* Moves the sums of one tile over to `totals`. */
static void tile_fold(uint64_t n, int32_t *sums, int32_t *totals)
{
        for (uint64_t j = 0; j < n; j++) {
                totals[j] += clamp(shift_down(sums[j], TILE_SHIFT));
                sums[j] = 0;
        }
}

static double element_right(enum npumm_output output, int32_t sum, int32_t total)
{
        switch (output) {
        case NPUMM_OUTPUT_INT8:
                return clamp(shift_down(sum, BENCH_SHIFT));
        case NPUMM_OUTPUT_FLOAT32:
                return (double)(float)sum;
        case NPUMM_OUTPUT_TILE16_SHIFT7:
                return clamp(total);
        default:
                return sum;
        }
}

static double element_found(enum npumm_output output, const void *c, uint64_t at)
{
        switch (output) {
        case NPUMM_OUTPUT_INT32:
                return ((const int32_t *)c)[at];
        case NPUMM_OUTPUT_FLOAT32:
                return (double)((const float *)c)[at];
        default:
                return ((const int8_t *)c)[at];
        }
}

bool bench_judge_row(enum npumm_output output, uint64_t k, uint64_t n, const int8_t *a, const int8_t *b,
                     const void *c, int32_t *room, struct bench_flaw *ret_flaw)
{
        int32_t *sums = room, *totals = room + n;

        memset(room, 0, bench_judge_room(n) * sizeof *room);
        for (uint64_t i = 0; i < k; i++) {
                for (uint64_t j = 0; j < n; j++)
                        sums[j] += a[i] * b[i * n + j]; /* K is small enough for int32 */
                if (output == NPUMM_OUTPUT_TILE16_SHIFT7 && (i % TILE_DEPTH == TILE_DEPTH - 1 || i + 1 == k))
                        tile_fold(n, sums, totals);
        }
        for (uint64_t j = 0; j < n; j++) {
                const double right = element_right(output, sums[j], totals[j]);
                const double found = element_found(output, c, j);

                if (found != right) {
                        *ret_flaw = (struct bench_flaw){.col = j, .found = found, .right = right};
                        return false;
                }
        }
        return true;
}
