/* SPDX-License-Identifier: MIT */
/* plan.c - see kernel.h: how a stack is cut into tiles. */
#include "daemon/kernel/tile.h"

/* Of a tile: a thread that takes one has been waited for less than it works. */
#define TILE_MACS_MIN 250e3
/* Of each thread, at best: whoever is late is late by a fraction. */
#define TILES_PER_THREAD 6

static uint64_t ceil_div(uint64_t n, uint64_t by)
{
        return (n + by - 1) / by;
}

/* Cuts `n` in at most `parts` of a multiple of `grain`; returns a part. */
static uint64_t cut(uint64_t n, uint64_t parts, uint64_t grain)
{
        return ceil_div(ceil_div(n, grain), MIN(parts, ceil_div(n, grain))) * grain;
}

void kernel_plan(struct kernel_plan *ret_plan, const struct kernel *kernel, const struct slice *slices,
                 size_t n_slices, const uint8_t *packed, unsigned n_threads)
{
        const struct product *p = slices[0].product;
        uint64_t rows = 0, tile_rows, tile_panels;

        for (size_t i = 0; i < n_slices; i++)
                rows += slices[i].rows;
        tile_rows = rows;
        tile_panels = ceil_div(p->n, KERNEL_PANEL_COLS);
        if (n_threads > 1) {
                const double macs = (double)rows * (double)p->n * (double)p->k;
                const uint64_t parts =
                        (uint64_t)MAX(1.0, MIN(macs / TILE_MACS_MIN, (double)n_threads * TILES_PER_THREAD));
                const uint64_t grain = kernel->ops->panels[MIN(rows, kernel->rows)];

                /* Packed columns are shared by all rows; if they are packed on the way, then once is best. */
                if (packed) {
                        tile_rows = cut(rows, parts, kernel->rows);
                        tile_panels = cut(tile_panels, ceil_div(parts, ceil_div(rows, tile_rows)), grain);
                } else {
                        tile_panels = cut(tile_panels, parts, grain);
                        tile_rows =
                                cut(rows,
                                    ceil_div(parts, ceil_div(ceil_div(p->n, KERNEL_PANEL_COLS), tile_panels)),
                                    kernel->rows);
                }
        }
        *ret_plan = (struct kernel_plan){
                .kernel = kernel,
                .slices = slices,
                .n_slices = n_slices,
                .packed = packed,
                .rows = rows,
                .panels = ceil_div(p->n, KERNEL_PANEL_COLS),
                .tile_rows = tile_rows,
                .tile_panels = tile_panels,
        };
        ret_plan->tiles_per_row = ceil_div(ret_plan->panels, tile_panels);
        ret_plan->n_tiles = ret_plan->tiles_per_row * ceil_div(rows, tile_rows);
}

void kernel_tile(const struct kernel_plan *plan, size_t tile, void *scratch)
{
        const uint64_t row = tile / plan->tiles_per_row * plan->tile_rows;
        const uint64_t panel = tile % plan->tiles_per_row * plan->tile_panels;

        tile_run(plan, row, MIN(plan->tile_rows, plan->rows - row), panel,
                 MIN(plan->tile_panels, plan->panels - panel), scratch);
}

void kernel_run(const struct kernel_plan *plan, void *scratch)
{
        for (size_t tile = 0; tile < plan->n_tiles; tile++)
                kernel_tile(plan, tile, scratch);
}
