/* SPDX-License-Identifier: MIT */
/*
 * fuzz-message.c - any bytes as a request: what the reader accepts keeps every promise of message.h, and the
 *                  check of a matmul accepts exactly what it should.
 *
 * Role: (1) reads the input's control parts as requests of their type and of one other; (2) takes the input
 *       as a list of changes to a matmul that is right, and to weights that are, and compares the verdicts of
 *       message_check_matmul and message_check_weights_load with an oracle that works in 128 bits, where
 *       nothing overflows.
 */
#include <inttypes.h>
#include <stdio.h>

#include "loose.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_summary(uint64_t n_runs);

typedef unsigned __int128 wide;

#define TYPES 10 /* of frames from the client: 1..10 */

static uint64_t n_read[TYPES + 1], n_refused_invalid, n_refused_protocol; /* n_read by frame type */
static uint64_t n_check_accepted, n_check_refused, n_weights_accepted, n_weights_refused;

/* ---- the oracle ---- */

/* First byte and one past the last byte of an operand; false where its numbers are not allowed. */
static bool range_of(const struct place *place, wide rows, wide cols, wide elem_bytes, wide *ret_begin,
                     wide *ret_end)
{
        const wide ld = place->ld_elems == 0 ? cols : place->ld_elems;

        *ret_begin = place->offset_bytes;
        *ret_end = *ret_begin + ((rows - 1) * ld + cols) * elem_bytes;
        return ld >= cols && *ret_begin % elem_bytes == 0 && *ret_end <= UINT64_MAX;
}

struct operand {
        const struct place *place;
        wide rows, cols, elem_bytes;
        bool given;
};

static bool inputs_are_right(const struct request_matmul *m, uint64_t payload_bytes, wide c_begin, wide c_end)
{
        const struct operand inputs[] = {
                {&m->a, m->m, m->k, 1, true},
                {&m->b, m->b_transposed ? m->n : m->k, m->b_transposed ? m->k : m->n, 1, !m->b_is_weights},
                {&m->row_scale, 1, m->m, 4, m->row_scale.extent_bytes != 0},
                {&m->col_scale, 1, m->n, 4, m->col_scale.extent_bytes != 0},
                {&m->bias, 1, m->n, 4, m->bias.extent_bytes != 0},
        };
        bool uses_payload = false;

        for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
                const struct operand *input = &inputs[i];
                wide begin, end;

                if (!input->given)
                        continue;
                if (!range_of(input->place, input->rows, input->cols, input->elem_bytes, &begin, &end))
                        return false;
                if (input->place->arena == 0) {
                        uses_payload = true;
                        if (end > payload_bytes)
                                return false;
                } else if (input->place->arena == m->c.arena && begin < c_end && c_begin < end) {
                        return false;
                }
        }
        return uses_payload || payload_bytes == 0;
}

static bool is_right(const struct request_matmul *m, uint64_t payload_bytes)
{
        const bool int8 = m->form == OUTPUT_INT8, float32 = m->form == OUTPUT_FLOAT32;
        const wide elem_bytes = float32 || m->form == OUTPUT_INT32 ? 4 : 1;
        wide c_begin, c_end;

        if (m->m < 1 || m->m > 2147483647 || m->n < 1 || m->n > 2147483647 || m->k < 1 || m->k > 131071)
                return false;
        if ((unsigned)m->form > 3 || (unsigned)m->rounding > 1 || m->shift > 31)
                return false;
        if (!int8 && (m->shift > 0 || m->rounding != ROUNDING_FLOOR))
                return false;
        if (!float32 && (m->row_scale.extent_bytes || m->col_scale.extent_bytes || m->bias.extent_bytes))
                return false;
        if (m->b_is_weights && (m->weights == 0 || m->b_transposed))
                return false;
        if ((unsigned)m->class > 2 || m->deadline_us > 3600000000)
                return false;
        if (!range_of(&m->c, m->m, m->n, elem_bytes, &c_begin, &c_end))
                return false;
        if (m->c.arena == 0 && (c_begin != 0 || (m->c.ld_elems != 0 && m->c.ld_elems != m->n)))
                return false;
        return inputs_are_right(m, payload_bytes, c_begin, c_end);
}

static bool weights_are_right(const struct request_weights_load *w, uint64_t payload_bytes)
{
        const wide rows = w->b_transposed ? w->n : w->k, cols = w->b_transposed ? w->k : w->n;
        wide begin, end;

        if (w->n < 1 || w->n > 2147483647 || w->k < 1 || w->k > 131071)
                return false;
        if (!range_of(&w->b, rows, cols, 1, &begin, &end))
                return false;
        return w->b.arena == 0 ? end <= payload_bytes : payload_bytes == 0;
}

/* After the check a place says what it touches. */
static void place_verify(const struct place *place, wide rows, wide cols, wide elem_bytes)
{
        assert(place->ld_elems >= cols && place->extent_bytes > 0);
        assert(place->extent_bytes == ((rows - 1) * place->ld_elems + cols) * elem_bytes);
        assert((wide)place->offset_bytes + place->extent_bytes <= UINT64_MAX);
}

static void matmul_verify(const struct request_matmul *m, uint64_t payload_bytes)
{
        assert(is_right(m, payload_bytes));
        place_verify(&m->a, m->m, m->k, 1);
        if (!m->b_is_weights)
                place_verify(&m->b, m->b_transposed ? m->n : m->k, m->b_transposed ? m->k : m->n, 1);
        place_verify(&m->c, m->m, m->n, output_elem_bytes(m->form));
        if (m->row_scale.extent_bytes)
                place_verify(&m->row_scale, 1, m->m, 4);
        if (m->col_scale.extent_bytes)
                place_verify(&m->col_scale, 1, m->n, 4);
        if (m->bias.extent_bytes)
                place_verify(&m->bias, 1, m->n, 4);
}

static void weights_verify(const struct request_weights_load *w, uint64_t payload_bytes)
{
        assert(weights_are_right(w, payload_bytes));
        place_verify(&w->b, w->b_transposed ? w->n : w->k, w->b_transposed ? w->k : w->n, 1);
}

static void fault_verify(const struct fault *fault)
{
        assert(fault->status == STATUS_INVALID || fault->status == STATUS_PROTOCOL);
        assert(fault->text[0] != '\0' && loose_is_printable(fault->text, sizeof fault->text));
}

/* ---- (1) control parts ---- */

static bool place_equal(const struct place *a, const struct place *b)
{
        return a->arena == b->arena && a->offset_bytes == b->offset_bytes && a->ld_elems == b->ld_elems &&
               a->extent_bytes == b->extent_bytes;
}

static bool matmul_equal(const struct request_matmul *a, const struct request_matmul *b)
{
        return a->m == b->m && a->k == b->k && a->n == b->n && place_equal(&a->a, &b->a) &&
               a->b_is_weights == b->b_is_weights && a->weights == b->weights && place_equal(&a->b, &b->b) &&
               a->b_transposed == b->b_transposed && place_equal(&a->c, &b->c) && a->form == b->form &&
               a->shift == b->shift && a->rounding == b->rounding &&
               place_equal(&a->row_scale, &b->row_scale) && place_equal(&a->col_scale, &b->col_scale) &&
               place_equal(&a->bias, &b->bias) && a->class == b->class && a->deadline_us == b->deadline_us &&
               a->more == b->more;
}

static bool request_equal(const struct request *a, const struct request *b)
{
        if (a->type != b->type || a->id != b->id)
                return false;
        switch (a->type) {
        case FRAME_HELLO:
                return a->hello.version_minor == b->hello.version_minor &&
                       a->hello.features == b->hello.features &&
                       strcmp(a->hello.client_name, b->hello.client_name) == 0;
        case FRAME_ARENA_CREATE:
                return a->arena_create.size_bytes == b->arena_create.size_bytes;
        case FRAME_ARENA_RELEASE:
                return a->arena_release.arena == b->arena_release.arena;
        case FRAME_MATMUL:
                return matmul_equal(&a->matmul, &b->matmul);
        case FRAME_WEIGHTS_LOAD:
                return a->weights_load.k == b->weights_load.k && a->weights_load.n == b->weights_load.n &&
                       place_equal(&a->weights_load.b, &b->weights_load.b) &&
                       a->weights_load.b_transposed == b->weights_load.b_transposed;
        case FRAME_WEIGHTS_RELEASE:
                return a->weights_release.weights == b->weights_release.weights;
        case FRAME_SET:
                return strcmp(a->set.key, b->set.key) == 0 && strcmp(a->set.value, b->set.value) == 0;
        case FRAME_RING_START:
                return a->ring_start.arena == b->ring_start.arena &&
                       a->ring_start.offset_bytes == b->ring_start.offset_bytes &&
                       a->ring_start.submission_bytes == b->ring_start.submission_bytes &&
                       a->ring_start.completion_bytes == b->ring_start.completion_bytes;
        default:
                return true;
        }
}

/* What was read can be written, and reads the same. */
static void there_and_back(const struct request *request, uint64_t payload_bytes)
{
        struct frame_header header = {
                .type = request->type, .payload_bytes = payload_bytes, .request_id = request->id};
        uint8_t control[MESSAGE_WRITE_MAX];
        struct request again;
        struct fault fault;

        header.control_bytes = (uint32_t)message_write_request(request, control);
        assert(header.control_bytes <= sizeof control);
        assert(message_read_request(&header, control, &again, &fault));
        assert(request_equal(request, &again));
}

/* Their end is a number, too. */
static void ring_verify(const struct request_ring_start *ring)
{
        const uint64_t sizes[] = {ring->submission_bytes, ring->completion_bytes};

        for (size_t i = 0; i < 2; i++)
                assert(sizes[i] >= 4096 && sizes[i] <= 1048576 && __builtin_popcountll(sizes[i]) == 1);
        assert(ring->offset_bytes % 64 == 0 && ring->offset_bytes < UINT64_MAX - sizes[0] - sizes[1]);
}

static void request_verify(const struct request *request, uint64_t payload_bytes)
{
        switch (request->type) {
        case FRAME_HELLO:
                assert(loose_is_printable(request->hello.client_name, sizeof request->hello.client_name));
                break;
        case FRAME_ARENA_CREATE:
                assert(request->arena_create.size_bytes > 0);
                break;
        case FRAME_MATMUL:
                matmul_verify(&request->matmul, payload_bytes);
                break;
        case FRAME_WEIGHTS_LOAD:
                weights_verify(&request->weights_load, payload_bytes);
                break;
        case FRAME_WEIGHTS_RELEASE:
                assert(request->weights_release.weights > 0);
                break;
        case FRAME_SET:
                assert(loose_is_printable(request->set.key, sizeof request->set.key));
                assert(loose_is_printable(request->set.value, sizeof request->set.value));
                break;
        case FRAME_RING_START:
                ring_verify(&request->ring_start);
                break;
        default:
                break;
        }
}

static void read_as(const struct loose_frame *frame, enum frame_type type)
{
        struct frame_header header = frame->header;
        struct request request;
        struct fault fault;

        header.type = type;
        if (!message_read_request(&header, frame->control, &request, &fault)) {
                fault_verify(&fault);
                n_refused_invalid += fault.status == STATUS_INVALID;
                n_refused_protocol += fault.status == STATUS_PROTOCOL;
                assert(request.type == type && request.id == header.request_id);
                return;
        }
        n_read[type]++;
        assert(request.type == type && request.id == header.request_id);
        request_verify(&request, header.payload_bytes);
        there_and_back(&request, header.payload_bytes);
}

static void read_frames(const uint8_t *data, size_t size)
{
        struct loose_frame frame;

        while (loose_frame_next(&data, &size, &frame)) {
                const unsigned type = frame.header.type;
                const enum frame_type other = (enum frame_type)(1 + (frame.header.request_id + type) % TYPES);

                if (type >= 1 && type <= TYPES)
                        read_as(&frame, (enum frame_type)type);
                read_as(&frame, other);
                free(frame.control);
        }
}

/* ---- (2) the check by itself ---- */

/* Jobs to start from: an arena job, an inline one, an inline one with everything. */
static const struct {
        struct request_matmul matmul;
        uint64_t payload_bytes;
} right[] = {
        {{.m = 4, .k = 6, .n = 5, .a = {1, 0, 0, 0}, .b = {1, 64, 0, 0}, .c = {1, 128, 0, 0}}, 0},
        {{.m = 4, .k = 6, .n = 5, .a = {0, 0, 0, 0}, .b = {0, 24, 0, 0}, .form = OUTPUT_INT8, .shift = 7},
         54},
        {{.m = 4,
          .k = 6,
          .n = 5,
          .a = {0, 0, 6, 0},
          .b = {0, 24, 5, 0},
          .c = {2, 256, 8, 0},
          .form = OUTPUT_FLOAT32,
          .row_scale = {0, 56, 0, 1},
          .col_scale = {2, 200, 0, 1},
          .bias = {2, 600, 0, 1}},
         128},
};

static uint64_t take(const uint8_t **data, size_t *size, size_t n)
{
        uint64_t value = 0;

        n = MIN(n, *size);
        for (size_t i = 0; i < n; i++)
                value |= (uint64_t)(*data)[i] << (8 * i);
        *data += n;
        *size -= n;
        return value;
}

/* One change: a byte says how, up to eight give the number. */
static uint64_t change(uint64_t old, const uint8_t **data, size_t *size)
{
        const uint64_t how = take(data, size, 1);

        switch (how % 6) {
        case 0:
                return old + take(data, size, 1);
        case 1:
                return old - take(data, size, 1);
        case 2:
                return take(data, size, 1);
        case 3:
                return 1ull << take(data, size, 1) % 64;
        case 4:
                return UINT64_MAX - take(data, size, 1);
        default:
                return take(data, size, 8);
        }
}

static void place_change(struct place *place, const uint8_t **data, size_t *size)
{
        switch (take(data, size, 1) % 3) {
        case 0:
                place->arena = (uint32_t)take(data, size, 1) % 3;
                break;
        case 1:
                place->offset_bytes = change(place->offset_bytes, data, size);
                break;
        default:
                place->ld_elems = change(place->ld_elems, data, size);
        }
}

static void matmul_change(struct request_matmul *m, uint64_t *payload_bytes, const uint8_t **data,
                          size_t *size)
{
        struct place *const places[] = {&m->a, &m->b, &m->c, &m->row_scale, &m->col_scale, &m->bias};
        const uint64_t which = take(data, size, 1) % 24;

        switch (which) {
        case 0:
                m->m = change(m->m, data, size);
                break;
        case 1:
                m->k = change(m->k, data, size);
                break;
        case 2:
                m->n = change(m->n, data, size);
                break;
        case 3:
                m->form = (enum output_form)(take(data, size, 1) % 6);
                break;
        case 4:
                m->shift = (uint32_t)change(m->shift, data, size);
                break;
        case 5:
                m->rounding = (enum rounding)(take(data, size, 1) % 3);
                break;
        case 6:
                m->b_transposed = !m->b_transposed;
                break;
        case 7:
                m->b_is_weights = !m->b_is_weights;
                m->weights = take(data, size, 1) % 4;
                break;
        case 8:
                *payload_bytes = change(*payload_bytes, data, size);
                break;
        case 9:
                places[3 + take(data, size, 1) % 3]->extent_bytes ^= 1; /* given or not */
                break;
        case 10:
                m->class = (enum job_class)(take(data, size, 1) % 4);
                break;
        case 11:
                m->deadline_us = change(m->deadline_us, data, size);
                break;
        default:
                place_change(places[which % 6], data, size);
                m->row_scale.ld_elems = m->col_scale.ld_elems = m->bias.ld_elems =
                        0; /* the reader sees to it */
        }
}

static void check_changed(const uint8_t *data, size_t size)
{
        const size_t start = take(&data, &size, 1) % ARRAY_SIZE(right);
        struct request_matmul matmul = right[start].matmul;
        uint64_t payload_bytes = right[start].payload_bytes;
        struct fault fault;
        bool expected;

        for (int i = 0; i < 4 && size > 0; i++)
                matmul_change(&matmul, &payload_bytes, &data, &size);
        expected = is_right(&matmul, payload_bytes);
        assert(message_check_matmul(&matmul, payload_bytes, &fault) == expected);
        if (expected)
                matmul_verify(&matmul, payload_bytes);
        else
                fault_verify(&fault);
        n_check_accepted += expected;
        n_check_refused += !expected;
}

/* Weights to start from lie in an arena or in the payload. */
static void check_changed_weights(const uint8_t *data, size_t size)
{
        const bool is_inline = take(&data, &size, 1) % 2;
        struct request_weights_load load = {.k = 6, .n = 5, .b = {.arena = is_inline ? 0 : 1}};
        uint64_t payload_bytes = is_inline ? 30 : 0;
        struct fault fault;
        bool expected;

        for (int i = 0; i < 3 && size > 0; i++) {
                switch (take(&data, &size, 1) % 8) {
                case 0:
                        load.k = change(load.k, &data, &size);
                        break;
                case 1:
                        load.n = change(load.n, &data, &size);
                        break;
                case 2:
                        load.b_transposed = !load.b_transposed;
                        break;
                case 3:
                        payload_bytes = change(payload_bytes, &data, &size);
                        break;
                default:
                        place_change(&load.b, &data, &size);
                }
        }
        expected = weights_are_right(&load, payload_bytes);
        assert(message_check_weights_load(&load, payload_bytes, &fault) == expected);
        if (expected)
                weights_verify(&load, payload_bytes);
        else
                fault_verify(&fault);
        n_weights_accepted += expected;
        n_weights_refused += !expected;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        read_frames(data, size);
        for (size_t i = 0; i < size && i < 64; i += 8) { /* several jobs in one input */
                check_changed(data + i, size - i);
                check_changed_weights(data + i, size - i);
        }
        return 0;
}

int fuzz_summary(uint64_t n_runs)
{
        bool all = true;

        (void)printf("requests read, by type:");
        for (int type = 1; type <= TYPES; type++) {
                (void)printf(" %" PRIu64, n_read[type]);
                all = all && n_read[type] > 0;
        }
        (void)printf("; refused: %" PRIu64 " INVALID, %" PRIu64 " PROTOCOL\n", n_refused_invalid,
                     n_refused_protocol);
        (void)printf("matmuls checked: %" PRIu64 " accepted, %" PRIu64 " refused; weights: %" PRIu64
                     ", %" PRIu64 "\n",
                     n_check_accepted, n_check_refused, n_weights_accepted, n_weights_refused);
        if (n_runs >= 10000 &&
            (!all || n_read[FRAME_MATMUL] < n_runs / 100 || n_check_accepted < n_runs / 100 ||
             n_check_refused < n_runs / 100 || n_weights_accepted < n_runs / 100 ||
             n_weights_refused < n_runs / 100 || !n_refused_invalid || !n_refused_protocol)) {
                (void)fprintf(stderr, "some outcome hardly ever came: the inputs do not reach the code\n");
                return 1;
        }
        return 0;
}
