/* SPDX-License-Identifier: MIT */
/* load.c - see load.h. */
#include "tests/bench/load.h"

#include <stdlib.h>
#include <string.h>

#include "client/npumm.h"
#include "tests/bench/bench.h"
#include "tests/lib/oracle.h"
#include "tests/lib/process.h"
#include "tests/lib/rng.h"

/* Seeds: whatever they hold, it takes as long. */
enum { SEED_B = 1, SEED_A = 2 };

static void check(const struct load *load, int r, const char *what)
{
        if (r != 0)
                die(0, "%s: %s", what, npumm_text(load->client));
}

static int8_t *random_new(uint64_t seed, uint64_t bytes)
{
        struct rng rng = {.state = seed};
        int8_t *memory = malloc(bytes);

        if (!memory)
                die(0, "no memory");
        rng_fill(&rng, memory, bytes);
        return memory;
}

int8_t *load_weights_new(uint64_t k, uint64_t n)
{
        return random_new(SEED_B, k * n);
}

int8_t *load_rows_new(uint64_t m, uint64_t k)
{
        return random_new(SEED_A, m * k);
}

static struct npumm_matmul job_of(const struct load *load, const struct load_slot *slot)
{
        return (struct npumm_matmul){
                .size = sizeof(struct npumm_matmul),
                .m = load->m,
                .k = load->k,
                .n = load->n,
                .a = slot->a,
                .c = slot->c,
                .weights = load->weights,
        };
}

/* An answer. Stretches are short, so that what else the machine does for a while is in few of them. */
static void count(struct load *load, uint64_t start_ns)
{
        const uint64_t now = now_ns();

        if (load->latency_us)
                samples_push(load->latency_us, (double)(now - start_ns) / 1e3);
        if (++load->n_in_stretch < LOAD_STRETCH)
                return;
        samples_push(&load->pace_us, (double)(now - load->stretch_ns) / 1e3 / LOAD_STRETCH);
        load->n_in_stretch = 0;
        load->stretch_ns = now;
}

static void on_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        struct load_slot *slot = userdata;
        struct load *load = slot->load;

        (void)client;
        (void)job;
        check(load, result, "a job");
        count(load, slot->start_ns);
        load->idle[load->n_idle++] = slot;
}

static void run_one(struct load *load)
{
        const struct npumm_matmul job = job_of(load, &load->slots[0]);
        const uint64_t start_ns = now_ns();

        check(load, npumm_matmul(load->client, &job), "a job");
        count(load, start_ns);
}

static void run_many(struct load *load, uint64_t n_jobs, uint64_t end_ns)
{
        uint64_t n_sent = 0;
        bool goes_on = true;

        while (goes_on || load->n_idle < load->depth) {
                while (load->n_idle > 0 && (goes_on = n_sent < n_jobs || now_ns() < end_ns)) {
                        struct load_slot *slot = load->idle[--load->n_idle];
                        const struct npumm_matmul job = job_of(load, slot);

                        slot->start_ns = now_ns();
                        check(load, npumm_submit(load->client, &job, NULL, on_done, slot, NULL), "submit");
                        n_sent++;
                }
                if (load->n_idle < load->depth)
                        check(load, npumm_dispatch(load->client, -1), "dispatch");
        }
}

void load_run(struct load *load, uint64_t n_jobs, uint64_t end_ns, struct samples *latency_us)
{
        load->latency_us = latency_us;
        samples_clear(&load->pace_us);
        load->n_in_stretch = 0;
        load->stretch_ns = now_ns();
        if (load->depth > 1) {
                run_many(load, n_jobs, end_ns);
        } else {
                for (uint64_t i = 0; i < n_jobs || now_ns() < end_ns; i++)
                        run_one(load);
        }
}

static void slots_open(struct load *load)
{
        int8_t *a = load_rows_new(load->m, load->k);

        for (size_t i = 0; i < load->depth; i++) {
                struct load_slot *slot = &load->slots[i];
                void *memory;

                slot->load = load;
                check(load, npumm_alloc(load->client, load->m * load->k, &memory), "alloc");
                slot->a = memory;
                memcpy(slot->a, a, load->m * load->k);
                check(load, npumm_alloc(load->client, load->m * load->n * sizeof *slot->c, &memory), "alloc");
                slot->c = memory;
                load->idle[load->n_idle++] = slot;
        }
        free(a);
}

/* The oracle is slow: the first row and the last one. */
static void products_check(const struct load *load)
{
        const struct oracle_product product = {
                .m = load->m,
                .k = load->k,
                .n = load->n,
                .a = load->slots[0].a,
                .lda = load->k,
                .b = load->b,
                .ldb = load->n,
        };

        if (!oracle_check(&product, 0, 1, load->slots[0].c, load->n) ||
            !oracle_check(&product, load->m - 1, 1, load->slots[0].c, load->n))
                die(0, "a product is wrong");
        for (size_t i = 1; i < load->depth; i++) {
                if (memcmp(load->slots[i].c, load->slots[0].c, load->m * load->n * sizeof(int32_t)) != 0)
                        die(0, "products of equal operands differ");
        }
}

bool load_open(struct load *load, const struct load_spec *spec)
{
        struct npumm_connect_options options = {.size = sizeof options, .socket_path = spec->socket_path};
        struct npumm_weights_spec weights = {.size = sizeof weights, .k = spec->k, .n = spec->n};
        char text[NPUMM_TEXT_MAX];

        *load = (struct load){.m = spec->m, .k = spec->k, .n = spec->n, .depth = spec->depth};
        options.flags = spec->is_ring ? NPUMM_CONNECT_RING : NPUMM_CONNECT_SOCKET;
        if (npumm_connect(&options, &load->client, text) != 0)
                die(0, "%s", text);
        if (spec->is_ring && strcmp(npumm_info(load->client)->transport, "ring") != 0) {
                load_close(load);
                return false;
        }
        load->b = load_weights_new(spec->k, spec->n);
        weights.b = load->b;
        check(load, npumm_weights_load(load->client, &weights, &load->weights), "weights");
        slots_open(load);
        load_run(load, load->depth, 0, NULL);
        products_check(load);
        return true;
}

void load_close(struct load *load)
{
        npumm_close(load->client);
        free(load->b);
        samples_free(&load->pace_us);
        *load = (struct load){0};
}

void load_set(struct load *load, const char *key, const char *value)
{
        check(load, npumm_set(load->client, key, value), key);
}
