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

#define TILE_ROWS  256
#define TILE_COLS  256
#define TILE_DEPTH 64
#define COLUMNS    4

#define PROLOGUE_NS      108e3
#define STEP_NS          1.78e3
#define LANE_BYTES_NS    6.9 /* GB/s are bytes a nanosecond */
#define INPUT_BYTES_NS   27.0
#define MACRO_TILE_NS    9.5e3
#define STREAM_NS_A_BYTE 16.0

#define A_OBJECT_BYTES 4160 /* 64 x 64 and a header of 64 bytes */
#define B_OBJECT_BYTES 4096

/* Instruction stream: header and waits, a task, and a task that must first find room in its queue. */
#define STREAM_FRAME_BYTES 80
#define TASK_BYTES         120
#define POLLED_TASK_BYTES  148
#define QUEUE_TASKS        4

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

/* Tasks of B in one lane. */
static double b_tasks(double mt, double nt)
{
        return mt > 1 ? nt : 1;
}

/*
 * In steps: those that there are, or what draining C or pushing tasks takes instead. Of several products the sum of
 * these is what a submission takes, or more: it is the largest of the three sums.
 */
double npu_phoenix_work_macs(uint64_t m, uint64_t k, uint64_t n)
{
        const double mt = tiles(m, TILE_ROWS), nt = tiles(n, TILE_COLS), kt = tiles(k, TILE_DEPTH);
        const double tasks = COLUMNS * (1 + b_tasks(mt, nt));
        double steps = mt * nt * kt;

        steps = max(steps, mt * nt * MACRO_TILE_NS / STEP_NS);
        steps = max(steps, tasks * POLLED_TASK_BYTES * STREAM_NS_A_BYTE / STEP_NS);
        return steps * TILE_ROWS * TILE_DEPTH * TILE_COLS;
}

const struct npu_traits *npu_model_traits(enum npu_model model)
{
        static const struct npu_traits traits[] = {
                [NPU_PHOENIX] = {"a model of an NPU (Phoenix, stream64), computed on the CPU", TILE_ROWS,
                                 TILE_DEPTH, TILE_COLS, 16, 2, PROLOGUE_NS,
                                 STEP_NS / ((double)TILE_ROWS * TILE_DEPTH * TILE_COLS)},
                [NPU_ORIGIN] = {"a model of the original 16x16 wrapper (estimated), computed on the CPU",
                                ORIGIN_TILE, ORIGIN_TILE, ORIGIN_TILE, 1, 1, 1,
                                (ORIGIN_CALL_NS + ORIGIN_TILE_NS) / ORIGIN_TILE_MACS},
                [NPU_ORIGIN_MEASURED] =
                        {"a model of the original 16x16 wrapper (measured), computed on the CPU", ORIGIN_TILE,
                         ORIGIN_TILE, ORIGIN_TILE, 1, 1, 1, ORIGIN_MEASURED_NS / ORIGIN_TILE_MACS},
        };

        return &traits[model];
}

/* `n_tasks` pushes to the queue of one lane. */
static double tasks_bytes(double n_tasks)
{
        return n_tasks <= QUEUE_TASKS
                       ? n_tasks * TASK_BYTES
                       : QUEUE_TASKS * TASK_BYTES + (n_tasks - QUEUE_TASKS) * POLLED_TASK_BYTES;
}

static double phoenix_ns(const struct npu_product *products, size_t n_products)
{
        double steps = 0, macro_tiles = 0, a_bytes = 0, b_bytes = 0,
               n_b_tasks = 0; /* the last three: of one lane */
        double stream_bytes, ns;

        for (size_t i = 0; i < n_products; i++) {
                const double mt = tiles(products[i].m, TILE_ROWS);
                const double nt = tiles(products[i].n, TILE_COLS);
                const double kt = tiles(products[i].k, TILE_DEPTH);

                steps += mt * nt * kt;
                macro_tiles += mt * nt;
                a_bytes += mt * nt * kt * A_OBJECT_BYTES; /* once for each column of macro-tiles */
                b_bytes += mt * nt * kt * B_OBJECT_BYTES;
                n_b_tasks += b_tasks(mt, nt);
        }
        stream_bytes = STREAM_FRAME_BYTES +
                       COLUMNS * (TASK_BYTES + tasks_bytes((double)n_products) + tasks_bytes(n_b_tasks));
        ns = steps * STEP_NS;
        ns = max(ns, max(a_bytes, b_bytes) / LANE_BYTES_NS);
        ns = max(ns, COLUMNS * (a_bytes + b_bytes) / INPUT_BYTES_NS);
        ns = max(ns, macro_tiles * MACRO_TILE_NS);
        ns = max(ns, stream_bytes * STREAM_NS_A_BYTE);
        return PROLOGUE_NS + ns;
}

static struct npu_outlay phoenix_run(const struct npu_product *products, size_t n_products)
{
        struct npu_outlay outlay = {
                .ns = phoenix_ns(products, n_products), .calls = 1, .buffer_syncs = 2, /* A in, C out */
        };
        bool sends_b = false;

        for (size_t i = 0; i < n_products; i++) {
                outlay.matrix_copies += 2 * products[i].n_parts; /* A packed, C unpacked */
                if (products[i].b_is_resident)
                        continue;
                outlay.matrix_copies++;
                sends_b = true;
        }
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
