/* SPDX-License-Identifier: MIT */
/* work.c - see work.h. */
#include "daemon/xrt/work.h"

#include <inttypes.h>

/* One matrix or vector of a slice, as it is touched. */
struct touched {
        const char *name;
        const struct wire_place *place;
        uint64_t rows, cols, ld; /* elements */
        size_t elem_bytes;
        bool is_written;
};

static bool touched_bytes(const struct touched *touched, uint64_t *ret_bytes)
{
        uint64_t elems;

        return checked_mul(touched->rows - 1, touched->ld, &elems) &&
               checked_add(elems, touched->cols, &elems) &&
               checked_mul(elems, touched->elem_bytes, ret_bytes);
}

/* Where it is. False: nowhere that the worker may touch. */
static bool place_find(struct work *work, const struct touched *touched, const struct mappings *regions,
                       uint8_t **ret_bytes)
{
        const struct mapping *region = mappings_find(regions, touched->place->region);
        uint64_t bytes, end;

        if (!region || (touched->is_written && !region->is_writable) || touched->ld < touched->cols ||
            touched->place->offset_bytes % touched->elem_bytes != 0 || !touched_bytes(touched, &bytes) ||
            !checked_add(touched->place->offset_bytes, bytes, &end) || end > region->size_bytes)
                return false;
        assert(work->n_regions < WORK_PLACES_MAX);
        work->regions[work->n_regions++] = region->id;
        *ret_bytes = region->bytes + touched->place->offset_bytes;
        return true;
}

static bool numbers_are_valid(const struct wire_slice *slice)
{
        uint64_t end;

        return slice->m >= 1 && slice->m <= MESSAGE_DIM_MAX && slice->n >= 1 && slice->n <= MESSAGE_DIM_MAX &&
               slice->k >= 1 && slice->k <= MESSAGE_K_MAX && slice->form < OUTPUT_MAX &&
               slice->rounding < ROUNDING_MAX && slice->shift <= MESSAGE_SHIFT_MAX && slice->rows >= 1 &&
               checked_add(slice->first_row, slice->rows, &end) && end <= slice->m;
}

/* Rows up to the slice's last, from the first of the product: addresses are the product's. */
static int matrices_find(struct work *work, const struct wire_slice *slice, const struct mappings *regions,
                         struct product *product, const char **ret_name)
{
        const uint64_t rows = slice->first_row + slice->rows;
        const bool turned = slice->b_transposed;
        const struct touched matrices[] = {
                {"A", &slice->a, rows, slice->k, slice->lda, 1, false},
                {"B", &slice->b, turned ? slice->n : slice->k, turned ? slice->k : slice->n, slice->ldb, 1,
                 false},
                {"C", &slice->c, rows, slice->n, slice->ldc, output_elem_bytes((enum output_form)slice->form),
                 true},
        };
        uint8_t *found[ARRAY_SIZE(matrices)];

        for (size_t i = 0; i < ARRAY_SIZE(matrices); i++)
                if (!place_find(work, &matrices[i], regions, &found[i])) {
                        *ret_name = matrices[i].name;
                        return XRT_E_FAULT;
                }
        product->a = (const int8_t *)found[0];
        product->b = (const int8_t *)found[1];
        product->c = found[2];
        return 0;
}

static int vectors_find(struct work *work, const struct wire_slice *slice, const struct mappings *regions,
                        struct product *product, const char **ret_name)
{
        const uint64_t rows = slice->first_row + slice->rows;
        const struct touched vectors[] = {
                {"its row scale", &slice->row_scale, 1, rows, rows, sizeof(float), false},
                {"its column scale", &slice->col_scale, 1, slice->n, slice->n, sizeof(float), false},
                {"its bias", &slice->bias, 1, slice->n, slice->n, sizeof(float), false},
        };
        uint8_t *found[ARRAY_SIZE(vectors)] = {NULL};

        for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
                if (vectors[i].place->region != 0 && !place_find(work, &vectors[i], regions, &found[i])) {
                        *ret_name = vectors[i].name;
                        return XRT_E_FAULT;
                }
        product->row_scale = (const float *)(void *)found[0];
        product->col_scale = (const float *)(void *)found[1];
        product->bias = (const float *)(void *)found[2];
        return 0;
}

static int product_read(struct work *work, const struct wire_slice *slice, const struct mappings *regions,
                        struct product *ret_product, const char **ret_name)
{
        struct product product = {.m = slice->m,
                                  .k = slice->k,
                                  .n = slice->n,
                                  .lda = slice->lda,
                                  .ldb = slice->ldb,
                                  .b_transposed = slice->b_transposed,
                                  .ldc = slice->ldc,
                                  .form = (enum output_form)slice->form,
                                  .shift = slice->shift,
                                  .rounding = (enum rounding)slice->rounding};
        int r;

        *ret_name = "a number";
        if (!numbers_are_valid(slice))
                return XRT_E_FAULT;
        r = matrices_find(work, slice, regions, &product, ret_name);
        if (r != 0)
                return r;
        r = vectors_find(work, slice, regions, &product, ret_name);
        if (r != 0)
                return r;
        *ret_product = product;
        return 0;
}

/* B is all that there is in its region, so that the region's number names it, and its shape. */
static bool stays_is_true(const struct wire_slice *slice, const struct mapping *region)
{
        const uint64_t b_bytes = slice->k * slice->n; /* in the region: product_read has looked */

        return slice->b.offset_bytes == 0 && !slice->b_transposed && slice->ldb == slice->n &&
               region->size_bytes - b_bytes < (uint64_t)sysconf(_SC_PAGESIZE) &&
               (!region->packed.is_placed || (region->k == slice->k && region->n == slice->n));
}

bool work_stacks_with_last(const struct work *work, const struct product *product)
{
        return work->n_slices > 0 && product_stacks_with(&work->products[work->n_slices - 1], product);
}

void work_add(struct work *work, const struct product *product, uint64_t first_row, uint64_t rows,
              struct mapping *resident, bool begins_stack)
{
        const size_t index = work->n_slices++;
        struct work_stack *stack = work->n_stacks > 0 ? &work->stacks[work->n_stacks - 1] : NULL;

        assert(index < WIRE_SLICES_MAX);
        work->products[index] = *product;
        work->slices[index] =
                (struct slice){.product = &work->products[index], .first_row = first_row, .rows = rows};
        if (begins_stack) {
                stack = &work->stacks[work->n_stacks++];
                *stack = (struct work_stack){.first = index,
                                             .resident = resident,
                                             .is_cpus = product->form == OUTPUT_TILE16_SHIFT7};
        }
        stack->n_slices++;
        stack->rows += rows;
}

static int slice_read(struct work *work, const struct wire_batch *message, size_t index,
                      const struct mappings *regions, struct xrt_fault *ret_fault)
{
        const struct wire_slice *slice = &message->slices[index];
        const bool begins_stack = index == 0 || slice->stack != message->slices[index - 1].stack;
        struct mapping *resident;
        struct product product;
        const char *name;

        if (product_read(work, slice, regions, &product, &name) != 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "batch %" PRIu64 ", slice %zu: %s is not as it must be", message->number,
                                     index, name);
        resident = slice->b_stays ? mappings_find(regions, slice->b.region) : NULL;
        if (resident && !stays_is_true(slice, resident))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "batch %" PRIu64 ", slice %zu: its B cannot stay as it lies",
                                     message->number, index);
        if (!begins_stack && !work_stacks_with_last(work, &product))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "batch %" PRIu64
                                     ", slice %zu: it has another B than the rest of its stack",
                                     message->number, index);
        if (resident) {
                resident->k = slice->k;
                resident->n = slice->n;
        }
        work_add(work, &product, slice->first_row, slice->rows, resident, begins_stack);
        return 0;
}

int work_read(struct work *work, const struct wire_batch *message, size_t bytes,
              const struct mappings *regions, struct xrt_fault *ret_fault)
{
        if (bytes < WIRE_BATCH_BYTES(0) || message->n_slices < 1 || message->n_slices > WIRE_SLICES_MAX ||
            bytes != WIRE_BATCH_BYTES(message->n_slices))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0, "a batch of %zu bytes, which is none",
                                     bytes);
        *work = (struct work){.number = message->number};
        for (size_t i = 0; i < message->n_slices; i++) {
                const int r = slice_read(work, message, i, regions, ret_fault);

                if (r != 0)
                        return r;
        }
        return 0;
}

bool work_names_region(const struct work *work, uint64_t id)
{
        for (size_t i = 0; i < work->n_regions; i++)
                if (work->regions[i] == id)
                        return true;
        return false;
}

size_t work_parts(const struct work *work, const struct work_stack *stack,
                  const struct stream64_part *planned, struct pack_part ret_parts[WIRE_SLICES_MAX])
{
        const uint64_t end = planned->first_row + planned->rows;
        uint64_t top = 0; /* of the slice, in the stack */
        size_t n = 0;

        for (size_t i = stack->first; i < stack->first + stack->n_slices; i++) {
                const struct slice *slice = &work->slices[i];
                const uint64_t first = MAX(top, planned->first_row), last = MIN(top + slice->rows, end);

                if (first < last)
                        ret_parts[n++] = (struct pack_part){
                                .product = slice->product,
                                .first_row = slice->first_row + (first - top),
                                .rows = last - first,
                                .first_col = planned->first_col,
                                .cols = planned->cols,
                                .job_row = first - planned->first_row,
                        };
                top += slice->rows;
        }
        return n;
}
