/* SPDX-License-Identifier: MIT */
/*
 * pack.c - see pack.h. Compiled with -O3: the loops over 8-byte words are written to be unrolled.
 *
 * All layouts are made of blocks of 8 columns, so a row moves in *words* of 8 elements, whatever they are. Words are
 * never cut: where a matrix ends within a tile, its edge is first copied to where there are zeros beside it.
 */
#include "daemon/npu/pack.h"

#include "daemon/device/output.h"

#define TILE       STREAM64_TILE
#define WORD       8               /* columns of a block, of any matrix */
#define TILE_WORDS (TILE / WORD)   /* of a row of a tile: its blocks */
#define A_HEIGHT   STREAM64_MMUL_M /* its rows */
#define B_HEIGHT   STREAM64_MMUL_K
#define C_HEIGHT   STREAM64_MMUL_M

static_assert(STREAM64_MMUL_K == WORD && STREAM64_MMUL_N == WORD, "all blocks are a word wide");

typedef uint64_t words __attribute__((vector_size(2 * WORD)));

/* Two words each of two rows: those of one block stand side by side. */
static inline void words_pack(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld, size_t height)
{
        words upper, lower, left, right;

        memcpy(&upper, from, sizeof upper);
        memcpy(&lower, from + ld, sizeof lower);
        left = __builtin_shufflevector(upper, lower, 0, 2);
        right = __builtin_shufflevector(upper, lower, 1, 3);
        memcpy(to, &left, sizeof left);
        memcpy(to + height * WORD, &right, sizeof right);
}

/* Up to `height` rows of one tile into a row of blocks of that height; `to`: the first row's first word. */
static inline void rows_pack(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld, size_t rows,
                             size_t height)
{
        for (size_t word = 0; word < TILE_WORDS; word += 2) {
                size_t r = 0;

                for (; r + 2 <= rows; r += 2)
                        words_pack(to + (word * height + r) * WORD, from + r * ld + word * WORD, ld, height);
                for (; r < rows; r++)
                        for (size_t i = word; i < word + 2; i++)
                                memcpy(to + (i * height + r) * WORD, from + r * ld + i * WORD, WORD);
        }
}

/* ---- A ---- */

/* Where row `row` of a job begins in its A: the first object that has it, header included. */
static uint8_t *a_row_object(uint8_t *buffer, const struct stream64_job *job, uint64_t row)
{
        const uint64_t m = row / STREAM64_MACRO_ROWS, lane = row % STREAM64_MACRO_ROWS / TILE;

        return buffer + job->a.offset + lane * job->a.lane_stride + m * job->size.k * STREAM64_A_OBJECT_BYTES;
}

/* Where a row's first word is in its object. */
static uint64_t a_row_offset(uint64_t row)
{
        const uint64_t r = row % TILE;

        return STREAM64_HEADER_BYTES + r / A_HEIGHT * A_HEIGHT * TILE + r % A_HEIGHT * WORD;
}

/* The last columns of K, fewer than 64. */
static void a_edge_pack(uint8_t *to, const int8_t *from, uint64_t ld, size_t rows, uint64_t k)
{
        int8_t edge[A_HEIGHT][TILE] = {{0}};

        for (size_t r = 0; r < rows; r++)
                memcpy(edge[r], from + r * ld, k);
        rows_pack(to, edge[0], TILE, rows, A_HEIGHT);
}

/* Rows of one row of blocks, through all of K. Unrolled where `rows` is a constant. */
static inline void a_rows_pack(uint8_t *to, const int8_t *from, uint64_t ld, size_t rows, uint64_t k)
{
        for (; k >= TILE; k -= TILE, from += TILE, to += STREAM64_A_OBJECT_BYTES)
                rows_pack(to, from, ld, rows, A_HEIGHT);
        if (k > 0)
                a_edge_pack(to, from, ld, rows, k);
}

void pack_a(uint8_t *buffer, const struct stream64_job *job, const struct pack_part *part,
            struct pack_count *count)
{
        const struct product *p = part->product;
        size_t rows;

        assert(job->size.k == stream64_size_of(1, p->k, 1).k);
        assert(part->job_row + part->rows <= job->size.m * STREAM64_MACRO_ROWS);
        for (uint64_t row = 0; row < part->rows; row += rows) {
                const uint64_t job_row = part->job_row + row;
                const int8_t *from = p->a + (part->first_row + row) * p->lda;
                uint8_t *to = a_row_object(buffer, job, job_row) + a_row_offset(job_row);

                rows = (size_t)MIN(A_HEIGHT - job_row % A_HEIGHT, part->rows - row);
                if (rows == A_HEIGHT)
                        a_rows_pack(to, from, p->lda, A_HEIGHT, p->k);
                else
                        a_rows_pack(to, from, p->lda, rows, p->k);
        }
        count->a_bytes += part->rows * p->k;
}

/* Zeros for the rows of an object's tile from `rows` on, fewer than 64. */
static void a_rows_zero(uint8_t *object, uint64_t rows)
{
        const uint64_t whole = rows + (A_HEIGHT - rows % A_HEIGHT) % A_HEIGHT;

        for (size_t word = 0; rows < whole && word < TILE_WORDS; word++)
                memset(object + a_row_offset(rows) + word * A_HEIGHT * WORD, 0, (whole - rows) * WORD);
        memset(object + STREAM64_HEADER_BYTES + whole * TILE, 0, (TILE - whole) * TILE);
}

void pack_a_frame(uint8_t *buffer, const struct stream64_job *job, uint64_t rows)
{
        uint8_t header[STREAM64_HEADER_BYTES] = {0};

        assert(rows <= job->size.m * STREAM64_MACRO_ROWS);
        put_le(header, job->size.k, 4);
        put_le(header + 4, STREAM64_MAGIC, 4);
        for (uint64_t row = 0; row < job->size.m * STREAM64_MACRO_ROWS; row += TILE) {
                uint8_t *object = a_row_object(buffer, job, row);

                for (uint64_t k = 0; k < job->size.k; k++, object += STREAM64_A_OBJECT_BYTES) {
                        memcpy(object, header, sizeof header);
                        if (rows < row + TILE)
                                a_rows_zero(object, rows > row ? rows - row : 0);
                }
        }
}

/* ---- B ---- */

/* A whole tile of B stored K x N. */
static void b_tile_pack(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld)
{
        for (size_t r = 0; r < TILE; r += B_HEIGHT)
                rows_pack(to + r * TILE, from + r * ld, ld, B_HEIGHT, B_HEIGHT);
}

typedef uint8_t pair __attribute__((vector_size(2 * WORD)));

/*
 * Two blocks, one above the other, from 8 columns of B that are stored as rows of 16. Each round interleaves the bytes
 * of vector i with those of i + 4: the highest bit of a byte's row becomes the lowest of its place. After three rounds
 * all of the row is there, and bytes are sorted by column first: transposed.
 */
static inline void b_blocks_transpose(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld)
{
        pair v[WORD], turned[WORD];

        for (size_t i = 0; i < WORD; i++)
                memcpy(&v[i], from + i * ld, sizeof v[i]);
        for (size_t round = 0; round < 3; round++) {
                for (size_t i = 0; i < WORD / 2; i++) {
                        const pair a = v[i], b = v[i + WORD / 2];

                        turned[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                                                21, 6, 22, 7, 23);
                        turned[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                                    28, 13, 29, 14, 30, 15, 31);
                }
                memcpy(v, turned, sizeof v);
        }
        memcpy(to, v, sizeof v / 2);
        memcpy(to + B_HEIGHT * TILE, &v[WORD / 2], sizeof v / 2);
}

/* A whole tile of B stored N x K. */
static void b_tile_transpose(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld)
{
        for (size_t col = 0; col < TILE; col += WORD)
                for (size_t k = 0; k < TILE; k += 2 * B_HEIGHT)
                        b_blocks_transpose(to + k * TILE + col * B_HEIGHT, from + col * ld + k, ld);
}

typedef void (*tile_pack_fn)(uint8_t *restrict to, const int8_t *restrict from, uint64_t ld);

/* A tile of which B has `rows` rows of `depth` elements, as it is stored: zeros for the others. */
static void b_edge_pack(tile_pack_fn tile_pack, uint8_t *to, const int8_t *from, uint64_t ld, uint64_t rows,
                        uint64_t depth)
{
        int8_t edge[TILE][TILE] = {{0}};

        for (size_t r = 0; r < rows; r++)
                memcpy(edge[r], from + r * ld, depth);
        tile_pack(to, edge[0], TILE);
}

/* The tile at row k and column col of B, `rows` x `cols` of which are the part's. */
static void b_any_tile_pack(uint8_t *to, const struct product *p, uint64_t k, uint64_t col, uint64_t rows,
                            uint64_t cols)
{
        const tile_pack_fn tile_pack = p->b_transposed ? b_tile_transpose : b_tile_pack;
        const int8_t *from = p->b_transposed ? p->b + col * p->ldb + k : p->b + k * p->ldb + col;

        if (rows == TILE && cols == TILE)
                tile_pack(to, from, p->ldb);
        else if (p->b_transposed)
                b_edge_pack(tile_pack, to, from, p->ldb, cols, rows);
        else
                b_edge_pack(tile_pack, to, from, p->ldb, rows, cols);
}

void pack_b(uint8_t *buffer, const struct stream64_lanes *lanes, const struct pack_part *part,
            struct pack_count *count)
{
        const struct product *p = part->product;
        const struct stream64_size size = stream64_size_of(1, p->k, part->cols);

        for (uint64_t col = 0; col < size.n * STREAM64_MACRO_COLS; col += TILE) {
                const uint64_t n = col / STREAM64_MACRO_COLS, lane = col % STREAM64_MACRO_COLS / TILE;
                uint8_t *to = buffer + lanes->offset + lane * lanes->lane_stride +
                              n * size.k * STREAM64_B_OBJECT_BYTES;

                if (col >= part->cols) {
                        memset(to, 0, size.k * STREAM64_B_OBJECT_BYTES);
                        continue;
                }
                for (uint64_t k = 0; k < p->k; k += TILE, to += STREAM64_B_OBJECT_BYTES)
                        b_any_tile_pack(to, p, k, part->first_col + col, MIN(p->k - k, TILE),
                                        MIN(part->cols - col, TILE));
        }
        count->b_bytes += p->k * part->cols;
}

/* ---- C ---- */

#define SUM_BYTES sizeof(int32_t)

/* A job's C in a buffer. */
struct c_job {
        const uint8_t *first; /* macro-tile, lane 0 */
        uint64_t lane_stride;
        uint64_t mt; /* macro-tiles in a column */
};

static struct c_job c_job_of(const uint8_t *buffer, const struct stream64_batch *batch, size_t job)
{
        const struct stream64_job *jobs = batch->jobs;
        uint64_t first = 0;

        for (size_t i = 0; i < job; i++)
                first += jobs[i].size.m * jobs[i].size.n;
        return (struct c_job){.first = buffer + batch->c.offset + first * STREAM64_C_OBJECT_BYTES,
                              .lane_stride = batch->c.lane_stride,
                              .mt = jobs[job].size.m};
}

/* Where the sum in this row of the job, and in this column, a multiple of 64, is. */
static const uint8_t *c_sums(const struct c_job *job, uint64_t row, uint64_t col)
{
        const uint64_t macro_tile = col / STREAM64_MACRO_COLS * job->mt + row / STREAM64_MACRO_ROWS;
        const uint64_t lane = col % STREAM64_MACRO_COLS / TILE, core = row % STREAM64_MACRO_ROWS / TILE;
        const uint64_t r = row % TILE;

        return job->first + lane * job->lane_stride + macro_tile * STREAM64_C_OBJECT_BYTES +
               core * STREAM64_C_TILE_BYTES +
               (r / C_HEIGHT * C_HEIGHT * TILE + r % C_HEIGHT * WORD) * SUM_BYTES;
}

/* `rows` rows of `n` elements of C, from sums in one row of blocks. */
static void rows_unpack(const struct product *p, uint64_t row, uint64_t col, const uint8_t *from, size_t rows,
                        size_t n)
{
        int32_t sums[TILE];

        for (size_t r = 0; r < rows; r++) {
                for (size_t i = 0; i < n; i += WORD) /* blocks are whole, if C is not */
                        memcpy(sums + i, from + (i * C_HEIGHT + r * WORD) * SUM_BYTES, WORD * SUM_BYTES);
                output_store(p, row + r, col, sums, n); /* summed in one step: there is nothing to fold */
        }
}

/* The commonest case of it, at four fifths of memcpy's speed: whole blocks, elements that are the sums. */
static void blocks_copy(int32_t *restrict to, const uint8_t *restrict from, uint64_t ld)
{
        for (size_t word = 0; word < TILE_WORDS; word++)
                for (size_t r = 0; r < C_HEIGHT; r++, from += WORD * SUM_BYTES)
                        memcpy(to + r * ld + word * WORD, from, WORD * SUM_BYTES);
}

void unpack_c(const uint8_t *buffer, const struct stream64_batch *batch, size_t job,
              const struct pack_part *part, struct pack_count *count)
{
        const struct c_job c = c_job_of(buffer, batch, job);
        const struct product *p = part->product;
        size_t rows, cols;

        assert(p->form != OUTPUT_TILE16_SHIFT7);
        assert(part->job_row + part->rows <= batch->jobs[job].size.m * STREAM64_MACRO_ROWS);
        assert(part->cols <= batch->jobs[job].size.n * STREAM64_MACRO_COLS);
        for (uint64_t row = 0; row < part->rows; row += rows) {
                const uint64_t job_row = part->job_row + row, c_row = part->first_row + row;

                rows = (size_t)MIN(C_HEIGHT - job_row % C_HEIGHT, part->rows - row);
                for (uint64_t col = 0; col < part->cols; col += cols) {
                        const uint8_t *from = c_sums(&c, job_row, col);
                        const uint64_t c_col = part->first_col + col;

                        cols = (size_t)MIN(TILE, part->cols - col);
                        if (p->form == OUTPUT_INT32 && rows == C_HEIGHT && cols == TILE)
                                blocks_copy((int32_t *)p->c + c_row * p->ldc + c_col, from, p->ldc);
                        else
                                rows_unpack(p, c_row, c_col, from, rows, cols);
                }
        }
        count->c_bytes += part->rows * part->cols * SUM_BYTES;
}
