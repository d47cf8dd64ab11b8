/* SPDX-License-Identifier: MIT */
/*
 * tile.c - see tile.h: the outer loops around a kernel's register tiles.
 *
 * From outside in: columns, as many as can be packed at once if B is not; blocks of rows, whose part of A stays in the
 * second-level cache; slices of K, so that this is true for any K; strips of panels; and in these register tiles, along
 * the rows of C, for which the machine fetches lines ahead.
 *
 * Sums go straight from registers to C where C is the int32 of one product, and K is of one slice. Otherwise they
 * go to scratch, and are stored from there while they are in the first-level cache; or, if K is of several slices,
 * after the last.
 */
#include "daemon/kernel/tile.h"

#include "daemon/device/output.h"
#include "daemon/device/output-store.h"

/*
 * Measured on an AMD EPYC (Zen 4) guest, 1 MiB of second-level cache. Deeper slices would need more scratch, and
 * shallower ones sum more often; strips of one panel write C in pieces of 128 bytes, too short for the machine to see
 * what comes next.
 */
#define BLOCK_ROWS   140                   /* a multiple of any kernel's rows, or nearly */
#define BLOCK_DEPTH  8192                  /* of a slice of K */
#define STRIP_PANELS 8                     /* that a register tile's rows meet one after the other */
#define SUMS_COLS    256                   /* if K is of several slices */
#define A_BYTES      ((size_t)512 * 1024)  /* of a block's copy */
#define B_BYTES      ((size_t)1024 * 1024) /* of what is packed at once: 4 panels of the deepest slice */
/* Rows that are such a multiple apart share a few lines of the first-level cache, and push each other out. */
#define BAD_STRIDE 2048
/* Of B, if few rows meet it: more than this comes from beyond the second-level cache. So far ahead it is fetched. */
#define FAR_BYTES   ((uint64_t)768 * 1024)
#define AHEAD_BYTES ((size_t)128 * 1024)

static_assert(B_BYTES / (BLOCK_DEPTH * KERNEL_PANEL_COLS) >= 4, "the widest register tile can be packed");
static_assert(BLOCK_DEPTH % TILE16_DEPTH == 0, "no step of K is cut");

/* A row of the stack. */
struct line {
        const struct product *product;
        uint64_t row;  /* of the product */
        uint64_t more; /* lines from here on that are the next rows of the same product */
};

struct scratch {
        _Alignas(64) uint8_t b[B_BYTES];
        _Alignas(64) uint8_t a[A_BYTES];
        _Alignas(64) int32_t sums[BLOCK_ROWS * SUMS_COLS];
        _Alignas(64) int32_t tile[KERNEL_TILE_MAX];
        _Alignas(64) int32_t init[BLOCK_ROWS];
        struct line lines[BLOCK_ROWS];
};

/* One thread's way through a tile. */
struct work {
        const struct kernel_plan *plan;
        const struct kernel_ops *ops;
        const struct product *product; /* any of the stack's: B, K and N are those of all */
        struct scratch *scratch;
        uint64_t depth; /* of a slice of K */
        bool is_summed; /* by way of scratch::sums */
        struct {
                uint64_t first, n; /* panels */
        } columns;
        size_t rows;      /* of the block */
        const uint8_t *b; /* the first panel, at the first group of the slice */
        size_t panel_stride;
        const void *a;
        size_t a_stride;
};

size_t kernel_scratch_bytes(void)
{
        return sizeof(struct scratch);
}

static size_t cols_of(const struct work *w, uint64_t panel, size_t panels)
{
        return (size_t)MIN((uint64_t)panels * KERNEL_PANEL_COLS, w->product->n - panel * KERNEL_PANEL_COLS);
}

/* ---- a block of rows ---- */

/* Finds rows `row` .. `row + rows - 1` of the stack. */
static void lines_find(struct work *w, uint64_t row, size_t rows)
{
        const struct slice *slice = w->plan->slices;
        struct line *lines = w->scratch->lines;

        for (; row >= slice->rows; slice++)
                row -= slice->rows;
        for (size_t i = 0; i < rows; i++, row++) {
                if (row == slice->rows) {
                        slice++;
                        row = 0;
                }
                lines[i] = (struct line){slice->product, slice->first_row + row,
                                         MIN(slice->rows - row, (uint64_t)(rows - i))};
        }
        w->rows = rows;
}

static const int8_t *line_a(const struct line *line)
{
        return line->product->a + line->row * line->product->lda;
}

/* Prepares K from `k` on of the block's rows of A. */
static void a_prepare(struct work *w, uint64_t k, uint64_t depth)
{
        const struct line *lines = w->scratch->lines;
        const size_t bytes = kernel_groups(depth) * KERNEL_GROUP * w->ops->copy_elem_bytes;

        if (w->ops->copy_elem_bytes == 1 && lines[0].more >= w->rows && depth % KERNEL_GROUP == 0 &&
            (w->rows <= 4 || lines[0].product->lda % BAD_STRIDE != 0)) {
                w->a = line_a(&lines[0]) + k;
                w->a_stride = lines[0].product->lda;
                return;
        }
        w->a = w->scratch->a;
        w->a_stride = (bytes + 63) / 64 * 64 + (bytes + 63) / 64 % 2 * 64 + 64; /* an odd number of lines */
        for (size_t i = 0; i < w->rows; i++)
                w->ops->copy(line_a(&lines[i]) + k, depth, w->scratch->a + i * w->a_stride);
}

/* The most rows that can be copied. */
static size_t block_rows_max(const struct work *w)
{
        const size_t rows = A_BYTES / (w->depth * w->ops->copy_elem_bytes + 192); /* strides are rounded up */

        return MIN((size_t)BLOCK_ROWS, rows / w->plan->kernel->rows * w->plan->kernel->rows);
}

static void b_pack(struct work *w, uint64_t k, uint64_t depth)
{
        const struct product *p = w->product;
        const uint64_t col = w->columns.first * KERNEL_PANEL_COLS;
        const int8_t *b = p->b + (p->b_transposed ? col * p->ldb + k : k * p->ldb + col);

        w->panel_stride = kernel_groups(depth) * KERNEL_GROUP_BYTES;
        w->b = w->scratch->b;
        w->ops->pack(b, p->ldb, p->b_transposed, depth, cols_of(w, w->columns.first, w->columns.n),
                     w->panel_stride, w->scratch->b);
}

static void b_find(struct work *w, uint64_t k)
{
        w->panel_stride = kernel_groups(w->product->k) * KERNEL_GROUP_BYTES;
        w->b = w->plan->packed + w->columns.first * w->panel_stride + k / KERNEL_GROUP * KERNEL_GROUP_BYTES;
}

/* Stores `rows` rows of totals, from whichever products they are. */
static void totals_store(const struct work *w, size_t first, size_t rows, uint64_t col, size_t cols,
                         const int32_t *totals, size_t stride)
{
        const struct line *line = &w->scratch->lines[first];

        while (rows > 0) {
                const size_t n = (size_t)MIN(line->more, (uint64_t)rows);

                w->ops->store(line->product, line->row, n, col, cols, totals, stride);
                totals += n * stride;
                line += n;
                rows -= n;
        }
}

/*
 * How far ahead B is to be fetched by a register tile so wide: panels are read side by side, so that the same place of
 * a later tile's is next; if panels are too deep for that, a later place of the same.
 */
static size_t bytes_ahead(const struct work *w, size_t panels)
{
        const size_t tile_bytes = panels * w->panel_stride;

        if (!w->plan->packed || w->rows > KERNEL_ROWS_MAX || w->columns.n * w->panel_stride < FAR_BYTES)
                return 0;
        return tile_bytes <= AHEAD_BYTES ? AHEAD_BYTES / tile_bytes * tile_bytes : 16 * KERNEL_GROUP_BYTES;
}

/* A register tile: `rows` rows of the block from `first` on; `panel` counts from the first of the columns. */
static void register_tile(struct work *w, size_t first, size_t rows, uint64_t panel, size_t panels,
                          uint64_t depth, bool is_first_slice)
{
        const struct line *line = &w->scratch->lines[first];
        const struct product *p = line->product;
        const uint64_t col = (w->columns.first + panel) * KERNEL_PANEL_COLS;
        const bool is_direct = !w->is_summed && p->form == OUTPUT_INT32 && line->more >= rows;
        struct dots dots = {
                .a = (const char *)w->a + first * w->a_stride,
                .a_stride = w->a_stride,
                .b = w->b + panel * w->panel_stride,
                .panel_stride = w->panel_stride,
                .groups = kernel_groups(depth),
                .ahead = bytes_ahead(w, panels),
                .init = is_first_slice ? w->scratch->init + first : NULL,
                .cols = cols_of(w, w->columns.first + panel, panels),
        };

        if (is_direct) {
                dots.sums = (int32_t *)p->c + line->row * p->ldc + col;
                dots.sums_stride = p->ldc;
        } else if (w->is_summed) {
                dots.sums = w->scratch->sums + first * SUMS_COLS + panel * KERNEL_PANEL_COLS;
                dots.sums_stride = SUMS_COLS;
                dots.cols = panels * KERNEL_PANEL_COLS;
        } else {
                dots.sums = w->scratch->tile;
                dots.sums_stride = panels * KERNEL_PANEL_COLS;
        }
        w->ops->dots(&dots, rows, panels);
        if (!is_direct && !w->is_summed)
                totals_store(w, first, rows, col, dots.cols, dots.sums, dots.sums_stride);
}

/* The same for the form that folds each 16-deep sum by itself; into scratch::sums. */
static void folded_tile(struct work *w, size_t first, size_t rows, uint64_t panel, size_t panels, uint64_t k,
                        uint64_t depth)
{
        const struct line *lines = w->scratch->lines + first;
        const size_t cols = panels * KERNEL_PANEL_COLS;
        int32_t *sums = w->scratch->sums + first * SUMS_COLS + panel * KERNEL_PANEL_COLS;
        int32_t init[KERNEL_ROWS_MAX];

        for (size_t r = 0; k == 0 && r < rows; r++)
                memset(sums + r * SUMS_COLS, 0, cols * sizeof *sums);
        for (uint64_t step = 0; step < depth; step += TILE16_DEPTH) {
                const size_t step_depth = (size_t)MIN((uint64_t)TILE16_DEPTH, depth - step);
                const struct dots dots = {
                        .a = (const char *)w->a + first * w->a_stride + step * w->ops->copy_elem_bytes,
                        .a_stride = w->a_stride,
                        .b = w->b + panel * w->panel_stride + step / KERNEL_GROUP * KERNEL_GROUP_BYTES,
                        .panel_stride = w->panel_stride,
                        .groups = kernel_groups(step_depth),
                        .init = init,
                        .sums = w->scratch->tile,
                        .sums_stride = cols,
                        .cols = cols,
                };

                for (size_t r = 0; r < rows; r++)
                        w->ops->begin(line_a(&lines[r]) + k + step, 0, 1, step_depth, init + r);
                w->ops->dots(&dots, rows, panels);
                for (size_t r = 0; r < rows; r++)
                        output_fold(w->product, w->scratch->tile + r * cols, sums + r * SUMS_COLS, cols);
        }
}

/* All register tiles of one slice of K in `n_panels` panels from `panel` on. */
static void strip_run(struct work *w, uint64_t panel, uint64_t n_panels, uint64_t k, uint64_t depth)
{
        const bool is_folded = w->product->form == OUTPUT_TILE16_SHIFT7;
        const size_t tiles = (w->rows + w->plan->kernel->rows - 1) / w->plan->kernel->rows;

        for (size_t i = 0, first = 0, rows; i < tiles; i++, first += rows) {
                rows = (w->rows - first + tiles - i - 1) / (tiles - i); /* as equal as can be */
                for (uint64_t done = 0, panels = w->ops->panels[rows]; done < n_panels; done += panels) {
                        while (panels > n_panels - done)
                                panels /= 2;
                        if (is_folded)
                                folded_tile(w, first, rows, panel + done, panels, k, depth);
                        else
                                register_tile(w, first, rows, panel + done, panels, depth, k == 0);
                }
        }
}

static void slice_run(struct work *w, uint64_t k, uint64_t depth)
{
        for (uint64_t panel = 0; panel < w->columns.n; panel += STRIP_PANELS)
                strip_run(w, panel, MIN((uint64_t)STRIP_PANELS, w->columns.n - panel), k, depth);
}

/* All of K. */
static void block_run(struct work *w)
{
        const struct line *lines = w->scratch->lines;
        const uint64_t k_all = w->product->k;
        const bool is_packed_here = !w->plan->packed && w->depth < k_all;

        for (size_t i = 0; i < w->rows; i += lines[i].more)
                w->ops->begin(line_a(&lines[i]), lines[i].product->lda, lines[i].more, k_all,
                              w->scratch->init + i);
        for (uint64_t k = 0; k < k_all; k += w->depth) {
                const uint64_t depth = MIN(w->depth, k_all - k);

                if (w->plan->packed)
                        b_find(w, k);
                else if (is_packed_here)
                        b_pack(w, k, depth);
                a_prepare(w, k, depth);
                slice_run(w, k, depth);
        }
        if (w->is_summed)
                totals_store(w, 0, w->rows, w->columns.first * KERNEL_PANEL_COLS,
                             cols_of(w, w->columns.first, w->columns.n), w->scratch->sums, SUMS_COLS);
}

/* How deep slices of K are: as equal as can be. */
static uint64_t slice_depth(uint64_t k)
{
        const uint64_t slices = (k + BLOCK_DEPTH - 1) / BLOCK_DEPTH, depth = (k + slices - 1) / slices;

        return (depth + TILE16_DEPTH - 1) / TILE16_DEPTH * TILE16_DEPTH;
}

/* How many panels can be computed at once. */
static uint64_t columns_max(const struct work *w)
{
        uint64_t panels = UINT64_MAX;

        if (w->is_summed)
                panels = SUMS_COLS / KERNEL_PANEL_COLS;
        if (!w->plan->packed)
                panels =
                        MIN(panels, B_BYTES / (MIN(w->depth, w->product->k + 3) * KERNEL_PANEL_COLS) / 4 * 4);
        return panels;
}

void tile_run(const struct kernel_plan *plan, uint64_t row, uint64_t rows, uint64_t panel, uint64_t panels,
              void *scratch)
{
        const struct product *product = plan->slices[0].product;
        struct work w = {
                .plan = plan,
                .ops = plan->kernel->ops,
                .product = product,
                .scratch = scratch,
                .depth = slice_depth(product->k),
        };
        uint64_t columns, block;

        w.is_summed = w.depth < product->k || product->form == OUTPUT_TILE16_SHIFT7;
        columns = columns_max(&w);
        block = block_rows_max(&w);
        for (w.columns.first = panel; w.columns.first < panel + panels; w.columns.first += w.columns.n) {
                w.columns.n = MIN(columns, panel + panels - w.columns.first);
                if (!plan->packed && w.depth >= product->k)
                        b_pack(&w, 0, product->k);
                for (uint64_t r = 0; r < rows; r += block) {
                        lines_find(&w, row + r, (size_t)MIN(block, rows - r));
                        block_run(&w);
                }
        }
}
