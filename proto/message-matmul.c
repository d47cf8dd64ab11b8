/* SPDX-License-Identifier: MIT */
/*
 * message-matmul.c - message_check_matmul and message_check_weights_load: what can be said of a matmul's
 *                    numbers, and of those of weights, by themselves.
 *
 * Role:   dimensions, leading dimensions, sizes, alignment, overlap, output forms, classes, deadlines; all
 *         arithmetic on them is checked, here and nowhere else.
 * Thread: any; pure.
 */
#include "message.h"

#include <inttypes.h>

size_t output_elem_bytes(enum output_form form)
{
        return form == OUTPUT_INT32 || form == OUTPUT_FLOAT32 ? 4 : 1;
}

/* One operand of what is being checked, in the words of its shape. */
struct extent {
        const char *name;
        struct place *place;
        uint64_t rows, cols;
        uint64_t elem_bytes; /* a power of two */
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
        if ((place->offset_bytes & (extent->elem_bytes - 1)) != 0)
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

/* A payload that nobody reads is a client's mistake: it meant to send something. */
static bool payload_use_check(uint64_t payload_bytes, bool any_inline, struct fault *fault)
{
        if (payload_bytes > 0 && !any_inline)
                return fault_set(fault, STATUS_INVALID,
                                 "a payload of %" PRIu64 " bytes follows, but every operand lies in an arena",
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

static bool m_check(uint64_t m, struct fault *fault)
{
        if (m == 0 || m > MESSAGE_DIM_MAX)
                return fault_set(fault, STATUS_INVALID, "M is %" PRIu64 "; it must be 1..%u", m,
                                 MESSAGE_DIM_MAX);
        return true;
}

/* The dimensions of B, whether it comes with a job or stays. */
static bool b_dims_check(uint64_t k, uint64_t n, struct fault *fault)
{
        if (n == 0 || n > MESSAGE_DIM_MAX)
                return fault_set(fault, STATUS_INVALID, "N is %" PRIu64 "; it must be 1..%u", n,
                                 MESSAGE_DIM_MAX);
        if (k == 0 || k > MESSAGE_K_MAX)
                return fault_set(fault, STATUS_INVALID,
                                 "K is %" PRIu64 "; it must be 1..%u, so that int32 cannot overflow", k,
                                 MESSAGE_K_MAX);
        return true;
}

static struct extent b_extent(struct place *b, uint64_t k, uint64_t n, bool b_transposed)
{
        return (struct extent){"B", b, b_transposed ? n : k, b_transposed ? k : n, 1};
}

static bool weights_check(const struct request_matmul *matmul, struct fault *fault)
{
        if (!matmul->b_is_weights)
                return true;
        if (matmul->weights == 0)
                return fault_set(fault, STATUS_INVALID, "weights is 0, which no handle ever is");
        if (matmul->b_transposed)
                return fault_set(fault, STATUS_INVALID,
                                 "b_transposed belongs to an operand B: weights know how they were stored");
        return true;
}

/* On what terms the job waits. */
static bool terms_check(const struct request_matmul *matmul, struct fault *fault)
{
        if ((unsigned)matmul->class >= CLASS_MAX)
                return fault_set(fault, STATUS_INVALID, "class %u is unknown; there are 0..%d",
                                 (unsigned)matmul->class, CLASS_MAX - 1);
        if (matmul->deadline_us > MESSAGE_DEADLINE_US_MAX)
                return fault_set(fault, STATUS_INVALID,
                                 "deadline_us is %" PRIu64 "; it must be at most %u, which is an hour, or 0",
                                 matmul->deadline_us, MESSAGE_DEADLINE_US_MAX);
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
        const struct extent inputs[] = {
                {"A", &matmul->a, matmul->m, matmul->k, 1},
                b_extent(matmul->b_is_weights ? NULL : &matmul->b, matmul->k, matmul->n,
                         matmul->b_transposed),
                {"row_scale", place_is_given(&matmul->row_scale) ? &matmul->row_scale : NULL, 1, matmul->m,
                 4},
                {"col_scale", place_is_given(&matmul->col_scale) ? &matmul->col_scale : NULL, 1, matmul->n,
                 4},
                {"bias", place_is_given(&matmul->bias) ? &matmul->bias : NULL, 1, matmul->n, 4},
        };
        struct extent output = {"C", &matmul->c, matmul->m, matmul->n, 1};
        bool any_inline = false;

        if (!m_check(matmul->m, ret_fault) || !b_dims_check(matmul->k, matmul->n, ret_fault) ||
            !form_check(matmul, has_vectors, ret_fault) || !weights_check(matmul, ret_fault) ||
            !terms_check(matmul, ret_fault))
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
        return payload_use_check(payload_bytes, any_inline, ret_fault);
}

bool message_check_weights_load(struct request_weights_load *load, uint64_t payload_bytes,
                                struct fault *ret_fault)
{
        const struct extent b = b_extent(&load->b, load->k, load->n, load->b_transposed);

        return b_dims_check(load->k, load->n, ret_fault) && extent_check(&b, ret_fault) &&
               inline_input_check(&b, payload_bytes, ret_fault) &&
               payload_use_check(payload_bytes, load->b.arena == 0, ret_fault);
}
