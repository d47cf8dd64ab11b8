/* SPDX-License-Identifier: MIT */
/* weights-load.c - see weights-load.h. */
#include "daemon/weights-load.h"

#include <blake2.h>
#include <errno.h>

/* The other threads of libuv's pool are spared: arenas end there, and clients wait for that. */
#define TURNS_AT_ONCE 2
/* One turn on the pool: some tens of milliseconds, so that others come in between and an end need not wait. */
#define TURN_BYTES UINT64_C(16777216)
#define STEP_BYTES UINT64_C(1048576)
/* Rows and columns that are transposed at a time: whole cache lines on either side. */
#define TILE 64

/* ---- on the pool ---- */

enum load_state { LOAD_NEW = 0, LOAD_WAITING, LOAD_TURNING };

struct weights_load {
        enum load_state state;
        struct weights *weights;      /* owned: the copy in the making */
        struct weights_source source; /* its arena: ref; NULL: all bytes are in the copy */
        uint64_t row, col;            /* of the copy: the next block begins there */
        uint64_t hashed_bytes;
        _Alignas(uint64_t) blake2b_state hash; /* packed by its header, but full of such */
        weights_loaded_fn loaded_fn;           /* NULL once given up */
        void *userdata;
        TAILQ_ENTRY(weights_load) link; /* weights_user::loads, LOAD_WAITING */
        uv_work_t work;                 /* LOAD_TURNING */
};

/* By way of a tile of our own: lines of large matrices often lie a power of two apart and evict each other. */
static void tile_transpose(uint8_t *to, uint64_t to_ld, const uint8_t *from, uint64_t from_ld, uint64_t rows,
                           uint64_t cols)
{
        uint8_t tile[TILE][TILE];

        for (uint64_t col = 0; col < cols; col++)
                for (uint64_t row = 0; row < rows; row++)
                        tile[row][col] = from[col * from_ld + row];
        for (uint64_t row = 0; row < rows; row++)
                memcpy(to + row * to_ld, tile[row], cols);
}

/* Rows and columns are those of the copy. */
static void block_copy(const struct weights_load *load, uint64_t rows, uint64_t cols)
{
        const struct weights_source *source = &load->source;
        const uint64_t ld = source->ld_elems, n = load->weights->resident.n;
        uint8_t *to = load->weights->memory + load->row * n + load->col;
        const uint8_t *from = source->arena->memory + source->offset_bytes;

        if (!source->is_transposed) {
                from += load->row * ld + load->col;
                for (uint64_t row = 0; row < rows; row++)
                        memcpy(to + row * n, from + row * ld, cols);
                return;
        }
        from += load->col * ld + load->row;
        for (uint64_t row = 0; row < rows; row += TILE)
                for (uint64_t col = 0; col < cols; col += TILE)
                        tile_transpose(to + row * n + col, n, from + col * ld + row, ld,
                                       MIN(TILE, rows - row), MIN(TILE, cols - col));
}

/* Copies the next block, at least TILE rows high where there are as many. Returns its bytes. */
static uint64_t copy_some(struct weights_load *load)
{
        const struct resident *resident = &load->weights->resident;
        const uint64_t cols_at_most = MIN(resident->n, STEP_BYTES / TILE);
        const uint64_t rows = MIN(STEP_BYTES / cols_at_most, resident->k - load->row);
        const uint64_t cols = MIN(cols_at_most, resident->n - load->col);

        block_copy(load, rows, cols);
        load->col += cols;
        if (load->col == resident->n) {
                load->col = 0;
                load->row += rows;
        }
        return rows * cols;
}

static uint64_t matrix_bytes(const struct weights_load *load)
{
        return load->weights->resident.k * load->weights->resident.n;
}

static uint64_t hash_some(struct weights_load *load)
{
        const uint64_t n_bytes = MIN(STEP_BYTES, matrix_bytes(load) - load->hashed_bytes);

        (void)blake2b_update(&load->hash, load->weights->memory + load->hashed_bytes, n_bytes);
        load->hashed_bytes += n_bytes;
        if (load->hashed_bytes == matrix_bytes(load))
                (void)blake2b_final(&load->hash, load->weights->hash, WEIGHTS_HASH_BYTES);
        return n_bytes;
}

static bool is_copied(const struct weights_load *load)
{
        return load->row == load->weights->resident.k;
}

static void turn_work(uv_work_t *work)
{
        struct weights_load *load = container_of(work, struct weights_load, work);
        uint64_t done_bytes = 0;

        while (done_bytes < TURN_BYTES && load->hashed_bytes < matrix_bytes(load))
                done_bytes += is_copied(load) ? hash_some(load) : copy_some(load);
}

/* ---- on the loop ---- */

static void load_end(struct weights_load *load)
{
        (void)weights_free(load->weights);
        (void)arena_unref(load->source.arena);
        free(load);
}

static void finish(struct weights_load *load)
{
        weights_loaded_fn loaded_fn = load->loaded_fn;
        void *userdata = load->userdata;
        bool is_shared = false;
        struct weights *weights = weights_settle(steal(&load->weights), &is_shared);

        load_end(load);
        loaded_fn(weights, is_shared, userdata);
}

static void wait_for_turn(struct weights_load *load)
{
        load->state = LOAD_WAITING;
        TAILQ_INSERT_TAIL(&load->weights->user->loads, load, link);
}

static void turn_done(uv_work_t *work, int status);

/* Users take turns, and so do the loads of each. */
static void turns_give(struct weights_set *set)
{
        struct weights_user *user = TAILQ_FIRST(&set->users);
        struct weights_load *load;
        int r;

        while (user && set->n_turns < TURNS_AT_ONCE) {
                load = TAILQ_FIRST(&user->loads);
                if (!load) {
                        user = TAILQ_NEXT(user, link);
                        continue;
                }
                TAILQ_REMOVE(&user->loads, load, link);
                TAILQ_REMOVE(&set->users, user, link);
                TAILQ_INSERT_TAIL(&set->users, user, link);
                load->state = LOAD_TURNING;
                set->n_turns++;
                r = uv_queue_work(set->loop, &load->work, turn_work, turn_done);
                assert(r == 0); /* fails only without a function to run */
                user = TAILQ_FIRST(&set->users);
        }
}

static void turn_done(uv_work_t *work, int status)
{
        struct weights_load *load = container_of(work, struct weights_load, work);
        struct weights_set *set = load->weights->set;

        (void)status; /* never cancelled */
        set->n_turns--;
        if (is_copied(load))
                load->source.arena = arena_unref(load->source.arena);
        if (!load->loaded_fn)
                load_end(load);
        else if (load->hashed_bytes < matrix_bytes(load))
                wait_for_turn(load);
        else
                finish(load);
        turns_give(set);
}

/* The shape goes first, so that the same bytes in another are another matrix; the 0 is the type, int8. */
static void hash_begin(struct weights_load *load)
{
        uint8_t head[24];
        int r;

        put_le(head, load->weights->resident.k, 8);
        put_le(head + 8, load->weights->resident.n, 8);
        put_le(head + 16, 0, 8);
        r = blake2b_init(&load->hash, WEIGHTS_HASH_BYTES);
        assert(r == 0); /* fails only for a length that there is not */
        (void)blake2b_update(&load->hash, head, sizeof head);
}

int weights_load_new(struct weights_set *set, uid_t uid, uint64_t k, uint64_t n,
                     const struct weights_source *source, struct weights_load **ret_load)
{
        _cleanup_(freep) struct weights_load *load = calloc(1, sizeof *load);
        int r;

        if (!load)
                return -ENOMEM;
        r = weights_new(set, uid, k, n, &load->weights);
        if (r != 0)
                return r;
        if (source) {
                load->source = *source;
                (void)arena_ref(source->arena);
        } else {
                load->row = k;
        }
        hash_begin(load);
        *ret_load = steal(&load);
        return 0;
}

uint8_t *weights_load_memory(const struct weights_load *load)
{
        return load->weights->memory;
}

void weights_load_start(struct weights_load *load, weights_loaded_fn loaded_fn, void *userdata)
{
        assert(load->state == LOAD_NEW);
        load->loaded_fn = loaded_fn;
        load->userdata = userdata;
        wait_for_turn(load);
        turns_give(load->weights->set);
}

struct weights_load *weights_load_free(struct weights_load *load)
{
        if (!load)
                return NULL;
        if (load->state == LOAD_TURNING) {
                load->loaded_fn = NULL;
                return NULL;
        }
        if (load->state == LOAD_WAITING)
                TAILQ_REMOVE(&load->weights->user->loads, load, link);
        load_end(load);
        return NULL;
}
