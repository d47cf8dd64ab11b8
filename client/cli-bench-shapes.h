/* SPDX-License-Identifier: MIT */
/*
 * cli-bench-shapes.h - the shapes of a benchmark's jobs, in the order in which jobs take them.
 *
 * Role:   reads M,K,N and files of them; finds which of them have a B in common.
 * In:     words of a person, a file.
 * Out:    shapes that make sense, or a line that says which one does not.
 * Thread: any.
 * Owns:   its lists.
 */
#ifndef CLIENT_CLI_BENCH_SHAPES_H
#define CLIENT_CLI_BENCH_SHAPES_H

#include "proto/base.h"

#define BENCH_SHAPES_MAX 65536u
#define BENCH_TEXT_MAX   256u

struct bench_shape {
        uint64_t m, k, n;
        uint64_t count; /* so many jobs in a row have it */
        size_t b;       /* bench_shapes::bs */
};

struct bench_shapes {
        struct bench_shape *all; /* owned */
        size_t n;
        struct {
                uint64_t k, n;
        } * bs; /* owned: the Bs, each once */
        size_t n_bs;
};

void bench_shapes_deinit(struct bench_shapes *shapes);

/*
 * Appends "M,K,N", behind which a count may follow after blanks. False: `ret_text` says what is wrong with it.
 */
bool bench_shapes_add(struct bench_shapes *shapes, const char *words, char ret_text[BENCH_TEXT_MAX]);

/*
 * Appends a file's shapes: one a line, empty lines and what follows a # ignored. Returns 0; -EINVAL: what the
 * file says makes no sense; another -errno: it cannot be read. `ret_text` goes on behind the file's name.
 */
int bench_shapes_read(struct bench_shapes *shapes, const char *path, char ret_text[BENCH_TEXT_MAX]);

/* Whose turn it is; zeroed: the first one's. */
struct bench_turn {
        size_t at;
        uint64_t n_done; /* of its count */
};

/* The shape of the next job. */
const struct bench_shape *bench_turn_next(struct bench_turn *turn, const struct bench_shapes *shapes);

#endif
