/* SPDX-License-Identifier: MIT */
/*
 * tile-pool.c - see tile-pool.h.
 *
 * A helper enters a product under the lock, as long as it is open, and leaves it under the lock: the caller closes it
 * when no tile is left to take, and then waits for those that are still inside. So nobody comes late to a plan that has
 * gone, and tiles themselves are taken by one atomic counter.
 */
#include "daemon/device/tile-pool.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <uv.h>

/* Below it one thread is done before another is awake: 1.5 M multiply-adds take an AVX512-VNNI kernel 7 us. */
#define SHARED_MACS_LEAST 1.5e6

/* How long a helper looks for the next product before it sleeps, where there are CPUs to spare: a batch in a row. */
#define SPIN_NS 20000

struct helper {
        struct tile_pool *pool;
        uv_thread_t thread;
        void *scratch; /* owned */
};

struct tile_pool {
        uv_mutex_t mutex;               /* guards plan, stopping, n_inside */
        uv_cond_t begun;                /* a product is open, or stopping */
        uv_cond_t left;                 /* the last helper has left */
        const struct kernel_plan *plan; /* borrowed: of the call of tile_pool_run under way; NULL: closed */
        bool stopping;
        unsigned n_inside;
        atomic_size_t next_tile;
        atomic_uint n_begun; /* products so far: what a spinning helper watches */
        bool spins;
        unsigned n_helpers;
        struct helper helpers[];
};

static void tiles_take(struct tile_pool *pool, const struct kernel_plan *plan, void *scratch)
{
        size_t tile;

        while ((tile = atomic_fetch_add_explicit(&pool->next_tile, 1, memory_order_relaxed)) < plan->n_tiles)
                kernel_tile(plan, tile, scratch);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
}

/* Until another product than `seen` has begun, or it is not worth the wait. */
static void spin(const struct tile_pool *pool, unsigned seen)
{
        const uint64_t end_ns = uv_hrtime() + SPIN_NS;

        while (atomic_load_explicit(&pool->n_begun, memory_order_relaxed) == seen && uv_hrtime() < end_ns)
                cpu_relax();
}

static void helper_thread(void *userdata)
{
        const struct helper *helper = userdata;
        struct tile_pool *pool = helper->pool;
        unsigned seen = 0;

        uv_mutex_lock(&pool->mutex);
        for (;;) {
                const struct kernel_plan *plan;

                while (!pool->stopping && (!pool->plan || seen == atomic_load(&pool->n_begun)))
                        uv_cond_wait(&pool->begun, &pool->mutex);
                if (pool->stopping)
                        break;
                seen = atomic_load(&pool->n_begun);
                plan = pool->plan;
                pool->n_inside++;
                uv_mutex_unlock(&pool->mutex);
                tiles_take(pool, plan, helper->scratch);
                uv_mutex_lock(&pool->mutex);
                if (--pool->n_inside == 0)
                        uv_cond_signal(&pool->left);
                if (pool->spins) {
                        uv_mutex_unlock(&pool->mutex);
                        spin(pool, seen);
                        uv_mutex_lock(&pool->mutex);
                }
        }
        uv_mutex_unlock(&pool->mutex);
}

/* CPUs that this process may run on. */
static unsigned cpus_allowed(void)
{
        cpu_set_t set;

        return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

static int helper_start(struct tile_pool *pool)
{
        struct helper *helper = &pool->helpers[pool->n_helpers];
        int r;

        helper->pool = pool;
        helper->scratch = kernel_scratch_new();
        if (!helper->scratch)
                return -ENOMEM;
        r = uv_thread_create(&helper->thread, helper_thread, helper);
        if (r < 0) {
                free(helper->scratch);
                return r;
        }
        pool->n_helpers++;
        return 0;
}

int tile_pool_new(unsigned threads, struct tile_pool **ret_pool)
{
        struct tile_pool *pool = calloc(1, sizeof *pool + (threads - 1) * sizeof pool->helpers[0]);
        int r;

        assert(threads >= 2);
        if (!pool)
                return -ENOMEM;
        r = uv_mutex_init(&pool->mutex);
        if (r < 0)
                goto fail_mutex;
        r = uv_cond_init(&pool->begun);
        if (r < 0)
                goto fail_begun;
        r = uv_cond_init(&pool->left);
        if (r < 0)
                goto fail_left;
        pool->spins = cpus_allowed() > threads;
        while (r == 0 && pool->n_helpers < threads - 1)
                r = helper_start(pool);
        if (r < 0) {
                (void)tile_pool_free(pool);
                return r;
        }
        *ret_pool = pool;
        return 0;
fail_left:
        uv_cond_destroy(&pool->begun);
fail_begun:
        uv_mutex_destroy(&pool->mutex);
fail_mutex:
        free(pool);
        return r;
}

struct tile_pool *tile_pool_free(struct tile_pool *pool)
{
        if (!pool)
                return NULL;
        uv_mutex_lock(&pool->mutex);
        pool->stopping = true;
        atomic_fetch_add(&pool->n_begun, 1); /* none spins on */
        uv_cond_broadcast(&pool->begun);
        uv_mutex_unlock(&pool->mutex);
        for (unsigned i = 0; i < pool->n_helpers; i++) {
                (void)uv_thread_join(&pool->helpers[i].thread);
                free(pool->helpers[i].scratch);
        }
        uv_cond_destroy(&pool->left);
        uv_cond_destroy(&pool->begun);
        uv_mutex_destroy(&pool->mutex);
        free(pool);
        return NULL;
}

unsigned tile_pool_threads(const struct tile_pool *pool, double macs)
{
        return pool && macs >= SHARED_MACS_LEAST ? pool->n_helpers + 1 : 1;
}

void tile_pool_run(struct tile_pool *pool, const struct kernel_plan *plan, void *scratch)
{
        uv_mutex_lock(&pool->mutex);
        pool->plan = plan;
        atomic_store(&pool->next_tile, 0);
        atomic_fetch_add(&pool->n_begun, 1);
        uv_cond_broadcast(&pool->begun);
        uv_mutex_unlock(&pool->mutex);
        tiles_take(pool, plan, scratch);
        uv_mutex_lock(&pool->mutex);
        pool->plan = NULL;
        while (pool->n_inside > 0)
                uv_cond_wait(&pool->left, &pool->mutex);
        uv_mutex_unlock(&pool->mutex);
}
