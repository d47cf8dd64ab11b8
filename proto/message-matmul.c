/* SPDX-License-Identifier: MIT */
/*
 * message-matmul.c - message_check_matmul: what can be said of a matmul's numbers by themselves.
 *
 * Role:   dimensions, leading dimensions, sizes, alignment, overlap, output forms; all arithmetic on them is checked,
 *         here and nowhere else.
 * Thread: any; pure.
 */
#include "message.h"

#include <inttypes.h>

size_t output_elem_bytes(enum output_form form)
{
        return form == OUTPUT_INT32 || form == OUTPUT_FLOAT32 ? 4 : 1;
}

/* One operand of the matmul being checked, in the words of its shape. */
struct extent {
        const char *name;
        struct place *place;
        uint64_t rows, cols;
        uint64_t elem_bytes;
};

static bool extent_check(const struct extent *extent, struct fault *fault)
{
        struct place *place = extent->place;
        uint64_t elems, bytes, end;

        if (place->ld_elems == 0)
                place->ld_elems = extent->cols;
        if (place->ld_elems < extent->cols)
                return fault_set(fault, STATUS_INVALID,
                                 "%s: leading dimension %" PRIu64 " is less than its %" PRIu64 " columns",
                                 extent->name, place->ld_elems, extent->cols);
        if (place->offset_bytes % extent->elem_bytes != 0)
                return fault_set(fault, STATUS_INVALID,
                                 "%s: offset %" PRIu64 " is not a multiple of its element size %" PRIu64,
                                 extent->name, place->offset_bytes, extent->elem_bytes);
        if (!checked_mul(extent->rows - 1, place->ld_elems, &elems) ||
            !checked_add(elems, extent->cols, &elems) || !checked_mul(elems, extent->elem_bytes, &bytes) ||
            !checked_add(place->offset_bytes, bytes, &end))
                return fault_set(fault, STATUS_INVALID,
                                 "%s: %" PRIu64 " rows at leading dimension %" PRIu64
                                 " do not fit in 64-bit arithmetic",
                                 extent->name, extent->rows, place->ld_elems);
        place->extent_bytes = bytes;
        return true;
}

static bool inline_input_check(const struct extent *extent, uint64_t payload_bytes, struct fault *fault)
{
        const struct place *place = extent->place;

        /* No overflow: extent_check has added these two. */
        if (place->arena == 0 && place->offset_bytes + place->extent_bytes > payload_bytes)
                return fault_set(fault, STATUS_INVALID,
                                 "%s: bytes %" PRIu64 "..%" PRIu64 " lie outside the payload of %" PRIu64
                                 " bytes",
                                 extent->name, place->offset_bytes, place->offset_bytes + place->extent_bytes,
                                 payload_bytes);
        return true;
}

static bool overlap_check(const struct extent *input, const struct place *c, struct fault *fault)
{
        const struct place *place = input->place;

        if (c->arena == 0 || place->arena != c->arena)
                return true;
        if (place->offset_bytes >= c->offset_bytes + c->extent_bytes ||
            c->offset_bytes >= place->offset_bytes + place->extent_bytes)
                return true;
        return fault_set(fault, STATUS_INVALID,
                         "C overlaps %s in arena %" PRIu32 ": give the output bytes of its own", input->name,
                         c->arena);
}

static bool dims_check(const struct request_matmul *matmul, struct fault *fault)
{
        if (matmul->m == 0 || matmul->m > MESSAGE_DIM_MAX)
                return fault_set(fault, STATUS_INVALID, "M is %" PRIu64 "; it must be 1..%u", matmul->m,
                                 MESSAGE_DIM_MAX);
        if (matmul->n == 0 || matmul->n > MESSAGE_DIM_MAX)
                return fault_set(fault, STATUS_INVALID, "N is %" PRIu64 "; it must be 1..%u", matmul->n,
                                 MESSAGE_DIM_MAX);
        if (matmul->k == 0 || matmul->k > MESSAGE_K_MAX)
                return fault_set(fault, STATUS_INVALID,
                                 "K is %" PRIu64 "; it must be 1..%u, so that int32 cannot overflow",
                                 matmul->k, MESSAGE_K_MAX);
        return true;
}

static bool form_check(const struct request_matmul *matmul, bool has_vectors, struct fault *fault)
{
        if ((unsigned)matmul->form >= OUTPUT_MAX)
                return fault_set(fault, STATUS_INVALID, "output form %u is unknown; there are 0..%d",
                                 (unsigned)matmul->form, OUTPUT_MAX - 1);
        if ((unsigned)matmul->rounding >= ROUNDING_MAX)
                return fault_set(fault, STATUS_INVALID, "rounding %u is unknown; there are 0..%d",
                                 (unsigned)matmul->rounding, ROUNDING_MAX - 1);
        if (matmul->shift > MESSAGE_SHIFT_MAX)
                return fault_set(fault, STATUS_INVALID, "shift is %" PRIu32 "; it must be 0..%u",
                                 matmul->shift, MESSAGE_SHIFT_MAX);
        if (matmul->form != OUTPUT_INT8 && (matmul->shift != 0 || matmul->rounding != ROUNDING_FLOOR))
                return fault_set(fault, STATUS_INVALID,
                                 "shift and rounding belong to output form int8 alone");
        if (matmul->form != OUTPUT_FLOAT32 && has_vectors)
                return fault_set(fault, STATUS_INVALID,
                                 "scales and bias belong to output form float32 alone");
        return true;
}

bool message_check_matmul(struct request_matmul *matmul, uint64_t payload_bytes, struct fault *ret_fault)
{
        const bool has_vectors = place_is_given(&matmul->row_scale) || place_is_given(&matmul->col_scale) ||
                                 place_is_given(&matmul->bias);
        const uint64_t b_rows = matmul->b_transposed ? matmul->n : matmul->k;
        const uint64_t b_cols = matmul->b_transposed ? matmul->k : matmul->n;
        const struct extent inputs[] = {
                {"A", &matmul->a, matmul->m, matmul->k, 1},
                {"B", matmul->b_is_weights ? NULL : &matmul->b, b_rows, b_cols, 1},
                {"row_scale", place_is_given(&matmul->row_scale) ? &matmul->row_scale : NULL, 1, matmul->m,
                 4},
                {"col_scale", place_is_given(&matmul->col_scale) ? &matmul->col_scale : NULL, 1, matmul->n,
                 4},
                {"bias", place_is_given(&matmul->bias) ? &matmul->bias : NULL, 1, matmul->n, 4},
        };
        struct extent output = {"C", &matmul->c, matmul->m, matmul->n, 1};
        bool any_inline = false;

        if (!dims_check(matmul, ret_fault) || !form_check(matmul, has_vectors, ret_fault))
                return false;
        output.elem_bytes = output_elem_bytes(matmul->form);
        if (!extent_check(&output, ret_fault))
                return false;
        if (matmul->c.arena == 0 && (matmul->c.offset_bytes != 0 || matmul->c.ld_elems != matmul->n))
                return fault_set(ret_fault, STATUS_INVALID,
                                 "C: inline rows travel adjacent: its offset must be 0 and its leading "
                                 "dimension 0 or N");
        for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
                if (!inputs[i].place)
                        continue;
                if (!extent_check(&inputs[i], ret_fault) ||
                    !inline_input_check(&inputs[i], payload_bytes, ret_fault) ||
                    !overlap_check(&inputs[i], &matmul->c, ret_fault))
                        return false;
                any_inline = any_inline || inputs[i].place->arena == 0;
        }
        if (payload_bytes > 0 && !any_inline)
                return fault_set(ret_fault, STATUS_INVALID,
                                 "a payload of %" PRIu64 " bytes follows, but every operand lies in an arena",
                                 payload_bytes);
        return true;
}
