/* SPDX-License-Identifier: MIT */
/* operands.c - see operands.h. */
#include "operands.h"

#include <inttypes.h>

#include "client.h"
#include "job.h"

/* In one payload or staging block: as good for the kernels as what npumm_alloc() gives out. */
#define PLACE_ALIGN_BYTES 64u

struct place operand_address(uint32_t arena, const void *memory, uint64_t ld_elems)
{
        return (struct place){
                .arena = arena,
                .offset_bytes = (uintptr_t)memory,
                .ld_elems = ld_elems,
                .extent_bytes = memory ? 1 : 0, /* given or not, as message_check_matmul() wants to know */
        };
}

void operands_add(struct operands *operands, const char *name, const void *memory, struct place *place,
                  uint64_t rows, uint64_t cols, uint64_t elem_bytes)
{
        assert(operands->n < OPERANDS_MAX);
        operands->all[operands->n++] = (struct operand){
                .name = name,
                .memory = (uint8_t *)memory,
                .place = place,
                .rows = rows,
                .row_bytes = cols * elem_bytes,
                .stride_bytes = place->ld_elems * elem_bytes,
        };
}

int operands_place_inline(struct npumm_client *client, struct operands *operands)
{
        for (size_t i = 0; i < operands->n; i++) {
                const struct operand *operand = &operands->all[i];
                const uint64_t gap_bytes = -operands->payload_bytes % PLACE_ALIGN_BYTES;

                if (operand->is_output) { /* it comes back in payloads */
                        *operand->place = (struct place){.extent_bytes = 1};
                        continue;
                }
                if (gap_bytes > 0) {
                        operands->views[operands->n_views++] = channel_zeros(gap_bytes);
                        operands->payload_bytes += gap_bytes;
                }
                *operand->place = (struct place){.offset_bytes = operands->payload_bytes, .extent_bytes = 1};
                operands->views[operands->n_views++] =
                        rows_view(operand->memory, operand->rows, operand->row_bytes, operand->stride_bytes);
                operands->payload_bytes +=
                        operand->rows * operand->row_bytes; /* below 2^49, by the limits of M, K, N */
        }
        if (operands->payload_bytes > client->limits.payload_bytes)
                return client_fail(client, NPUMM_STATUS_TOO_BIG,
                                   "inline operands of %" PRIu64
                                   " bytes are over the daemon's limit of %" PRIu64 ": leave %s out",
                                   operands->payload_bytes, client->limits.payload_bytes,
                                   operands->inline_flag);
        return 0;
}

/* Finds operands that lie in an arena; the others get a place in memory to come, whose size is returned. */
static int places_find(struct npumm_client *client, struct operands *operands, uint64_t *ret_staged_bytes)
{
        uint64_t staged_bytes = 0;

        for (size_t i = 0; i < operands->n; i++) {
                struct operand *operand = &operands->all[i];
                struct place *place = operand->place;

                switch (arenas_find(client, operand->memory, place->extent_bytes, &place->arena,
                                    &place->offset_bytes)) {
                case ARENAS_INSIDE:
                        break;
                case ARENAS_ASTRAY:
                        return client_fail(client, NPUMM_STATUS_INVALID,
                                           "%s: its %" PRIu64
                                           " bytes at %p lie partly outside of what npumm_alloc() "
                                           "gave out",
                                           operand->name, place->extent_bytes, (void *)operand->memory);
                case ARENAS_OUTSIDE:
                        operand->is_staged = true;
                        operand->staged_at_bytes = staged_bytes;
                        if (!checked_add(staged_bytes, operand->rows * operand->row_bytes, &staged_bytes) ||
                            !checked_align(staged_bytes, PLACE_ALIGN_BYTES, &staged_bytes))
                                return client_fail(client, NPUMM_STATUS_BUSY, "%s is too large for any arena",
                                                   operand->name);
                        break;
                }
        }
        *ret_staged_bytes = staged_bytes;
        return 0;
}

int operands_place_arenas(struct npumm_client *client, struct operands *operands, uint8_t **ret_staged)
{
        uint64_t staged_bytes = 0;
        uint8_t *staged = NULL;
        int r;

        r = places_find(client, operands, &staged_bytes);
        if (r == 0 && staged_bytes > 0)
                r = arenas_alloc(client, staged_bytes, &staged);
        if (r != 0)
                return r;
        for (size_t i = 0; i < operands->n; i++) {
                struct operand *operand = &operands->all[i];
                struct place *place = operand->place;
                uint8_t *memory;

                if (!operand->is_staged)
                        continue;
                memory = staged + operand->staged_at_bytes;
                *place = (struct place){.extent_bytes = 1};
                (void)arenas_find(client, memory, 1, &place->arena, &place->offset_bytes);
                if (!operand->is_output)
                        rows_copy(memory, operand->row_bytes, operand->memory, operand->stride_bytes,
                                  operand->rows, operand->row_bytes);
        }
        *ret_staged = staged;
        return 0;
}
