/* SPDX-License-Identifier: MIT */
/*
 * test-weights-load.c - matrices on their way into the store: every form of one becomes the same copy, what a client
 * does to its memory afterwards changes nothing, and a load may be given up at any time.
 */
#include <check.h>
#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/suite.h"
#include "tests/unit/weights-scene.h"

static struct scene scene;
static struct rng rng;

static void setup(void)
{
        scene_open(&scene, 0);
}

static void teardown(void)
{
        scene_close(&scene); /* checks that nothing is left */
}

static struct arena *make_arena(uint64_t size_bytes)
{
        struct arena *arena = NULL;

        ck_assert_int_eq(arena_new(&scene.arenas, UID, size_bytes, &arena), 0);
        return arena;
}

static uint8_t *random_bytes(uint64_t n_bytes)
{
        uint8_t *bytes = malloc(n_bytes);

        ck_assert_ptr_nonnull(bytes);
        rng_fill(&rng, bytes, n_bytes);
        return bytes;
}

/* ---- forms ---- */

static const struct {
        uint64_t k, n;
} shapes[] = {
        {1, 1},        {1, 5},     {5, 1},     {63, 64},     {64, 63},
        {65, 65},      {128, 128}, {200, 333}, {1, 3000001}, /* a row of several steps */
        {131071, 3},                                         /* as high as it may be */
        {70, 20001},                                         /* wider than a step of 64 rows */
        {1025, 16385},                                       /* more than a turn of the pool */
};

/* Writes `bytes` (k x n) into an arena of its own as the source says; what lies between is noise. */
static void source_fill(struct weights_source *source, uint64_t k, uint64_t n, const uint8_t *bytes)
{
        const uint64_t rows = source->is_transposed ? n : k, cols = source->is_transposed ? k : n;
        uint8_t *to;

        source->arena = make_arena(source->offset_bytes + (rows - 1) * source->ld_elems + cols);
        rng_fill(&rng, source->arena->memory, source->arena->size_bytes);
        to = source->arena->memory + source->offset_bytes;
        for (uint64_t row = 0; row < rows; row++)
                for (uint64_t col = 0; col < cols; col++)
                        to[row * source->ld_elems + col] =
                                source->is_transposed ? bytes[col * n + row] : bytes[row * n + col];
}

/* _i: which shape. However it is stored, it is the same copy, and that is the matrix. */
START_TEST(test_forms_of_one_matrix)
{
        const uint64_t k = shapes[_i].k, n = shapes[_i].n;
        uint8_t *bytes = random_bytes(k * n);
        struct loaded first = scene_load(&scene, UID, k, n, bytes);
        struct weights_source sources[] = {
                {.ld_elems = n},
                {.ld_elems = n + 1, .offset_bytes = 1},
                {.ld_elems = k, .is_transposed = true},
                {.ld_elems = k + 7, .is_transposed = true, .offset_bytes = 33},
        };

        ck_assert(!first.is_shared);
        ck_assert_mem_eq(first.weights->resident.b, bytes, k * n);
        ck_assert_uint_eq(first.weights->resident.k, k);
        ck_assert_uint_eq(first.weights->resident.n, n);
        for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
                struct loaded loaded;

                source_fill(&sources[i], k, n, bytes);
                loaded = scene_load_from(&scene, UID, k, n, &sources[i]);
                ck_assert(loaded.is_shared);
                ck_assert_ptr_eq(loaded.weights, first.weights);
                (void)weights_unref(loaded.weights);
                (void)arena_unref(sources[i].arena);
        }
        ck_assert_uint_eq(scene.set.n_weights, 1);
        (void)weights_unref(first.weights);
        free(bytes);
}
END_TEST

/* The same with the copy made from the arena, so that both ways are seen to make the right one. */
START_TEST(test_copies_are_exact)
{
        const uint64_t k = shapes[_i].k, n = shapes[_i].n;
        uint8_t *bytes = random_bytes(k * n);

        for (int is_transposed = 0; is_transposed < 2; is_transposed++) {
                struct weights_source source = {.ld_elems = (is_transposed ? k : n) + 3,
                                                .is_transposed = is_transposed};
                struct loaded loaded;

                source_fill(&source, k, n, bytes);
                loaded = scene_load_from(&scene, UID, k, n, &source);
                ck_assert(!loaded.is_shared);
                ck_assert_mem_eq(loaded.weights->resident.b, bytes, k * n);
                (void)weights_unref(loaded.weights);
                (void)arena_unref(source.arena);
                scene_settle(&scene);
        }
        free(bytes);
}
END_TEST

/* The same bytes, of which each shape makes another matrix. */
START_TEST(test_shapes_are_told_apart)
{
        static const struct {
                uint64_t k, n;
        } cases[] = {{1, 6}, {2, 3}, {3, 2}, {6, 1}};
        const uint8_t bytes[6] = {1, 1, 1, 1, 1, 1};
        struct loaded loaded[ARRAY_SIZE(cases)];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                loaded[i] = scene_load(&scene, UID, cases[i].k, cases[i].n, bytes);
                ck_assert(!loaded[i].is_shared);
        }
        ck_assert_uint_eq(scene.set.n_weights, ARRAY_SIZE(cases));
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                (void)weights_unref(loaded[i].weights);
}
END_TEST

/* One bit anywhere makes another matrix: first byte, last byte, the ends of steps. */
START_TEST(test_every_byte_counts)
{
        static const uint64_t places[] = {0, 1, MIB - 1, MIB, 2 * MIB, 3 * MIB - 1};
        const uint64_t k = 3, n = MIB;
        uint8_t *bytes = random_bytes(k * n);
        struct loaded first = scene_load(&scene, UID, k, n, bytes);

        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                struct loaded other;

                bytes[places[i]] ^= 0x80;
                other = scene_load(&scene, UID, k, n, bytes);
                ck_assert(!other.is_shared);
                (void)weights_unref(other.weights);
                bytes[places[i]] ^= 0x80;
        }
        (void)weights_unref(first.weights);
        free(bytes);
}
END_TEST

/* ---- memory that a client can write to ---- */

struct scribbler {
        uint8_t *memory;
        uint64_t n_bytes;
        int stop; /* atomic */
};

static void scribble(void *userdata)
{
        struct scribbler *scribbler = userdata;

        for (uint8_t value = 0; !__atomic_load_n(&scribbler->stop, __ATOMIC_RELAXED); value++)
                for (uint64_t i = 0; i < scribbler->n_bytes; i += 64)
                        scribbler->memory[i] = value;
}

/*
 * A client writes while the daemon copies: nobody knows what the copy holds, but it is known by what it holds, so that
 * nobody is ever given one that differs from what was loaded.
 */
START_TEST(test_scribbling_during_the_load)
{
        const uint64_t k = 64, n = 65536;
        struct arena *arena = make_arena(k * n);
        const struct weights_source source = {.arena = arena, .ld_elems = n};
        struct scribbler scribbler = {.n_bytes = k * n};
        struct loaded loaded, again;
        uv_thread_t thread;

        /* A mapping of its own, as a client has it. */
        scribbler.memory = mmap(NULL, k * n, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
        ck_assert_ptr_ne(scribbler.memory, MAP_FAILED);
        ck_assert_int_eq(uv_thread_create(&thread, scribble, &scribbler), 0);
        loaded = scene_load_from(&scene, UID, k, n, &source);
        __atomic_store_n(&scribbler.stop, 1, __ATOMIC_RELAXED);
        ck_assert_int_eq(uv_thread_join(&thread), 0);
        again = scene_load(&scene, UID, k, n, loaded.weights->resident.b);
        ck_assert(again.is_shared);
        ck_assert_ptr_eq(again.weights, loaded.weights);
        (void)weights_unref(again.weights);
        (void)weights_unref(loaded.weights);
        (void)munmap(scribbler.memory, k * n);
        (void)arena_unref(arena);
}
END_TEST

/* The arena is the client's again when it hears the end, and may be gone before that for all the load cares. */
START_TEST(test_arena_is_let_go_of)
{
        struct arena *arena = make_arena(2 * PAGE);
        const struct weights_source source = {.arena = arena, .ld_elems = PAGE};
        struct weights_load *load = NULL;
        struct loaded loaded = {0};
        uint8_t bytes[2 * PAGE];

        rng_fill(&rng, bytes, sizeof bytes);
        memcpy(arena->memory, bytes, sizeof bytes);
        ck_assert_int_eq(weights_load_new(&scene.set, UID, 2, PAGE, &source, &load), 0);
        (void)arena_unref(arena);
        weights_load_start(load, on_loaded, &loaded);
        scene_settle(&scene);
        ck_assert_uint_eq(scene.arenas.n_arenas, 0);
        ck_assert_mem_eq(loaded.weights->resident.b, bytes, sizeof bytes);
        (void)weights_unref(loaded.weights);
}
END_TEST

/* ---- giving up ---- */

enum { NOT_STARTED = 0, BEFORE_ITS_TURN, IN_ITS_TURN, STAGES };

/* _i: when. Nobody is called, and nothing stays charged. */
START_TEST(test_give_up)
{
        const uint64_t k = 4, n = MIB; /* too much to be unmapped on the loop */
        struct arena *arena = make_arena(k * n);
        const struct weights_source source = {.arena = arena, .ld_elems = n};
        struct weights_load *loads[3] = {NULL}; /* two have their turns at once */
        struct loaded loaded[3] = {{0}};

        scene_block(&scene);
        for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
                ck_assert_int_eq(weights_load_new(&scene.set, UID, k, n, &source, &loads[i]), 0);
                if (_i != NOT_STARTED)
                        weights_load_start(loads[i], on_loaded, &loaded[i]);
        }
        (void)arena_unref(arena);
        ck_assert_uint_eq(scene.set.charged_bytes, 3 * k * n);
        if (_i == IN_ITS_TURN)
                ck_assert_ptr_null(weights_load_free(loads[0]));
        else
                ck_assert_ptr_null(weights_load_free(loads[2]));
        if (_i == NOT_STARTED)
                for (size_t i = 0; i < 2; i++)
                        (void)weights_load_free(loads[i]);
        scene_unblock(&scene);
        scene_settle(&scene);
        for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
                const bool is_given_up = _i == NOT_STARTED || i == (_i == IN_ITS_TURN ? 0 : 2);

                ck_assert_uint_eq(loaded[i].n_calls, is_given_up ? 0 : 1);
                (void)weights_unref(loaded[i].weights);
        }
        ck_assert_ptr_null(weights_load_free(NULL));
        scene_settle(&scene);
        ck_assert_uint_eq(scene.quota.used[QUOTA_BYTES], 0);
}
END_TEST

/* ---- refusals ---- */

static void expect_refused(uint64_t k, uint64_t n, int expected)
{
        const uint64_t used = scene.quota.used[QUOTA_BYTES], count = scene.quota.used[QUOTA_WEIGHTS];
        struct weights_load *load = NULL;

        ck_assert_int_eq(weights_load_new(&scene.set, UID, k, n, NULL, &load), expected);
        ck_assert_ptr_null(load);
        ck_assert_uint_eq(scene.quota.used[QUOTA_BYTES], used);
        ck_assert_uint_eq(scene.quota.used[QUOTA_WEIGHTS], count);
        ck_assert_uint_eq(scene.set.charged_bytes, used);
        ck_assert(TAILQ_EMPTY(&scene.set.users) == (used == 0));
}

START_TEST(test_limits)
{
        struct fault fault;
        struct loaded loaded;

        scene.quota.limits.per_uid[QUOTA_BYTES] = 2 * PAGE;
        scene.quota.limits.total[QUOTA_BYTES] = 3 * PAGE;
        loaded = scene_load_number(&scene, UID, 1, 1);
        expect_refused(1, PAGE + 1, QUOTA_E_UID); /* whole pages count */
        scene.quota.limits.per_uid[QUOTA_BYTES] = 4 * PAGE;
        expect_refused(1, 2 * PAGE + 1, QUOTA_E_TOTAL);
        ck_assert(!weights_fault(&scene.set, UID, QUOTA_E_TOTAL, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "limit bytes = 12288"));
        scene.quota.limits.per_uid[QUOTA_WEIGHTS] = 1;
        expect_refused(1, 1, WEIGHTS_E_COUNT + QUOTA_E_UID);
        ck_assert(!weights_fault(&scene.set, UID, WEIGHTS_E_COUNT + QUOTA_E_UID, &fault));
        ck_assert_int_eq(fault.status, STATUS_BUSY);
        ck_assert_ptr_nonnull(strstr(fault.text, "weights-per-uid = 1"));
        scene.quota.limits.per_uid[QUOTA_WEIGHTS] = 2;
        scene.quota.limits.total[QUOTA_WEIGHTS] = 1;
        expect_refused(1, 1, WEIGHTS_E_COUNT + QUOTA_E_TOTAL);
        (void)weights_unref(loaded.weights);
}
END_TEST

START_TEST(test_sizes_cannot_overflow)
{
        expect_refused(UINT64_MAX, UINT64_MAX, QUOTA_E_UID);
        expect_refused(UINT64_C(1) << 32, UINT64_C(1) << 32, QUOTA_E_UID); /* 2^64 */
        expect_refused(1, UINT64_MAX, QUOTA_E_UID);                        /* in whole pages */
        scene.quota.limits.per_uid[QUOTA_BYTES] = UINT64_MAX;
        scene.quota.limits.total[QUOTA_BYTES] = UINT64_MAX;
        expect_refused(MESSAGE_K_MAX, MESSAGE_DIM_MAX, -ENOMEM); /* allowed, and then the kernel says no */
}
END_TEST

/* ---- turns ---- */

static void on_loaded_in_order(struct weights *weights, bool is_shared, void *userdata)
{
        static unsigned n_ended;

        on_loaded(weights, is_shared, userdata);
        ((struct loaded *)userdata)->n_calls = ++n_ended;
}

/* A user with a hundred loads on the way is no reason for another to wait for them all. */
START_TEST(test_users_take_turns)
{
        struct loaded many[100] = {{0}}, one = {0};
        struct weights_load *load = NULL;

        scene_block(&scene);
        for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
                ck_assert_int_eq(weights_load_new(&scene.set, UID, 1, MIB, NULL, &load), 0);
                weights_load_start(load, on_loaded_in_order, &many[i]);
        }
        ck_assert_int_eq(weights_load_new(&scene.set, OTHER, 1, 1, NULL, &load), 0);
        weights_load_start(load, on_loaded_in_order, &one);
        scene_unblock(&scene);
        scene_settle(&scene);
        ck_assert_uint_gt(many[ARRAY_SIZE(many) - 1].n_calls, one.n_calls);
        ck_assert_uint_eq(scene.set.n_weights, 2);
        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                (void)weights_unref(many[i].weights);
        (void)weights_unref(one.weights);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("weights, load");
        TCase *tcase = tcase_create("load");

        rng_start(&rng, "weights-load");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, test_forms_of_one_matrix, 0, ARRAY_SIZE(shapes));
        tcase_add_loop_test(tcase, test_copies_are_exact, 0, ARRAY_SIZE(shapes));
        tcase_add_test(tcase, test_shapes_are_told_apart);
        tcase_add_test(tcase, test_every_byte_counts);
        tcase_add_test(tcase, test_scribbling_during_the_load);
        tcase_add_test(tcase, test_arena_is_let_go_of);
        tcase_add_loop_test(tcase, test_give_up, 0, STAGES);
        tcase_add_test(tcase, test_limits);
        tcase_add_test(tcase, test_sizes_cannot_overflow);
        tcase_add_test(tcase, test_users_take_turns);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
