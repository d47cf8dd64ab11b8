/* SPDX-License-Identifier: MIT */
/*
 * test-ring.c - bytes through shared memory, against a plain count of them; then with a peer that lies.
 *
 * What byte number i of a stream is follows from i alone, so that nothing that comes out is compared with anything the
 * rings have stored.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "proto/ring.h"
#include "proto/spin.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define SMALL    4096u /* of the ring to the daemon */
#define LARGE    8192u /* of the ring back */
#define GUARD    64u   /* bytes around the rings, which nobody may touch */
#define THREADED UINT64_C(3000000)

static _Alignas(128) uint8_t memory[GUARD + RING_HEADER_BYTES + SMALL + LARGE + GUARD];
static struct ring client, daemon_end;
static uint64_t seed;

static uint8_t byte_of(uint64_t i)
{
        return (uint8_t)(i * 167 + (i >> 8) * 13 + 5);
}

static void bytes_make(uint8_t *to, uint64_t from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                to[i] = byte_of(from + i);
}

static void bytes_expect(const uint8_t *bytes, uint64_t from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ck_assert_uint_eq(bytes[i], byte_of(from + i));
}

static uint8_t *place(void)
{
        return memory + GUARD;
}

static void setup(void)
{
        memset(memory, 0xa5, sizeof memory);
        ring_init_daemon(&daemon_end, place(), SMALL, LARGE);
        ring_init_client(&client, place(), SMALL, LARGE);
}

static void teardown(void)
{
        for (size_t i = 0; i < GUARD; i++) {
                ck_assert_uint_eq(memory[i], 0xa5);
                ck_assert_uint_eq(memory[sizeof memory - 1 - i], 0xa5);
        }
}

static uint32_t readable(struct ring *ring)
{
        uint32_t n;

        ck_assert_int_eq(ring_readable(ring, &n), 0);
        return n;
}

static uint32_t room(struct ring *ring)
{
        uint32_t n;

        ck_assert_int_eq(ring_room(ring, &n), 0);
        return n;
}

/* ---- two honest ends ---- */

START_TEST(test_nothing_yet)
{
        ck_assert_uint_eq(readable(&client), 0);
        ck_assert_uint_eq(readable(&daemon_end), 0);
        ck_assert_uint_eq(room(&client), SMALL);
        ck_assert_uint_eq(room(&daemon_end), LARGE);
        ck_assert(ring_is_open(&client));
        ck_assert_uint_eq(ring_peer_cpu(&client), RING_CPU_UNKNOWN);
}
END_TEST

START_TEST(test_not_seen_before_it_is_published)
{
        uint8_t bytes[10];

        bytes_make(bytes, 0, sizeof bytes);
        ring_write(&client, bytes, sizeof bytes);
        ck_assert_uint_eq(readable(&daemon_end), 0);
        ck_assert(!ring_publish(&client, 3));
        ck_assert_uint_eq(readable(&daemon_end), sizeof bytes);
        ck_assert_uint_eq(ring_peer_cpu(&daemon_end), 3);
        ring_read(&daemon_end, bytes, 4);
        ck_assert_uint_eq(room(&client), SMALL - 10);
        ck_assert(!ring_publish(&daemon_end, 0));
        ck_assert_uint_eq(room(&client), SMALL - 6);
        bytes_expect(bytes, 0, 4);
}
END_TEST

/* Every length from 1 on, at every place of the ring that this comes to; in and out in two pieces cut anywhere. */
START_TEST(test_every_split)
{
        uint8_t in[SMALL], out[SMALL];
        uint64_t at = 0;
        unsigned n_wrapped = 0;

        for (uint32_t n = 1; n <= SMALL; n += 1 + n / 16) {
                for (uint32_t cut = 0; cut <= n; cut += 1 + n / 8) {
                        bytes_make(in, at, n);
                        ring_write(&client, in, cut);
                        ring_write(&client, in + cut, n - cut);
                        ck_assert(!ring_publish(&client, 0));
                        ck_assert_uint_eq(readable(&daemon_end), n);
                        ring_read(&daemon_end, out, n - cut);
                        ring_read(&daemon_end, out + n - cut, cut);
                        ck_assert(!ring_publish(&daemon_end, 0));
                        ck_assert_mem_eq(in, out, n);
                        n_wrapped += at % SMALL + n > SMALL;
                        at += n;
                        ck_assert_uint_eq(room(&client), SMALL);
                }
        }
        ck_assert_uint_gt(n_wrapped, 50);
}
END_TEST

START_TEST(test_full_and_empty)
{
        uint8_t bytes[SMALL];

        for (unsigned lap = 0; lap < 3; lap++) {
                bytes_make(bytes, lap * SMALL, SMALL);
                ck_assert_uint_eq(room(&client), SMALL);
                ring_write(&client, bytes, SMALL);
                ck_assert_uint_eq(room(&client), 0);
                ck_assert(!ring_publish(&client, 0));
                ck_assert_uint_eq(readable(&daemon_end), SMALL);
                ring_read(&daemon_end, bytes, SMALL);
                bytes_expect(bytes, lap * SMALL, SMALL);
                ck_assert(!ring_publish(&daemon_end, 0));
                ck_assert_uint_eq(readable(&daemon_end), 0);
        }
}
END_TEST

/* The counters are of 32 bits: they pass 2^32 as they pass anything else. */
START_TEST(test_counters_wrap)
{
        const uint32_t near_end = UINT32_MAX - 5;
        uint8_t bytes[16], out[16];

        atomic_store(&client.own->tail, near_end);
        atomic_store(&daemon_end.own->head, near_end);
        client.tx.head = client.tx.tail = client.tx.published = near_end;
        daemon_end.rx.head = daemon_end.rx.tail = daemon_end.rx.published = near_end;
        for (unsigned i = 0; i < 4; i++) {
                bytes_make(bytes, i * 16, sizeof bytes);
                ck_assert_uint_eq(room(&client), SMALL);
                ring_write(&client, bytes, sizeof bytes);
                ck_assert(!ring_publish(&client, 0));
                ck_assert_uint_eq(readable(&daemon_end), sizeof bytes);
                ring_read(&daemon_end, out, sizeof out);
                bytes_expect(out, i * 16, sizeof out);
                ck_assert(!ring_publish(&daemon_end, 0));
        }
}
END_TEST

/* Who sleeps is woken once, and for what it wants alone. */
START_TEST(test_bells)
{
        uint8_t byte = 1;

        ring_sleep(&daemon_end, RING_WANTS_ROOM);
        ring_write(&client, &byte, 1);
        ck_assert(!ring_publish(&client, 0));
        ring_sleep(&daemon_end, RING_WANTS_DATA);
        ck_assert(!ring_publish(&client, 0)); /* nothing new */
        ring_write(&client, &byte, 1);
        ck_assert(ring_publish(&client, 0));
        ring_write(&client, &byte, 1);
        ck_assert(!ring_publish(&client, 0));
        ck_assert(ring_wake(&daemon_end)); /* it was rung */
        ring_sleep(&daemon_end, RING_WANTS_DATA);
        ck_assert(!ring_wake(&daemon_end));
        ring_sleep(&client, RING_WANTS_ROOM | RING_WANTS_DATA);
        ck_assert_uint_eq(readable(&daemon_end), 3);
        ring_read(&daemon_end, &byte, 1);
        ck_assert(ring_publish(&daemon_end, 0));
}
END_TEST

START_TEST(test_shut)
{
        ring_shut(&daemon_end);
        ck_assert(!ring_is_open(&client));
}
END_TEST

START_TEST(test_sizes)
{
        static const uint64_t good[] = {4096, 8192, 65536, 1048576};
        static const uint64_t bad[] = {0, 1, 2048, 4095, 4097, 12288, 2097152, UINT64_C(1) << 32, UINT64_MAX};

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                ck_assert(ring_size_is_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                ck_assert(!ring_size_is_valid(bad[i]));
}
END_TEST

/* ---- a peer that lies ---- */

START_TEST(test_tail_that_cannot_be)
{
        uint8_t bytes[100] = {0};
        uint32_t n = 77;

        ring_write(&client, bytes, 100);
        ck_assert(!ring_publish(&client, 0));
        ck_assert_uint_eq(readable(&daemon_end), 100);
        ring_read(&daemon_end, bytes, 60);
        for (uint32_t lie = SMALL + 61; lie < SMALL + 70; lie++) {
                atomic_store(&client.own->tail, lie);
                ck_assert_int_eq(ring_readable(&daemon_end, &n), RING_E_TAIL);
        }
        atomic_store(&client.own->tail, 99); /* it was further */
        ck_assert_int_eq(ring_readable(&daemon_end, &n), RING_E_TAIL);
        ck_assert_uint_eq(n, 77);
        atomic_store(&client.own->tail, SMALL + 60);
        ck_assert_uint_eq(readable(&daemon_end), SMALL);
}
END_TEST

START_TEST(test_head_that_cannot_be)
{
        uint8_t bytes[100] = {0};
        uint32_t n = 77;

        ring_write(&daemon_end, bytes, 100);
        ck_assert(!ring_publish(&daemon_end, 0));
        ring_write(&daemon_end, bytes, 100); /* which it cannot have read */
        for (uint32_t lie = 101; lie < 300; lie++) {
                atomic_store(&client.own->head, lie);
                ck_assert_int_eq(ring_room(&daemon_end, &n), RING_E_HEAD);
        }
        ck_assert_uint_eq(n, 77);
        atomic_store(&client.own->head, 50);
        ck_assert_uint_eq(room(&daemon_end), LARGE - 150);
        atomic_store(&client.own->head, 49);
        ck_assert_int_eq(ring_room(&daemon_end, &n), RING_E_HEAD);
}
END_TEST

/* Anything in any word at any time: no byte outside the rings is touched, and no more is said to be there than fits. */
START_TEST(test_random_words)
{
        struct rng rng = {seed + (uint64_t)_i};
        _Atomic uint32_t *words = (_Atomic uint32_t *)(void *)place();
        uint8_t bytes[LARGE];
        unsigned n_refused = 0, n_passed = 0;

        for (unsigned step = 0; step < 20000; step++) {
                const uint32_t anything = (uint32_t)rng_next(&rng);
                uint32_t n;

                switch (rng_below(&rng, 4)) {
                case 0:
                        atomic_store(&words[rng_below(&rng, RING_HEADER_BYTES / 4)], anything);
                        break;
                case 1:
                        atomic_fetch_add(&words[rng_below(&rng, 2)], anything % 512);
                        break;
                case 2:
                        n = 0;
                        n_refused += ring_readable(&daemon_end, &n) != 0;
                        ck_assert_uint_le(n, SMALL);
                        ring_read(&daemon_end, bytes, MIN(n, anything % SMALL));
                        n_passed += n > 0;
                        break;
                default:
                        n = 0;
                        n_refused += ring_room(&daemon_end, &n) != 0;
                        ck_assert_uint_le(n, LARGE);
                        ring_write(&daemon_end, bytes, MIN(n, anything % LARGE));
                }
                (void)ring_publish(&daemon_end, 0);
                if (rng_below(&rng, 50) == 0)
                        setup(); /* a connection would have ended */
        }
        ck_assert_uint_gt(n_refused, 100);
        ck_assert_uint_gt(n_passed, 100);
}
END_TEST

/* ---- two threads ---- */

struct bell {
        pthread_mutex_t mutex;
        pthread_cond_t rung;
        bool is_rung;
};

static struct bell bells[2] = {{PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false},
                               {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false}};

static void bell_ring(struct bell *bell)
{
        (void)pthread_mutex_lock(&bell->mutex);
        bell->is_rung = true;
        (void)pthread_cond_signal(&bell->rung);
        (void)pthread_mutex_unlock(&bell->mutex);
}

static void bell_await(struct bell *bell)
{
        (void)pthread_mutex_lock(&bell->mutex);
        while (!bell->is_rung)
                (void)pthread_cond_wait(&bell->rung, &bell->mutex);
        bell->is_rung = false;
        (void)pthread_mutex_unlock(&bell->mutex);
}

struct runner {
        struct ring *ring;
        struct bell *own, *peer;
        uint64_t n_written, n_read, seed;
        unsigned n_slept;
};

/* Writes and reads THREADED bytes, sleeping whenever neither is possible: a bell that is lost hangs the test. */
static void *run(void *userdata)
{
        struct runner *runner = userdata;
        struct rng rng = {runner->seed};
        uint8_t bytes[1000];

        while (runner->n_written < THREADED || runner->n_read < THREADED) {
                const uint32_t most_in = (uint32_t)(1 + rng_below(&rng, sizeof bytes));
                const uint32_t most_out = (uint32_t)(1 + rng_below(&rng, sizeof bytes));
                uint32_t n_in = 0, n_out = 0;
                uint32_t wants = RING_WANTS_DATA | (runner->n_written < THREADED ? RING_WANTS_ROOM : 0);

                assert(ring_readable(runner->ring, &n_in) == 0);
                n_in = MIN(n_in, most_in);
                ring_read(runner->ring, bytes, n_in);
                for (uint32_t i = 0; i < n_in; i++)
                        assert(bytes[i] == byte_of(runner->n_read + i));
                runner->n_read += n_in;
                assert(ring_room(runner->ring, &n_out) == 0);
                n_out = (uint32_t)MIN((uint64_t)MIN(n_out, most_out), THREADED - runner->n_written);
                bytes_make(bytes, runner->n_written, n_out);
                ring_write(runner->ring, bytes, n_out);
                runner->n_written += n_out;
                if (ring_publish(runner->ring, 0))
                        bell_ring(runner->peer);
                if (n_in > 0 || n_out > 0 || (runner->n_written == THREADED && runner->n_read == THREADED))
                        continue;
                ring_sleep(runner->ring, wants);
                assert(ring_readable(runner->ring, &n_in) == 0 && ring_room(runner->ring, &n_out) == 0);
                if (n_in == 0 && (n_out == 0 || !(wants & RING_WANTS_ROOM))) {
                        bell_await(runner->own);
                        runner->n_slept++;
                }
                (void)ring_wake(runner->ring);
        }
        return NULL;
}

START_TEST(test_two_threads)
{
        struct runner runners[] = {
                {.ring = &client, .own = &bells[0], .peer = &bells[1], .seed = seed},
                {.ring = &daemon_end, .own = &bells[1], .peer = &bells[0], .seed = seed + 1}};
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, run, &runners[0]), 0);
        (void)run(&runners[1]);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(runners); i++) {
                ck_assert_uint_eq(runners[i].n_written, THREADED);
                ck_assert_uint_eq(runners[i].n_read, THREADED);
        }
        printf("ring: slept %u and %u times\n", runners[0].n_slept, runners[1].n_slept);
}
END_TEST

/* ---- spinning ---- */

/* How many of `n` occasions are tried where every try fails, and each sleep takes `slept_ns`. */
static unsigned tries_in_vain(struct spin *spin, unsigned n, uint64_t slept_ns)
{
        unsigned n_tries = 0;

        for (unsigned i = 0; i < n; i++) {
                if (spin_try(spin)) {
                        n_tries++;
                        spin_failed(spin);
                }
                spin_rung(spin, slept_ns);
        }
        return n_tries;
}

START_TEST(test_spins)
{
        struct spin spin = {.budget_ns = 50000};

        for (unsigned i = 0; i < 100; i++) { /* as long as it pays */
                ck_assert(spin_try(&spin));
                spin_succeeded(&spin);
        }
        ck_assert_uint_le(tries_in_vain(&spin, 6400, 10000000), 106); /* then ever more seldom */
        spin_rung(&spin, 40000);                                      /* and again when there is hope */
        ck_assert(spin_try(&spin));
        spin_succeeded(&spin);
        ck_assert(spin_try(&spin));
}
END_TEST

START_TEST(test_spins_never)
{
        struct spin spin = {0};

        ck_assert_uint_eq(tries_in_vain(&spin, 1000, 0), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("ring");
        TCase *honest = tcase_create("honest"), *lies = tcase_create("lies"), *spins = tcase_create("spin");
        struct rng rng;

        rng_start(&rng, "ring");
        seed = rng_next(&rng);
        tcase_add_checked_fixture(honest, setup, teardown);
        tcase_add_test(honest, test_nothing_yet);
        tcase_add_test(honest, test_not_seen_before_it_is_published);
        tcase_add_test(honest, test_every_split);
        tcase_add_test(honest, test_full_and_empty);
        tcase_add_test(honest, test_counters_wrap);
        tcase_add_test(honest, test_bells);
        tcase_add_test(honest, test_shut);
        tcase_add_test(honest, test_sizes);
        tcase_add_test(honest, test_two_threads);
        suite_add_tcase(suite, honest);
        tcase_add_checked_fixture(lies, setup, teardown);
        tcase_add_test(lies, test_tail_that_cannot_be);
        tcase_add_test(lies, test_head_that_cannot_be);
        tcase_add_loop_test(lies, test_random_words, 0, 8);
        suite_add_tcase(suite, lies);
        tcase_add_test(spins, test_spins);
        tcase_add_test(spins, test_spins_never);
        suite_add_tcase(suite, spins);
        return suite_run(suite);
}
