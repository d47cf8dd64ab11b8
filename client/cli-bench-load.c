/* SPDX-License-Identifier: MIT */
/* cli-bench-load.c - see cli-bench-load.h. */
#include "cli-bench-load.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli-bench-judge.h"

#define SAMPLE_PERIOD 100u /* BENCH_VERIFY_SAMPLE: products of a client, from one to the next */
#define SPOILT        0x55 /* each byte of a row of C that nobody has written: not what a product begins with */

/* ---- ends ---- */

void load_break(struct load *load, enum cli_exit code, const char *format, ...)
{
        va_list args;

        if (load->is_broken)
                return;
        load->is_broken = true;
        load->tally->code = code;
        va_start(args, format);
        (void)vsnprintf(load->tally->text, sizeof load->tally->text, format, args);
        va_end(args);
}

void load_break_by(struct load *load, int result, const struct cli_asked *asked)
{
        char text[NPUMM_TEXT_MAX];

        cli_explain(load->client, result, asked, text);
        load_break(load, CLI_FAILED, "%s", text);
}

uint64_t load_end_ns(const struct load *load)
{
        return atomic_load_explicit(&load->options->shared->end_ns, memory_order_relaxed);
}

static bool load_is_measured(const struct load *load, uint64_t ns)
{
        return ns >= load->options->shared->measure_ns && ns < load_end_ns(load);
}

bool load_is_over(const struct load *load)
{
        return load->is_broken || bench_now_ns() >= load_end_ns(load);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- memory ---- */

void *load_take_memory(struct load *load, uint64_t n_bytes)
{
        void *memory = NULL;
        int r;

        if (load->plan->is_inline) {
                memory = malloc(n_bytes);
                if (!memory)
                        load_break(load, CLI_FAILED, "out of memory; use fewer clients or smaller shapes");
                return memory;
        }
        r = npumm_alloc(load->client, n_bytes, &memory);
        if (r == NPUMM_STATUS_BUSY && load->plan->scenario == BENCH_SERVER && load->n_slots > 0)
                load->slots_max = load->n_slots;
        else if (r != 0)
                load_break_by(load, r, &(struct cli_asked){.memory_bytes = n_bytes});
        return memory;
}

void load_add_slot(struct load *load)
{
        const struct bench_shapes *shapes = &load->plan->shapes;
        struct bench_random random =
                bench_random_of(load->plan->seed, BENCH_RANDOM_A, load->options->number, load->n_slots);
        uint64_t a_bytes = 0, c_elems = 0;
        struct slot *slot;

        for (size_t i = 0; i < shapes->n; i++) {
                a_bytes = MAX(a_bytes, shapes->all[i].m * shapes->all[i].k);
                c_elems = MAX(c_elems, shapes->all[i].m * shapes->all[i].n);
        }
        a_bytes = (a_bytes + 63) & ~UINT64_C(63); /* C begins where npumm_alloc() would let it */
        slot = calloc(1, sizeof *slot);
        if (!slot) {
                load_break(load, CLI_FAILED, "out of memory; use fewer clients");
                return;
        }
        slot->load = load;
        slot->a = load_take_memory(load, a_bytes + c_elems * bench_elem_bytes(load->plan->output));
        if (!slot->a) {
                free(slot);
                return;
        }
        slot->c = (uint8_t *)slot->a + a_bytes;
        /* Every job's A is its own: else nobody could tell when jobs get each other's products. */
        bench_random_fill(&random, slot->a, a_bytes);
        load->n_slots++;
        SLIST_INSERT_HEAD(&load->idle, slot, link);
}

/* ---- what becomes of jobs ---- */

static void product_judge(struct load *load, const struct bench_exhibit *exhibit)
{
        const struct bench_shape *shape = exhibit->shape;
        struct bench_flaw flaw;

        if (!bench_judge_row(load->plan->output, shape->k, shape->n, exhibit->a, load->options->bs[shape->b],
                             exhibit->c, load->room, &flaw))
                load_break(load, CLI_FAILED,
                           "a product of %" PRIu64 ",%" PRIu64 ",%" PRIu64 " is wrong: %g in row %" PRIu64
                           ", column %" PRIu64 ", where %g is right; report this",
                           shape->m, shape->k, shape->n, flaw.found, exhibit->row, flaw.col, flaw.right);
}

/* Whether its product is to be looked at. */
static bool is_sampled(const struct load *load, const struct slot *slot)
{
        const size_t number = (size_t)(slot->shape - load->plan->shapes.all);

        switch (load->plan->verify) {
        case BENCH_VERIFY_ALL:
                return true;
        case BENCH_VERIFY_SAMPLE:
                return !load->is_seen[number] || slot->n_before % SAMPLE_PERIOD == 0;
        default:
                return false;
        }
}

/* The row of its product that is looked at: each in turn. */
static struct bench_exhibit exhibit_of(const struct load *load, const struct slot *slot)
{
        const struct bench_shape *shape = slot->shape;
        const uint64_t row = slot->n_before % shape->m;

        return (struct bench_exhibit){
                .shape = shape,
                .row = row,
                .a = slot->a + row * shape->k,
                .c = slot->c + row * shape->n * bench_elem_bytes(load->plan->output),
        };
}

/* Its memory is the next job's: a row is put aside, to be judged when no job is delayed by that. */
static void product_verify(struct load *load, const struct slot *slot)
{
        const struct bench_exhibit exhibit = exhibit_of(load, slot);

        if (!is_sampled(load, slot))
                return;
        load->is_seen[slot->shape - load->plan->shapes.all] = true;
        if (!bench_evidence_push(&load->evidence, &exhibit, bench_elem_bytes(load->plan->output)))
                product_judge(load, &exhibit);
}

void load_judge(struct load *load)
{
        const struct bench_exhibit *exhibit;

        while (!load->is_broken && (exhibit = bench_evidence_pop(&load->evidence)))
                product_judge(load, exhibit);
}

static void result_count(struct load *load, const struct slot *slot, int result, uint64_t now_ns)
{
        struct bench_tally *tally = load->tally;
        const bool counts = load_is_measured(load, now_ns);

        if (result == 0 && counts) {
                count(&tally->jobs, 1);
                count(&tally->macs, slot->shape->m * slot->shape->k * slot->shape->n);
        } else if (result == NPUMM_STATUS_BUSY) {
                count(&tally->refused, counts);
        } else if (result == NPUMM_STATUS_DEADLINE) {
                count(&tally->expired, counts);
        } else if (result != 0) {
                if (tally->failed == 0)
                        (void)snprintf(tally->failure, sizeof tally->failure, "%s", npumm_text(load->client));
                count(&tally->failed, 1);
        }
}

static void latency_count(struct load *load, uint64_t due_ns, uint64_t now_ns)
{
        if (load_is_measured(load, due_ns))
                bench_latency_add(&load->tally->latency, now_ns - due_ns);
}

static void job_done(struct npumm_client *client, uint64_t job, int result, void *userdata)
{
        const uint64_t now_ns = bench_now_ns();
        struct slot *slot = userdata;
        struct load *load = slot->load;

        (void)client;
        (void)job;
        result_count(load, slot, result, now_ns);
        load->group_is_ok = load->group_is_ok && result == 0;
        if (load->plan->scenario != BENCH_MULTI) {
                if (result == 0)
                        latency_count(load, slot->due_ns, now_ns);
        } else if (npumm_outstanding(load->client) == 0 && load->group_is_ok) {
                latency_count(load, load->group_due_ns, now_ns);
        }
        if (result == 0)
                product_verify(load, slot);
        SLIST_INSERT_HEAD(&load->idle, slot, link);
}

/* ---- making jobs ---- */

static void job_describe(const struct load *load, const struct slot *slot, bool more,
                         struct npumm_matmul *ret_matmul)
{
        const struct bench_plan *plan = load->plan;
        const struct bench_shape *shape = slot->shape;

        *ret_matmul = (struct npumm_matmul){
                .size = sizeof *ret_matmul,
                .m = shape->m,
                .k = shape->k,
                .n = shape->n,
                .a = slot->a,
                .b = plan->own_b ? load->bs[shape->b] : NULL,
                .weights = plan->own_b ? 0 : load->weights[shape->b],
                .c = slot->c,
                .output = plan->output,
                .shift = plan->output == NPUMM_OUTPUT_INT8 ? BENCH_SHIFT : 0,
                .flags = (plan->is_inline ? NPUMM_MATMUL_INLINE : 0u) | (more ? NPUMM_MATMUL_MORE : 0u),
                .job_class = plan->job_class,
                .deadline_us = plan->deadline_us,
        };
}

void load_fill_slot(struct load *load, struct slot *slot, uint64_t due_ns)
{
        const size_t c_elem_bytes = bench_elem_bytes(load->plan->output);

        slot->shape = bench_turn_next(&load->turn, &load->plan->shapes);
        slot->due_ns = due_ns;
        slot->n_before = load->n_sent;
        if (is_sampled(load, slot))
                memset(slot->c + slot->n_before % slot->shape->m * slot->shape->n * c_elem_bytes, SPOILT,
                       slot->shape->n * c_elem_bytes);
}

void load_refuse(struct load *load, uint64_t due_ns)
{
        (void)bench_turn_next(&load->turn, &load->plan->shapes);
        count(&load->tally->refused, load_is_measured(load, due_ns));
}

void load_leave(struct load *load, struct bench_arrivals *arrivals)
{
        count(&load->tally->unsent,
              bench_arrivals_skip(arrivals, load->options->shared->measure_ns, load_end_ns(load)));
}

void load_send(struct load *load, uint64_t due_ns, bool more)
{
        struct npumm_matmul matmul;
        struct slot *slot;
        int r;

        if (SLIST_EMPTY(&load->idle))
                load_add_slot(load);
        if (load->is_broken)
                return;
        if (SLIST_EMPTY(&load->idle)) {
                load_refuse(load, due_ns);
                return;
        }
        slot = SLIST_FIRST(&load->idle);
        SLIST_REMOVE_HEAD(&load->idle, link);
        load_fill_slot(load, slot, due_ns);
        job_describe(load, slot, more, &matmul);
        r = npumm_submit(load->client, &matmul, NULL, job_done, slot, NULL);
        if (r == 0) {
                load->n_sent++;
                return;
        }
        SLIST_INSERT_HEAD(&load->idle, slot, link);
        if (r == NPUMM_STATUS_BUSY && load->plan->scenario == BENCH_SERVER)
                count(&load->tally->refused, load_is_measured(load, due_ns));
        else
                load_break_by(load, r,
                              &(struct cli_asked){.is_inline = load->plan->is_inline,
                                                  .for_deadline = load->plan->deadline_us != 0,
                                                  .for_group = more});
}

/* ---- waiting ---- */

void load_dispatch(struct load *load, int timeout_ms)
{
        const int r = npumm_dispatch(load->client, timeout_ms);

        if (r != 0)
                load_break_by(load, r, &(struct cli_asked){0});
}

void load_dispatch_until(struct load *load, uint64_t until_ns)
{
        const uint64_t now_ns = bench_now_ns();
        const uint64_t left_ns =
                until_ns > now_ns ? MIN(until_ns - now_ns, (uint64_t)LOAD_WAIT_MS * 1000000) : 0;
        struct pollfd pollfd = {.fd = npumm_fd(load->client), .events = POLLIN};
        const struct timespec left = {.tv_nsec = (long)left_ns};

        (void)ppoll(&pollfd, 1, &left, NULL); /* whatever it says, dispatching finds out by itself */
        load_dispatch(load, 0);
}
