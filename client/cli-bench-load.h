/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-load.h - the jobs of one client process: made, sent, and what becomes of them.
 *
 * Role:   memory for jobs; sending the next one; the callback that counts, and puts rows aside to
 *         be verified; waiting.
 * In:     the plan; the times in shared memory.
 * Out:    the client's tally.
 * Thread: one.
 * Owns:   memory for as many jobs as were ever outstanding. It lasts as long as the process.
 */
#ifndef CLIENT_CLI_BENCH_LOAD_H
#define CLIENT_CLI_BENCH_LOAD_H

#include <sys/queue.h>

#include "cli-bench.h"
#include "cli-bench-arrivals.h"
#include "cli-bench-evidence.h"

#define LOAD_WAIT_MS 50 /* for nothing in particular: the end of the measurement may come nearer */

/* A job, or room for one. */
struct slot {
        SLIST_ENTRY(slot) link; /* load::idle */
        struct load *load;      /* borrowed: outlives us */
        const struct bench_shape *shape;
        uint64_t due_ns;
        uint64_t n_before; /* jobs that were sent before it */
        int8_t *a;         /* owned; as large as that of any shape, with C behind it */
        uint8_t *c;        /* the same */
};

struct load {
        const struct bench_client_options *options;
        const struct bench_plan *plan;
        struct bench_tally *tally;
        struct npumm_client *client; /* owned */
        uint64_t *weights;           /* owned; of each B; NULL with own_b */
        const int8_t **bs;           /* owned, what it points to not: operand of each B; NULL without own_b */
        bool *is_seen;               /* owned: of each shape, whether a product of it was verified */
        int32_t *room;               /* owned: to judge in */
        struct bench_evidence evidence;
        SLIST_HEAD(, slot) idle; /* slot::link */
        struct bench_turn turn;
        struct bench_random random; /* for times, not for contents */
        uint64_t n_sent;
        uint64_t n_slots, slots_max; /* what the daemon has room for, once that is known */
        uint64_t group_due_ns;       /* MULTI */
        bool group_is_ok;
        bool is_broken; /* its tally says why */
};

/* Nothing more is sent or waited for; the tally says why. The first reason counts. */
void load_break(struct load *load, enum cli_exit code, const char *format, ...) _printf_(3, 4);

/* The same, for the reason that a call of the library failed with `result`. */
void load_break_by(struct load *load, int result, const struct cli_asked *asked);

/* When the measurement ends, as far as is known by now. */
uint64_t load_end_ns(const struct load *load);

/* Whether it is broken, or the measurement has ended. */
bool load_is_over(const struct load *load);

/*
 * Arena memory, or with --inline ordinary memory. NULL: broken, or, where jobs come by the clock, the daemon has
 * no room for as many as are outstanding.
 */
void *load_take_memory(struct load *load, uint64_t n_bytes);

/* Room for one more job, with an A of its own; fewer may be made. */
void load_add_slot(struct load *load);

/*
 * Makes it the next job. Where its product will be looked at, that row of C is spoilt before: the product of this job
 * may be the same as that of the one before it in this place, and must not be found where nobody has written it.
 */
void load_fill_slot(struct load *load, struct slot *slot, uint64_t due_ns);

/*
 * Sends the next job, which is or was due at `due_ns`. A refusal is counted, and is no failure where jobs come by
 * the clock: they may be more than the daemon takes. `more`: the next one belongs to the same group.
 */
void load_send(struct load *load, uint64_t due_ns, bool more);

/* The next job is due, but has nowhere to go: it is refused before it is made. */
void load_refuse(struct load *load, uint64_t due_ns);

/* The time is over: jobs that were due while it was measured, and were not sent, are counted as that. */
void load_leave(struct load *load, struct bench_arrivals *arrivals);

/* Looks at what was put aside of the products. */
void load_judge(struct load *load);

/* Waits for something to happen; `until_ns` is kept to less than a millisecond, unlike `timeout_ms`. */
void load_dispatch(struct load *load, int timeout_ms);
void load_dispatch_until(struct load *load, uint64_t until_ns);

#endif
