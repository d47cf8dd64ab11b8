/* SPDX-License-Identifier: MIT */
/* poison.c - see poison.h. */
#include "daemon/xrt/poison.h"

#define LINE_WORDS 16 /* of 64 bytes */

uint64_t poison_macro_tiles(const struct stream64_batch *batch)
{
        uint64_t n = 0;

        for (size_t i = 0; i < batch->n_jobs; i++)
                n += batch->jobs[i].size.m * batch->jobs[i].size.n;
        return n;
}

/* Where the last line of a tile is. */
static uint64_t line_offset(const struct stream64_batch *batch, const struct poison_tile *tile)
{
        return batch->c.offset + tile->lane * batch->c.lane_stride +
               tile->macro_tile * STREAM64_C_OBJECT_BYTES + (tile->core + 1) * STREAM64_C_TILE_BYTES -
               LINE_WORDS * sizeof(int32_t);
}

/* The next tile; false: that was the last. */
static bool tile_next(struct poison_tile *tile, uint64_t macro_tiles)
{
        if (++tile->core < STREAM64_CORE_ROWS)
                return true;
        tile->core = 0;
        if (++tile->macro_tile < macro_tiles)
                return true;
        tile->macro_tile = 0;
        return ++tile->lane < STREAM64_COLUMNS;
}

void poison_put(uint8_t *c, const struct stream64_batch *batch)
{
        const uint64_t macro_tiles = poison_macro_tiles(batch);
        struct poison_tile tile = {0};
        int32_t line[LINE_WORDS];

        for (size_t i = 0; i < LINE_WORDS; i++)
                line[i] = INT32_MIN;
        do
                memcpy(c + line_offset(batch, &tile), line, sizeof line);
        while (tile_next(&tile, macro_tiles));
}

bool poison_is_left(const uint8_t *c, const struct stream64_batch *batch, struct poison_tile *ret_tile)
{
        const uint64_t macro_tiles = poison_macro_tiles(batch);
        struct poison_tile tile = {0};

        do {
                int32_t line[LINE_WORDS];

                memcpy(line, c + line_offset(batch, &tile), sizeof line);
                for (size_t i = 0; i < LINE_WORDS; i++)
                        if (line[i] == INT32_MIN) {
                                *ret_tile = tile;
                                return true;
                        }
        } while (tile_next(&tile, macro_tiles));
        return false;
}
