/* SPDX-License-Identifier: MIT */
/*
 * npu-model.c - see npu-model.h.
 *
 * Where the numbers come from.
 *
 * phoenix: the stream64 format on 4 columns of 4 cores (Ryzen 7040, 8040). A macro-tile is 256 x 256 of C, computed in
 * steps of 64 along K. T = 108 us + max(steps * 1.78 us, bytes of the busiest lane / 6.9 GB/s, input bytes / 27 GB/s,
 * macro-tiles * 9.5 us, instruction bytes * 16 ns): what a shim channel, all of them together, a core, a column's lane
 * of C and the controller each need, overlapping, behind the prologue of a submission. Composed of published
 * measurements of these parts (1.0 GHz kernels, IRON designs, the driver's round trip); never run as a whole.
 * It has a second slot, and no time in it for packing on the host, which the host's own clock would have to tell.
 *
 * origin: one 16x16x16 tile a call: 32.54 ms a call and 0.484 ms a tile, the estimate of the wrapper's authors (1,082 s
 * for 500x512 @ 512x512); origin-measured: 0.46 ms a call in all, what their later runs of 4,096 to 32,768 tiles took.
 * Two buffer syncs a call, and 8 copies: 262,144 for 32,768 tiles.
 */
#include "npu-model.h"

#define PROLOGUE_NS      108e3
#define STEP_NS          1.78e3
#define LANE_BYTES_NS    6.9 /* GB/s are bytes a nanosecond */
#define INPUT_BYTES_NS   27.0
#define MACRO_TILE_NS    9.5e3
#define STREAM_NS_A_BYTE 16.0

#define STEP_MACS ((double)STREAM64_MACRO_ROWS * STREAM64_TILE * STREAM64_MACRO_COLS)

#define ORIGIN_TILE        16
#define ORIGIN_CALL_NS     32.54e6
#define ORIGIN_TILE_NS     0.484e6
#define ORIGIN_MEASURED_NS 0.46e6
#define ORIGIN_CALL_SYNCS  2
#define ORIGIN_CALL_COPIES 8
#define ORIGIN_TILE_MACS   ((double)ORIGIN_TILE * ORIGIN_TILE * ORIGIN_TILE)

const char *const npu_model_names[] = {"phoenix", "origin", "origin-measured", NULL};
static_assert(ARRAY_SIZE(npu_model_names) == NPU_MODEL_MAX + 1, "a name each");

static double tiles(uint64_t n, uint64_t tile)
{
        return (double)((n + tile - 1) / tile);
}

static double max(double a, double b)
{
        return a > b ? a : b;
}

/*
 * In steps: those that there are, or what draining C or pushing tasks takes instead. Of several products the sum of
 * these is what a submission takes, or more: it is the largest of the three sums.
 */
double npu_phoenix_work_macs(uint64_t m, uint64_t k, uint64_t n)
{
        struct stream64_totals totals = {0};
        double steps;

        stream64_totals_add(&totals, stream64_size_of(m, k, n));
        steps = (double)totals.steps;
        steps = max(steps, (double)totals.macro_tiles * MACRO_TILE_NS / STEP_NS);
        steps = max(steps, (double)stream64_job_stream_bytes(&totals) * STREAM_NS_A_BYTE / STEP_NS);
        return steps * STEP_MACS;
}

const struct npu_traits *npu_model_traits(enum npu_model model)
{
        static const struct npu_traits traits[] = {
                [NPU_PHOENIX] = {"a model of an NPU (Phoenix, stream64), computed on the CPU",
                                 STREAM64_MACRO_ROWS, STREAM64_TILE, STREAM64_MACRO_COLS, STREAM64_JOBS_MAX,
                                 2, PROLOGUE_NS, STEP_NS / STEP_MACS},
                [NPU_ORIGIN] = {"a model of the original 16x16 wrapper (estimated), computed on the CPU",
                                ORIGIN_TILE, ORIGIN_TILE, ORIGIN_TILE, 1, 1, 1,
                                (ORIGIN_CALL_NS + ORIGIN_TILE_NS) / ORIGIN_TILE_MACS},
                [NPU_ORIGIN_MEASURED] =
                        {"a model of the original 16x16 wrapper (measured), computed on the CPU", ORIGIN_TILE,
                         ORIGIN_TILE, ORIGIN_TILE, 1, 1, 1, ORIGIN_MEASURED_NS / ORIGIN_TILE_MACS},
        };

        return &traits[model];
}

/* What goes on at the same time, and takes as long as the longest of them. */
static const struct {
        const char *what;
        double step_ns, macro_tile_ns, stream_byte_ns;
} phoenix_parts[] = {
        {"computing", .step_ns = STEP_NS},
        {"a lane", .step_ns = MAX(STREAM64_A_OBJECT_BYTES, STREAM64_B_OBJECT_BYTES) / LANE_BYTES_NS},
        {"memory",
         .step_ns = STREAM64_COLUMNS * (STREAM64_A_OBJECT_BYTES + STREAM64_B_OBJECT_BYTES) / INPUT_BYTES_NS},
        {"draining C", .macro_tile_ns = MACRO_TILE_NS},
        {"the stream", .stream_byte_ns = STREAM_NS_A_BYTE},
};

static double longest_part(const struct stream64_totals *totals, const char **ret_what)
{
        const double bytes = (double)stream64_stream_bytes(totals, STREAM64_POLL);
        double longest = 0;

        for (size_t i = 0; i < ARRAY_SIZE(phoenix_parts); i++) {
                const double ns = (double)totals->steps * phoenix_parts[i].step_ns +
                                  (double)totals->macro_tiles * phoenix_parts[i].macro_tile_ns +
                                  bytes * phoenix_parts[i].stream_byte_ns;

                if (ns <= longest)
                        continue;
                longest = ns;
                *ret_what = phoenix_parts[i].what;
        }
        return longest;
}

double npu_phoenix_ns(const struct stream64_totals *totals)
{
        const char *what;

        return PROLOGUE_NS + longest_part(totals, &what);
}

const char *npu_phoenix_limit(const struct stream64_totals *totals)
{
        const char *what = "nothing";

        (void)longest_part(totals, &what);
        return what;
}

static struct npu_outlay phoenix_run(const struct npu_product *products, size_t n_products)
{
        struct npu_outlay outlay = {.calls = 1, .buffer_syncs = 2 /* A in, C out */};
        struct stream64_totals totals = {0};
        bool sends_b = false;

        for (size_t i = 0; i < n_products; i++) {
                stream64_totals_add(&totals, stream64_size_of(products[i].m, products[i].k, products[i].n));
                outlay.matrix_copies += 2 * products[i].n_parts; /* A packed, C unpacked */
                if (products[i].b_is_resident)
                        continue;
                outlay.matrix_copies++;
                sends_b = true;
        }
        outlay.ns = npu_phoenix_ns(&totals);
        outlay.buffer_syncs += sends_b;
        return outlay;
}

static struct npu_outlay origin_run(double call_ns, const struct npu_product *products, size_t n_products)
{
        double calls = 0;

        for (size_t i = 0; i < n_products; i++)
                calls += tiles(products[i].m, ORIGIN_TILE) * tiles(products[i].k, ORIGIN_TILE) *
                         tiles(products[i].n, ORIGIN_TILE);
        return (struct npu_outlay){
                .ns = calls * call_ns,
                .calls = (uint64_t)calls,
                .buffer_syncs = (uint64_t)calls * ORIGIN_CALL_SYNCS,
                .matrix_copies = (uint64_t)calls * ORIGIN_CALL_COPIES,
        };
}

struct npu_outlay npu_model_run(enum npu_model model, const struct npu_product *products, size_t n_products)
{
        switch (model) {
        case NPU_ORIGIN:
                return origin_run(ORIGIN_CALL_NS + ORIGIN_TILE_NS, products, n_products);
        case NPU_ORIGIN_MEASURED:
                return origin_run(ORIGIN_MEASURED_NS, products, n_products);
        case NPU_PHOENIX:
        case NPU_MODEL_MAX:
        default:
                return phoenix_run(products, n_products);
        }
}
