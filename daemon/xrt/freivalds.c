/* SPDX-License-Identifier: MIT */
/*
 * freivalds.c - see freivalds.h. Compiled with -O3.
 *
 * Tiles are read where they lie, in blocks of 8 columns (../../xclbin/README.md, section 3), with arithmetic of its
 * own: neither the packers nor the kernel can make a mistake here that they have made there.
 */
#include "daemon/xrt/freivalds.h"

#define TILE     64
#define COLUMNS  8 /* of a block */
#define BLOCKS   (TILE / COLUMNS)
#define A_HEIGHT 4 /* rows of a block */
#define B_HEIGHT 8
#define C_HEIGHT 4
#define A_HEADER 64
#define A_OBJECT (A_HEADER + 4096)
#define B_OBJECT 4096
#define C_TILE   16384
#define C_OBJECT (4 * C_TILE)
#define LANES    4
#define MACRO    256

void freivalds_init(struct freivalds *freivalds, uint64_t seed)
{
        freivalds->state = seed;
}

/* splitmix64: one addition and a mix of three rounds, a bijection of a counter. */
static uint64_t next(struct freivalds *freivalds)
{
        uint64_t z = freivalds->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

uint64_t freivalds_below(struct freivalds *freivalds, uint64_t n)
{
        return next(freivalds) % n;
}

/* sums[row] += tile x, for int8 tiles of blocks of this height. */
static inline void int8_tile_times(const uint8_t *tile, size_t height, const uint64_t *restrict x,
                                   uint64_t *restrict sums)
{
        for (size_t row = 0; row < TILE; row++) {
                const int8_t *from =
                        (const int8_t *)tile + row / height * height * TILE + row % height * COLUMNS;
                uint64_t sum = 0;

                for (size_t block = 0; block < BLOCKS; block++)
                        for (size_t i = 0; i < COLUMNS; i++)
                                sum += (uint64_t)(int64_t)from[block * height * COLUMNS + i] *
                                       x[block * COLUMNS + i];
                sums[row] += sum;
        }
}

static void int32_tile_times(const uint8_t *tile, const uint64_t *restrict x, uint64_t *restrict sums)
{
        for (size_t row = 0; row < TILE; row++) {
                const uint8_t *from = tile + (row / C_HEIGHT * C_HEIGHT * TILE + row % C_HEIGHT * COLUMNS) *
                                                     sizeof(int32_t);
                uint64_t sum = 0;

                for (size_t block = 0; block < BLOCKS; block++) {
                        int32_t word[COLUMNS];

                        memcpy(word, from + block * C_HEIGHT * sizeof word, sizeof word);
                        for (size_t i = 0; i < COLUMNS; i++)
                                sum += (uint64_t)(int64_t)word[i] * x[block * COLUMNS + i];
                }
                sums[row] += sum;
        }
}

/* b_r = B r */
static void b_times_r(struct freivalds *freivalds, const struct stream64_job *job, const uint8_t *b)
{
        memset(freivalds->b_r, 0, job->size.k * TILE * sizeof *freivalds->b_r);
        for (uint64_t lane = 0; lane < LANES; lane++)
                for (uint64_t n = 0; n < job->size.n; n++) {
                        const uint8_t *object =
                                b + job->b.offset + lane * job->b.lane_stride + n * job->size.k * B_OBJECT;

                        for (uint64_t k = 0; k < job->size.k; k++)
                                int8_tile_times(object + k * B_OBJECT, B_HEIGHT,
                                                freivalds->r + n * MACRO + lane * TILE,
                                                freivalds->b_r + k * TILE);
                }
}

/* rows = A (B r), of the row m of macro-tiles. */
static void a_times_b_r(struct freivalds *freivalds, const struct stream64_job *job, uint64_t m,
                        const uint8_t *a)
{
        memset(freivalds->rows, 0, sizeof freivalds->rows);
        for (uint64_t lane = 0; lane < LANES; lane++) {
                const uint8_t *object =
                        a + job->a.offset + lane * job->a.lane_stride + m * job->size.k * A_OBJECT;

                for (uint64_t k = 0; k < job->size.k; k++)
                        int8_tile_times(object + k * A_OBJECT + A_HEADER, A_HEIGHT, freivalds->b_r + k * TILE,
                                        freivalds->rows + lane * TILE);
        }
}

/* rows -= C r: all are 0 then. `first`: macro-tiles of the jobs before. */
static bool c_times_r_is_equal(struct freivalds *freivalds, const struct stream64_batch *batch, size_t job,
                               uint64_t first, uint64_t m, const uint8_t *c)
{
        const struct stream64_size size = batch->jobs[job].size;
        uint64_t c_r[MACRO] = {0};

        for (uint64_t lane = 0; lane < LANES; lane++)
                for (uint64_t n = 0; n < size.n; n++) {
                        const uint8_t *object = c + batch->c.offset + lane * batch->c.lane_stride +
                                                (first + n * size.m + m) * C_OBJECT;

                        for (uint64_t core = 0; core < LANES; core++)
                                int32_tile_times(object + core * C_TILE,
                                                 freivalds->r + n * MACRO + lane * TILE, c_r + core * TILE);
                }
        return memcmp(c_r, freivalds->rows, sizeof c_r) == 0;
}

bool freivalds_check(struct freivalds *freivalds, const struct stream64_batch *batch, size_t job,
                     const uint8_t *const buffers[STREAM64_ARG_MAX])
{
        const struct stream64_job *checked = &batch->jobs[job];
        uint64_t first = 0;

        assert(checked->size.n <= STREAM64_REPEAT_MAX && checked->size.k <= STREAM64_KT_MAX);
        for (size_t i = 0; i < job; i++)
                first += batch->jobs[i].size.m * batch->jobs[i].size.n;
        for (uint64_t col = 0; col < checked->size.n * MACRO; col++)
                freivalds->r[col] = next(freivalds);
        b_times_r(freivalds, checked, buffers[checked->b.arg]);
        for (uint64_t m = 0; m < checked->size.m; m++) {
                a_times_b_r(freivalds, checked, m, buffers[checked->a.arg]);
                if (!c_times_r_is_equal(freivalds, batch, job, first, m, buffers[batch->c.arg]))
                        return false;
        }
        return true;
}
