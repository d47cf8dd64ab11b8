/* SPDX-License-Identifier: MIT */
/*
 * table.h - flat JSON objects for people to read.
 *
 * Role:   aligns columns; numbers get as many digits as say something.
 * In:     rows as bench.h describes them.
 * Thread: one.
 */
#ifndef TESTS_BENCH_TABLE_H
#define TESTS_BENCH_TABLE_H

#include <jansson.h>
#include <stdio.h>

/* A line for each key. */
void table_print_pairs(FILE *file, const json_t *object);

/* A table for each run of rows with the same keys. KEY_low and KEY_high are shown behind KEY, as [low, high]. */
void table_print_rows(FILE *file, const json_t *rows);

#endif
