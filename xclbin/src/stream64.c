/* SPDX-License-Identifier: MIT */
/*
 * stream64.c - the kernel of the batch format: C += A B for one 64x64x64 step of one core.
 *
 * Role:   one source, valid C11 and C++20. __AIENGINE__, which Peano and xchesscc define, selects the path for the
 *         NPU's vector unit. All others get the definition in plain C, arranged so that GCC vectorises it (-O3).
 * Never:  keeps anything from one call to the next, or a large thing on the NPU's stack: it is 3,328 B.
 *
 * The vector path has not run on an NPU: tests/xclbin/vector.sh runs it over a model of the AIE API's few functions.
 */
#include "stream64.h"

/* Elements of a tile's side; rows of a block of A and C; depth and columns of a block. */
enum { TILE = 64, M = 4, K = 8, N = 8 };

enum { A_HEADER_WORDS = 16 };

#ifdef __AIENGINE__

#include <aie_api/aie.hpp>

typedef aie::mmul<M, K, N, int8_t, int8_t> block;

void stream64_zero(int32_t *c)
{
        const auto zeros = aie::zeros<int32_t, 16>();

        for (unsigned i = 0; i < TILE * TILE; i += 16)
                aie::store_v(c + i, zeros);
}

/*
 * Two by two blocks of C at a time stay in accumulators for the whole depth: four multiplications for four loads, and
 * nothing spilled. The loops carry no hints to the compiler: a promise about trip counts that is not kept is a way to
 * wrong sums, and these are constants.
 */
void stream64_step(const int32_t *a, const int8_t *b, int32_t *c)
{
        const int8_t *tile = (const int8_t *)(a + A_HEADER_WORDS);

        for (unsigned m = 0; m < TILE / M; m += 2) {
                for (unsigned n = 0; n < TILE / N; n += 2) {
                        const int8_t *a0 = tile + m * (TILE / K) * block::size_A;
                        const int8_t *a1 = a0 + (TILE / K) * block::size_A;
                        const int8_t *b0 = b + n * block::size_B;
                        int32_t *c0 = c + (m * (TILE / N) + n) * block::size_C;
                        int32_t *c1 = c0 + (TILE / N) * block::size_C;
                        block c00(aie::load_v<block::size_C>(c0));
                        block c01(aie::load_v<block::size_C>(c0 + block::size_C));
                        block c10(aie::load_v<block::size_C>(c1));
                        block c11(aie::load_v<block::size_C>(c1 + block::size_C));

                        for (unsigned k = 0; k < TILE / K; k++) {
                                const auto va0 = aie::load_v<block::size_A>(a0 + k * block::size_A);
                                const auto va1 = aie::load_v<block::size_A>(a1 + k * block::size_A);
                                const int8_t *bk = b0 + k * (TILE / N) * block::size_B;
                                const auto vb0 = aie::load_v<block::size_B>(bk);
                                const auto vb1 = aie::load_v<block::size_B>(bk + block::size_B);

                                c00.mac(va0, vb0);
                                c01.mac(va0, vb1);
                                c10.mac(va1, vb0);
                                c11.mac(va1, vb1);
                        }
                        aie::store_v(c0, c00.to_vector<int32_t>());
                        aie::store_v(c0 + block::size_C, c01.to_vector<int32_t>());
                        aie::store_v(c1, c10.to_vector<int32_t>());
                        aie::store_v(c1 + block::size_C, c11.to_vector<int32_t>());
                }
        }
}

#elif defined(__aie__) || defined(__PEANO__)
#error "a compiler for the NPU that does not define __AIENGINE__: the plain path would overrun the core's stack"
#else

#include <string.h>

void stream64_zero(int32_t *c)
{
        memset(c, 0, TILE * TILE * sizeof *c);
}

/* Where element (row, col) of a 64x64 tile of row x col blocks is. */
static unsigned place(unsigned row, unsigned col, unsigned block_rows, unsigned block_cols)
{
        return (row / block_rows * (TILE / block_cols) + col / block_cols) * (block_rows * block_cols) +
               row % block_rows * block_cols + col % block_cols;
}

/*
 * A row-major and B column-major, as int16: so an element of C is a sum of products of neighbours, which the baseline
 * of x86-64 multiplies eight at a time and adds in pairs (PMADDWD). A sum of 64 products is 2^20 at most.
 */
void stream64_step(const int32_t *a, const int8_t *b, int32_t *c)
{
        const int8_t *tile = (const int8_t *)(a + A_HEADER_WORDS);
        int16_t rows[TILE][TILE], cols[TILE][TILE];

        for (unsigned i = 0; i < TILE; i++) {
                for (unsigned k = 0; k < TILE; k++) {
                        rows[i][k] = tile[place(i, k, M, K)];
                        cols[i][k] = b[place(k, i, K, N)];
                }
        }
        for (unsigned row = 0; row < TILE; row++) {
                for (unsigned col = 0; col < TILE; col++) {
                        int32_t *sum = &c[place(row, col, M, N)];
                        int32_t step = 0;

                        for (unsigned k = 0; k < TILE; k++)
                                step += rows[row][k] * cols[col][k];
                        *sum = (int32_t)((uint32_t)*sum + (uint32_t)step);
                }
        }
}

#endif
