/* SPDX-License-Identifier: MIT */
/*
 * array-parts.h - what the model's array is made of; for array-*.c alone.
 *
 * Role:   state of shims, lanes, cores and joins, and the moves that each can make.
 *
 * Design notes. Every part that acts by itself is an actor: its move does a bounded piece of work if it can and says
 * whether it did. Parts share nothing but FIFOs with one writer, so results do not depend on the order of moves; what
 * depends on it is what the command processor sees, and which registers a DMA finds: that is what schedules are for.
 *
 * A FIFO is counts of objects that have passed each of its stages, and four slots, the n-th object in slot n mod 4.
 * Nothing is copied from stage to stage: with two objects a stage, and the stages at their fullest, the oldest object
 * that somebody still reads and the newest that somebody writes are less than four apart.
 */
#ifndef TESTS_NPU_ARRAY_PARTS_H
#define TESTS_NPU_ARRAY_PARTS_H

#include <stdalign.h>

#include "tests/npu/array-model.h"

#define DEPTH       2 /* objects of one kind in a memory tile, and in a core */
#define SLOTS       (2 * DEPTH)
#define READERS     4
#define PARTS       4
#define LANES       8
#define CORES       16
#define DESCRIPTORS 16
#define QUEUE       4 /* tasks that wait, beside the one that runs */
#define A_TAG_AT    8 /* in an image of TAGS, behind the header's word */

/* Bytes of an object of which the model knows something: all of them, or those of its tag. */
struct shape {
        uint32_t bytes; /* of the object itself */
        uint32_t image; /* of what is kept, in a slot */
        uint32_t n_kept;
        struct {
                uint32_t from, n; /* bytes of the object */
                uint32_t at;      /* in the image */
        } kept[2];
};

/* From a shim through a memory tile to the cores that share it. */
struct lane {
        char name[4];
        struct shape shape;
        uint8_t *slots;
        uint32_t n_readers;
        uint32_t partial; /* bytes of the next object that have come */
        uint64_t n_arrived, n_sent, n_taken[READERS];
};

/* From the cores of a column through a memory tile, which puts their tiles together, to a shim. */
struct join {
        char name[4];
        struct shape shape; /* of a tile */
        uint8_t *slots;     /* SLOTS of each part, one part after the other */
        uint32_t n_parts;
        uint32_t drained; /* bytes of the next object that have left */
        uint64_t n_released[PARTS], n_joined[PARTS], n_drained;
};

struct core {
        struct lane *a, *b; /* tile16 has no b */
        uint32_t a_reader, b_reader;
        struct join *join;
        uint32_t part;
        uint32_t steps_left; /* of a macro-tile; 0 between two */
        uint64_t tag;        /* TAGS: of the C tile that is being made */
};

struct descriptor {
        uint32_t words[8];
        bool is_patched; /* since its address was written by anything but a patch */
};

struct task {
        uint32_t descriptor;
        uint32_t repeats; /* left, the running one included */
        bool gives_token;
};

struct channel {
        uint32_t column;
        enum array_channel index;
        struct lane *lane; /* MM2S; NULL if it leads nowhere */
        struct join *join; /* S2MM; NULL if nothing comes */
        uint32_t control;
        struct task queue[QUEUE];
        uint32_t n_waiting;
        struct task running;    /* none if its repeats are 0 */
        uint64_t address, left; /* of this repeat; its descriptor is yet to be read if 0 are left */
        uint64_t n_tokens;
};

struct shim {
        struct descriptor descriptors[DESCRIPTORS];
        struct channel channels[ARRAY_CHANNELS];
};

struct actor {
        bool (*move)(struct array *array, void *part);
        void *part;
};

#define ACTORS (ARRAY_COLUMNS * ARRAY_CHANNELS + LANES + CORES + ARRAY_COLUMNS)

struct array {
        struct array_options options;
        uint64_t chance;

        /* One run's. */
        const uint32_t *words;
        size_t n_words, at; /* `at`: the operation */
        const struct array_buffer *buffers;
        struct array_result *result;
        bool is_over;      /* the result is known */
        uint64_t n_events; /* changes of what the processor can see: queues and tokens */

        /* The context's, from here on. */
        struct shim shims[ARRAY_COLUMNS];
        struct lane lanes[LANES];
        struct core cores[CORES];
        struct join joins[ARRAY_COLUMNS];
        size_t n_lanes, n_cores, n_joins;
        struct actor actors[ACTORS];
        size_t n_actors, next_actor;

        /* Slots. Whatever is read of them was written before. */
        size_t memory_used;
        alignas(64) uint8_t memory[LANES / 2 * SLOTS * (4160 + 4096) + CORES * SLOTS * 16384];
};

/* array-model.c */

/*
 * What a patch makes of an argument and an offset: an address that no other argument's can be taken for, however far it
 * runs over. Only patches make addresses.
 */
#define ADDRESS_ARGUMENT_AT 40
uint64_t array_address(uint32_t argument, uint32_t offset);

/* Both end the run; the first one counts. The second is for what a channel never gives. */
_printf_(3, 4) void array_fault(struct array *array, enum array_outcome outcome, const char *format, ...);
void array_stuck(struct array *array, const char *what, const struct channel *channel);
const char *array_channel_name(enum array_channel index);

/* array-controller.c */

/* Executes the stream of the run to its end or to a fault. */
void array_execute(struct array *array);

/* array-dma.c */
bool array_channel_move(struct array *array, void *channel);

/* False if the descriptor is none that a task could run with: the run is over. */
bool array_descriptor_load(struct array *array, const struct channel *channel, uint32_t number,
                           uint64_t *ret_address, uint64_t *ret_bytes);

/* array-cores.c */
uint64_t array_lane_room(const struct lane *lane);                 /* bytes */
void array_lane_put(struct lane *lane, uint8_t *from, uint64_t n); /* n: at most its room */
uint64_t array_join_ready(const struct join *join);                /* bytes */
uint64_t array_join_take(struct join *join, uint8_t *to,
                         uint64_t n); /* n: at most what is ready; tiles that ended */
bool array_lane_move(struct array *array, void *lane);
bool array_core_move(struct array *array, void *core);
bool array_tile16_move(struct array *array, void *core);
bool array_join_move(struct array *array, void *join);

#endif
