/* SPDX-License-Identifier: MIT */
/* device.c - see device.h. */
#include "tests/fake/device.h"

#include "tests/lib/oracle.h"

static void slice_compute(const struct slice *slice)
{
        const struct product *from = slice->product;
        const struct oracle_product product = {
                .m = from->m,
                .k = from->k,
                .n = from->n,
                .a = from->a,
                .lda = from->lda,
                .b = from->b,
                .ldb = from->ldb,
                .b_transposed = from->b_transposed,
                .form = (enum oracle_form)from->form,
                .shift = from->shift,
                .nearest_even = from->rounding == ROUNDING_NEAREST_EVEN,
                .row_scale = from->row_scale,
                .col_scale = from->col_scale,
                .bias = from->bias,
        };

        oracle_rows(&product, slice->first_row, slice->rows, from->c, from->ldc);
}

/* Each slice in one stack, in order, with others of the same B. */
static void stacks_check(const struct fake_device *fake, const struct batch *batch)
{
        size_t n_slices = 0;

        assert(batch->n_stacks >= 1 && batch->n_stacks <= fake->device.stacks_max);
        for (size_t i = 0; i < batch->n_stacks; i++) {
                const struct stack *stack = &batch->stacks[i];
                const struct product *first = batch->slices[stack->first].product;
                uint64_t rows = 0;

                assert(stack->first == n_slices && stack->n_slices >= 1);
                for (size_t j = 0; j < stack->n_slices; j++) {
                        assert(product_stacks_with(first, batch->slices[n_slices].product));
                        rows += batch->slices[n_slices++].rows;
                }
                assert(stack->rows == rows);
                assert(stack->padded_macs >= (double)rows * (double)first->k * (double)first->n);
        }
        assert(n_slices == batch->n_slices);
}

static void slice_check(const struct slice *slice)
{
        assert(slice->rows >= 1 && slice->first_row < slice->product->m);
        assert(slice->rows <= slice->product->m - slice->first_row);
        assert(slice->charge_ns >= 0 && !slice->is_dropped);
}

static void fake_submit(struct device *device, struct batch *batch)
{
        struct fake_device *fake = container_of(device, struct fake_device, device);

        assert(device->free_slots > 0);
        assert(batch->n_slices >= 1 && batch->n_slices <= BATCH_SLICES_MAX);
        for (size_t i = 0; i < fake->n_inside; i++)
                assert(fake->inside[i] != batch);
        for (size_t i = 0; i < batch->n_slices; i++)
                slice_check(&batch->slices[i]);
        stacks_check(fake, batch);
        device->free_slots--;
        fake->n_submits++;
        batch->n_finished = 0;
        fake->inside[fake->n_inside++] = batch;
}

static void fake_drop(struct device *device, struct batch *batch, size_t index)
{
        const struct fake_device *fake = container_of(device, struct fake_device, device);

        assert(index < batch->n_slices);
        if (fake->drops && index >= batch->n_finished)
                batch->slices[index].is_dropped = true;
}

static const struct device_ops fake_device_ops = {.name = "fake", .submit = fake_submit, .drop = fake_drop};

void fake_device_init(struct fake_device *fake, size_t slots, uint64_t granule_rows,
                      const struct device_events *events, void *userdata)
{
        assert(slots <= FAKE_SLOTS_MAX);
        *fake = (struct fake_device){
                .device =
                        {
                                .ops = &fake_device_ops,
                                .events = events,
                                .userdata = userdata,
                                .description = "a fake",
                                .free_slots = slots,
                                .granule_rows = granule_rows,
                                .padding = {.rows = 1, .depth = 1, .cols = 1},
                                .stacks_max = BATCH_STACKS_MAX,
                                .pack_ns = TIMELINE_NEVER,
                                .time_scale = 1,
                                .seed_fixed_ns = 1,
                                .seed_ns_per_mac = 1,
                        },
        };
}

void fake_device_deinit(struct fake_device *fake)
{
        assert(fake->n_inside == 0);
}

/* From inside[index], so that it is gone before anybody hears of it. */
static struct batch *batch_take_out(struct fake_device *fake, size_t index)
{
        struct batch *batch = fake->inside[index];

        fake->n_inside--;
        for (size_t i = index; i < fake->n_inside; i++)
                fake->inside[i] = fake->inside[i + 1];
        fake->device.free_slots++;
        return batch;
}

void fake_device_step(struct fake_device *fake, size_t index, enum status status)
{
        const struct device *device = &fake->device;
        struct batch *batch;
        struct slice *slice;

        assert(index < fake->n_inside);
        batch = fake->inside[index];
        if (batch->n_finished == batch->n_slices) {
                batch = batch_take_out(fake, index);
                batch->device_ns = fake->took_ns > 0 ? fake->took_ns : batch->predicted_ns;
                device->events->batch_done(device->userdata, batch);
                return;
        }
        slice = &batch->slices[batch->n_finished];
        if (slice->is_dropped)
                status = STATUS_CANCELLED;
        if (fake->computes && status == STATUS_OK)
                slice_compute(slice);
        slice->status = status;
        fake->n_slices++;
        device->events->slice_done(device->userdata, batch, batch->n_finished++);
}

void fake_device_run(struct fake_device *fake)
{
        while (fake->n_inside > 0)
                fake_device_step(fake, 0, STATUS_OK);
}
