/* SPDX-License-Identifier: MIT */
/*
 * array-model.h - a model of the NPU's array: executes an instruction stream on buffers.
 *
 * Role:   judges streams. Command processor, shim DMA with its queues and descriptors, lanes of finite FIFOs, 16 cores,
 *         the join of C; xclbin/README.md with constants of its own, sharing no code with the daemon.
 * In:     the words of a TXN stream and the five buffer objects that it names.
 * Out:    bytes of those buffers, and how it ended: faults are results, whatever the stream contains.
 * Thread: any; one struct array belongs to one thread.
 * Never:  prints, aborts on its input, has global state.
 *
 * A MODEL: written from published facts, never run beside silicon. It knows order, capacity and bytes, and no time.
 */
#ifndef TESTS_NPU_ARRAY_MODEL_H
#define TESTS_NPU_ARRAY_MODEL_H

#include "proto/base.h"

#define ARRAY_COLUMNS   4
#define ARRAY_ARGUMENTS 5

/* What runs on the array: sections 1 to 7 and section 9 of xclbin/README.md. */
enum array_program {
        ARRAY_STREAM64 = 0,
        ARRAY_TILE16,
};

/*
 * NUMBERS moves all bytes and calls the kernel. TAGS follows 64-bit tags, little-endian, in place of tiles: it reads
 * 8 bytes of an object, at offset 64 in A (and word 0 of A's header), at 0 in B and in tile16's input, and writes the
 * first 8 bytes of each C tile (of each tile16 output) alone. The tag of a C tile is
 *      h = 0; for each of its steps, in order: h = array_tag_mix(h, tag of A, tag of B)
 * and that of a tile16 output array_tag_mix(0, tag of the input, 0).
 */
enum array_mode {
        ARRAY_NUMBERS = 0,
        ARRAY_TAGS,
};

/*
 * The command processor and the array run beside each other, and nothing says how fast. What a correct stream does is
 * the same under all of these.
 *      EAGER:  the array does all that it can before each next operation.
 *      LAZY:   the array moves only when the processor waits, and no further than ends the wait; it does not move after
 *              the last operation.
 *      RANDOM: between operations random parts of the array make a random number of moves.
 */
enum array_schedule {
        ARRAY_EAGER = 0,
        ARRAY_LAZY,
        ARRAY_RANDOM,
};

struct array_options {
        enum array_program program;
        enum array_mode mode;
        enum array_schedule schedule;
        uint64_t seed; /* of RANDOM */

        /* The kernel, for NUMBERS alone: stream64's first two, tile16's third. Objects are aligned to 64 bytes. */
        void (*zero)(int32_t *c_tile);
        void (*step)(const int32_t *a_object, const int8_t *b_tile, int32_t *c_tile);
        void (*tile)(const int8_t *in, int8_t *out);
};

/* A buffer object, bound to a run as one of its arguments; NULL and 0 for none. Stays the caller's. */
struct array_buffer {
        uint8_t *bytes;
        uint64_t size;
};

enum array_outcome {
        ARRAY_COMPLETED = 0,
        ARRAY_NO_PROGRESS, /* the processor waits for what can never happen */
        ARRAY_BAD_STREAM,  /* malformed, or it makes a DMA do what the contract does not know */
        ARRAY_CORE_FAULT,  /* a core took a trip count that is none: hardware would hang, or run wild */
};

/* Shim channels, in the order of their registers. */
enum array_channel {
        ARRAY_S2MM0 = 0,
        ARRAY_S2MM1,
        ARRAY_MM2S0,
        ARRAY_MM2S1,
        ARRAY_CHANNELS,
};

/* Of one run. */
struct array_stats {
        uint64_t ops;                                  /* executed to their end */
        uint64_t tasks[ARRAY_COLUMNS][ARRAY_CHANNELS]; /* started; repeats of one are one */
        uint64_t bytes[ARRAY_COLUMNS][ARRAY_CHANNELS];
        uint64_t pushes_dropped; /* at a full queue */
        uint64_t steps;          /* of all cores */
        uint64_t c_tiles;        /* written to their last byte, or outputs of tile16 */
};

struct array_result {
        enum array_outcome outcome;
        size_t word;     /* where the operation stands that it ended at; COMPLETED: words of the stream */
        char text[1024]; /* why; empty if COMPLETED */
        bool is_clean;   /* nothing is left in the array: no object nor a part of one, no task, no token */
        struct array_stats stats;
};

struct array;

/* A context, with nothing in it. NULL if memory is short. */
struct array *array_new(const struct array_options *options);

/* Accepts NULL. */
void array_free(struct array *array);

/* A new context: forgets registers, tasks, tokens and every byte in the array. Keeps options, and goes on in RANDOM. */
void array_reset(struct array *array);

void array_set_schedule(struct array *array, enum array_schedule schedule, uint64_t seed);

/*
 * Executes one stream, and returns ret_result->outcome too. Whatever it leaves in the array is there for the next run,
 * also after a fault, until array_reset. An address is an argument and an offset: a task that is left over goes on in
 * the buffers of the next run.
 */
enum array_outcome array_run(struct array *array, const uint32_t *words, size_t n_words,
                             const struct array_buffer buffers[ARRAY_ARGUMENTS],
                             struct array_result *ret_result);

/*
 * Tells order, and A from B:
 *      h = (h + 0x9e3779b97f4a7c15 ^ a) * 0xff51afd7ed558ccd;   h ^= h >> 32
 *      h = (h                      ^ b) * 0xc4ceb9fe1a85ec53;   h ^= h >> 29
 */
uint64_t array_tag_mix(uint64_t h, uint64_t a, uint64_t b);

#endif
