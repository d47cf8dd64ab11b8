/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-origin.c - npumm-client bench --origin-table: what products take of an NPU, tile by tile and batched.
 *
 * Role:   the original wrapper's way, one call for each 16x16x16 tile, beside one batched submission, by the models
 *         of proto/npu-model.h. No daemon is asked and nothing is measured, and the table says so.
 * In:     the shapes of a plan. Out: stdout.
 * Thread: one.
 */
#include "cli-bench.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "proto/npu-model.h"

static const struct {
        enum npu_model model;
        const char *key, *label;
} ways[] = {
        {NPU_ORIGIN, "origin", "original, a call a tile (its authors' estimate)"},
        {NPU_ORIGIN_MEASURED, "origin_measured", "original, a call a tile (as they measured it later)"},
        {NPU_PHOENIX, "batched", "one batched submission, weights resident"},
};

static struct npu_outlay outlay_of(enum npu_model model, const struct bench_shape *shape)
{
        const struct npu_product product = {
                .m = shape->m, .k = shape->k, .n = shape->n, .b_is_resident = true, .n_parts = 1};

        return npu_model_run(model, &product, 1);
}

/* Seconds, in the unit that leaves a number between 1 and 1000. */
static void format_time(double ns, char ret_text[32])
{
        if (ns < 1e6)
                (void)snprintf(ret_text, 32, "%.1f us", ns / 1e3);
        else if (ns < 1e9)
                (void)snprintf(ret_text, 32, "%.1f ms", ns / 1e6);
        else
                (void)snprintf(ret_text, 32, "%.1f s", ns / 1e9);
}

static void table_text(const struct bench_shape *shape)
{
        cli_say("%" PRIu64 "x%" PRIu64 " @ %" PRIu64 "x%" PRIu64 ", by models (not measured):", shape->m,
                shape->k, shape->k, shape->n);
        cli_say("  %-52s  %12s  %12s  %12s  %10s", "", "submissions", "buffer syncs", "copies", "time");
        for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
                const struct npu_outlay outlay = outlay_of(ways[i].model, shape);
                char text[32];

                format_time(outlay.ns, text);
                cli_say("  %-52s  %12" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "  %10s", ways[i].label,
                        outlay.calls, outlay.buffer_syncs, outlay.matrix_copies, text);
        }
}

/* NULL when memory is short. */
static json_t *way_json(const struct npu_outlay *outlay)
{
        return json_pack("{s:I, s:I, s:I, s:f}", "submissions", (json_int_t)outlay->calls, "buffer_syncs",
                         (json_int_t)outlay->buffer_syncs, "matrix_copies", (json_int_t)outlay->matrix_copies,
                         "seconds", outlay->ns * 1e-9);
}

static json_t *shape_json(const struct bench_shape *shape)
{
        json_t *object = json_pack("{s:[I, I, I], s:b}", "shape", (json_int_t)shape->m, (json_int_t)shape->k,
                                   (json_int_t)shape->n, "is_model", 1);

        for (size_t i = 0; i < ARRAY_SIZE(ways) && object; i++) {
                const struct npu_outlay outlay = outlay_of(ways[i].model, shape);

                if (json_object_set_new(object, ways[i].key, way_json(&outlay)) != 0) {
                        json_decref(object);
                        object = NULL;
                }
        }
        return object;
}

static enum cli_exit table_json(const struct bench_shapes *shapes)
{
        json_auto_t *array = json_array();
        _cleanup_(freep) char *text = NULL;

        for (size_t i = 0; i < shapes->n; i++)
                (void)json_array_append_new(array, shape_json(&shapes->all[i]));
        if (json_array_size(array) == shapes->n) /* else memory ran out somewhere */
                text = json_dumps(array, JSON_REAL_PRECISION(9));
        if (!text)
                return cli_fail(CLI_FAILED, "out of memory; close something and try again");
        (void)puts(text);
        return CLI_DONE;
}

enum cli_exit bench_origin_table(const struct bench_shapes *shapes, bool as_json)
{
        enum cli_exit r = CLI_DONE;

        if (as_json)
                r = table_json(shapes);
        for (size_t i = 0; i < shapes->n && !as_json; i++)
                table_text(&shapes->all[i]);
        return r == CLI_DONE ? cli_finish_stdout() : r;
}
