/* SPDX-License-Identifier: MIT */
/* xrt-batch.c - see xrt-batch.h. */
#include "daemon/device/xrt-batch.h"

_Static_assert(WIRE_SLICES_MAX >= BATCH_SLICES_MAX, "every batch fits into a message");

struct writer {
        const struct region_set *regions;
        xrt_region_fn region_fn;
        void *userdata;
};

static struct wire_place place_of(const struct writer *writer, const void *address)
{
        struct region *region;

        if (!address)
                return (struct wire_place){0};
        region = region_find(writer->regions, address);
        assert(region);
        writer->region_fn(writer->userdata, region);
        return (struct wire_place){region->id, (uint64_t)((const uint8_t *)address - region->memory)};
}

static struct wire_slice slice_of(const struct writer *writer, const struct slice *slice, size_t stack)
{
        const struct product *p = slice->product;
        const struct wire_place b = place_of(writer, p->b);

        return (struct wire_slice){
                .m = p->m,
                .k = p->k,
                .n = p->n,
                .lda = p->lda,
                .ldb = p->ldb,
                .ldc = p->ldc,
                .a = place_of(writer, p->a),
                .b = b,
                .c = place_of(writer, p->c),
                .row_scale = place_of(writer, p->row_scale),
                .col_scale = place_of(writer, p->col_scale),
                .bias = place_of(writer, p->bias),
                .form = p->form,
                .shift = p->shift,
                .rounding = p->rounding,
                .b_transposed = p->b_transposed,
                /* Its region's number is its name in the worker: it must be all that there is in it, as it lies. */
                .b_stays = p->resident != NULL && b.offset_bytes == 0 && !p->b_transposed && p->ldb == p->n,
                .stack = (uint16_t)stack,
                .first_row = slice->first_row,
                .rows = slice->rows,
        };
}

void xrt_batch_write(const struct batch *batch, const struct region_set *regions, uint64_t number,
                     xrt_region_fn region_fn, void *userdata, struct wire_batch *message)
{
        const struct writer writer = {regions, region_fn, userdata};

        message->kind = WIRE_BATCH;
        message->n_slices = (uint32_t)batch->n_slices;
        message->number = number;
        for (size_t s = 0; s < batch->n_stacks; s++) {
                const struct stack *stack = &batch->stacks[s];

                for (size_t i = stack->first; i < stack->first + stack->n_slices; i++)
                        message->slices[i] = slice_of(&writer, &batch->slices[i], s);
        }
}

void xrt_batch_results(const struct batch *batch, const struct region_set *regions, xrt_region_fn region_fn,
                       void *userdata)
{
        for (size_t i = 0; i < batch->n_slices; i++)
                region_fn(userdata, region_find(regions, batch->slices[i].product->c));
}
