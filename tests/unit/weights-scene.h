/* SPDX-License-Identifier: MIT */
/*
 * weights-scene.h - a store of weights with all that is below it, for the tests of it.
 *
 * Role:   makes store, quota and arenas on a loop of its own; loads matrices and waits for them; stops libuv's pool for
 *         as long as a test wants to look at what waits for it; checks at the end that nothing is left.
 * Thread: one.
 */
#ifndef TESTS_UNIT_WEIGHTS_SCENE_H
#define TESTS_UNIT_WEIGHTS_SCENE_H

#include <check.h>

#include "daemon/weights-load.h"
#include "tests/lib/rng.h"

#define UID   1000
#define OTHER 1001
#define PAGE  UINT64_C(4096)
#define MIB   UINT64_C(1048576)

#define POOL_THREADS 4 /* libuv's default */

struct scene {
        uv_loop_t loop;
        struct quota quota;
        struct stats stats;
        struct arena_set arenas;
        struct weights_set set;
        uv_sem_t gate;
        uv_work_t blockers[POOL_THREADS];
        bool is_blocked;
};

/* The end of a load, as its owner hears it. */
struct loaded {
        struct weights *weights; /* ref */
        bool is_shared;
        unsigned n_calls;
};

static inline void scene_open(struct scene *scene, uint64_t kept_bytes_max)
{
        const struct quota_limits limits = {
                .per_uid = {[QUOTA_BYTES] = 256 * MIB, [QUOTA_ARENAS] = 100, [QUOTA_WEIGHTS] = 1000},
                .total = {[QUOTA_BYTES] = 256 * MIB, [QUOTA_ARENAS] = 100, [QUOTA_WEIGHTS] = 1000},
        };

        *scene = (struct scene){0};
        ck_assert_int_eq(sysconf(_SC_PAGESIZE), PAGE); /* the tests' numbers are written for it */
        ck_assert_int_eq(uv_loop_init(&scene->loop), 0);
        ck_assert_int_eq(uv_sem_init(&scene->gate, 0), 0);
        quota_init(&scene->quota, &limits);
        scene->arenas = (struct arena_set){.loop = &scene->loop, .quota = &scene->quota};
        weights_set_init(&scene->set, &scene->loop, &scene->quota, &scene->stats, kept_bytes_max);
}

/* Runs the loop until everything is loaded, dropped and gone that is on its way there. */
static inline void scene_settle(struct scene *scene)
{
        ck_assert(!scene->is_blocked);
        ck_assert_int_eq(uv_run(&scene->loop, UV_RUN_DEFAULT), 0);
}

static inline void blocker_work(uv_work_t *work)
{
        struct scene *scene = work->data;

        uv_sem_wait(&scene->gate);
}

/* From now on nothing that is given to the pool is begun. */
static inline void scene_block(struct scene *scene)
{
        for (size_t i = 0; i < POOL_THREADS; i++) {
                scene->blockers[i].data = scene;
                ck_assert_int_eq(uv_queue_work(&scene->loop, &scene->blockers[i], blocker_work, NULL), 0);
        }
        scene->is_blocked = true;
}

static inline void scene_unblock(struct scene *scene)
{
        for (size_t i = 0; i < POOL_THREADS; i++)
                uv_sem_post(&scene->gate);
        scene->is_blocked = false;
}

static inline void scene_close(struct scene *scene)
{
        if (scene->is_blocked) /* the test has failed */
                scene_unblock(scene);
        weights_set_close(&scene->set);
        scene_settle(scene);
        ck_assert_uint_eq(scene->set.n_weights, 0);
        ck_assert_uint_eq(scene->arenas.n_arenas, 0);
        weights_set_deinit(&scene->set); /* asserts that no copy is left */
        quota_deinit(&scene->quota);     /* and that nothing is charged */
        uv_sem_destroy(&scene->gate);
        ck_assert_int_eq(uv_loop_close(&scene->loop), 0);
}

static inline void on_loaded(struct weights *weights, bool is_shared, void *userdata)
{
        struct loaded *loaded = userdata;

        ck_assert_ptr_nonnull(weights);
        *loaded = (struct loaded){.weights = weights, .is_shared = is_shared, .n_calls = loaded->n_calls + 1};
}

/* A load whose bytes are put into the copy itself; it is begun, and `loaded` hears of its end. */
static inline struct weights_load *scene_begin(struct scene *scene, uid_t uid, uint64_t k, uint64_t n,
                                               const void *bytes, struct loaded *loaded)
{
        struct weights_load *load = NULL;

        *loaded = (struct loaded){0};
        ck_assert_int_eq(weights_load_new(&scene->set, uid, k, n, NULL, &load), 0);
        memcpy(weights_load_memory(load), bytes, k * n);
        weights_load_start(load, on_loaded, loaded);
        ck_assert_uint_eq(loaded->n_calls, 0); /* never from inside */
        return load;
}

static inline struct loaded scene_load(struct scene *scene, uid_t uid, uint64_t k, uint64_t n,
                                       const void *bytes)
{
        struct loaded loaded;

        (void)scene_begin(scene, uid, k, n, bytes, &loaded);
        scene_settle(scene);
        ck_assert_uint_eq(loaded.n_calls, 1);
        return loaded;
}

static inline struct loaded scene_load_from(struct scene *scene, uid_t uid, uint64_t k, uint64_t n,
                                            const struct weights_source *source)
{
        struct weights_load *load = NULL;
        struct loaded loaded = {0};

        ck_assert_int_eq(weights_load_new(&scene->set, uid, k, n, source, &load), 0);
        weights_load_start(load, on_loaded, &loaded);
        scene_settle(scene);
        ck_assert_uint_eq(loaded.n_calls, 1);
        return loaded;
}

/* A matrix of whole pages that is told by its number. */
static inline struct loaded scene_load_number(struct scene *scene, uid_t uid, uint64_t pages, uint8_t number)
{
        uint8_t *bytes = calloc(pages, PAGE);
        struct loaded loaded;

        ck_assert_ptr_nonnull(bytes);
        bytes[0] = number;
        loaded = scene_load(scene, uid, pages, PAGE, bytes);
        free(bytes);
        return loaded;
}

static inline void scene_expect_charged(const struct scene *scene, uint64_t pages)
{
        ck_assert_uint_eq(scene->quota.used[QUOTA_BYTES], pages * PAGE);
        ck_assert_uint_eq(scene->set.charged_bytes, pages * PAGE);
}

/* Loading it finds an equal copy, or would make one; the store is as before, but for what is kept longest. */
static inline bool scene_has(struct scene *scene, uid_t uid, uint64_t pages, uint8_t number)
{
        struct loaded loaded = scene_load_number(scene, uid, pages, number);

        (void)weights_unref(loaded.weights);
        scene_settle(scene);
        return loaded.is_shared;
}

#endif
