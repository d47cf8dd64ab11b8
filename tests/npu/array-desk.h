/* SPDX-License-Identifier: MIT */
/*
 * array-desk.h - streams written by hand from xclbin/README.md, and what is right, for the tests of the model itself.
 *
 * What is right is computed from row-major matrices; the kernel is a loop over the layouts of section 3.
 *
 * Thread: one. State is static: one desk a program.
 */
#ifndef TESTS_NPU_ARRAY_DESK_H
#define TESTS_NPU_ARRAY_DESK_H

#include <check.h>
#include <stdio.h>

#include "tests/lib/rng.h"
#include "tests/npu/array-model.h"

#define A_OBJECT UINT32_C(4160)
#define B_OBJECT UINT32_C(4096)
#define C_OBJECT UINT32_C(65536)
#define C_TILE   UINT32_C(16384)

#define PRODUCTS_MAX 3

static struct rng rng;

/* ---- the kernel ---- */

static size_t at_a(size_t r, size_t c) /* in the tile, in the object it is 64 later */
{
        return r / 4 * 256 + c / 8 * 32 + r % 4 * 8 + c % 8;
}

static inline size_t at_b(size_t r, size_t c)
{
        return r / 8 * 512 + c / 8 * 64 + r % 8 * 8 + c % 8;
}

static inline void kernel_zero(int32_t *c)
{
        memset(c, 0, C_TILE);
}

static inline void kernel_step(const int32_t *a_object, const int8_t *b, int32_t *c)
{
        const int8_t *a = (const int8_t *)a_object + 64;

        for (size_t i = 0; i < 64; i++)
                for (size_t k = 0; k < 64; k++)
                        for (size_t j = 0; j < 64; j += 8)
                                for (size_t jj = 0; jj < 8; jj++)
                                        c[at_a(i, j) + jj] += a[at_a(i, k)] * b[at_b(k, j) + jj];
}

static inline void kernel_tile(const int8_t *in, int8_t *out)
{
        for (size_t i = 0; i < 16; i++)
                for (size_t j = 0; j < 16; j++) {
                        int32_t sum = 0;

                        for (size_t k = 0; k < 16; k++)
                                sum += in[16 * i + k] * in[256 + 16 * k + j];
                        sum >>= 7;
                        out[16 * i + j] = (int8_t)MAX(MIN(sum, 127), -128);
                }
}

static inline struct array *new_array(enum array_program program, enum array_mode mode,
                                      enum array_schedule schedule)
{
        struct array *array = array_new(&(struct array_options){.program = program,
                                                                .mode = mode,
                                                                .schedule = schedule,
                                                                .seed = rng_next(&rng),
                                                                .zero = kernel_zero,
                                                                .step = kernel_step,
                                                                .tile = kernel_tile});

        ck_assert_ptr_nonnull(array);
        return array;
}

/* ---- streams ---- */

enum flow { FLOW_NONE = 0, FLOW_POLL, FLOW_TOKEN };

struct stream {
        enum flow flow;
        uint32_t n_tasks[ARRAY_COLUMNS][ARRAY_CHANNELS];
        size_t n_words;
        uint32_t words[16384];
};

static inline void put(struct stream *stream, size_t n, const uint32_t *words)
{
        ck_assert_uint_le(stream->n_words + n, ARRAY_SIZE(stream->words));
        memcpy(stream->words + stream->n_words, words, n * sizeof *words);
        stream->n_words += n;
        stream->words[2]++;
        stream->words[3] = (uint32_t)stream->n_words * 4;
}

#define PUT(stream, ...)                                                                                     \
        put(stream, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})

static inline void stream_begin(struct stream *stream, enum flow flow)
{
        memset(stream, 0, sizeof *stream);
        stream->flow = flow;
        stream->words[0] = 0x06030100;
        stream->words[1] = 0x00000104;
        stream->words[3] = 16;
        stream->n_words = 4;
}

static inline uint32_t descriptor_register(uint32_t column, uint32_t descriptor)
{
        return column << 25 | (0x1D000 + 32 * descriptor);
}

static inline void put_descriptor(struct stream *stream, uint32_t column, uint32_t descriptor, uint32_t bytes)
{
        PUT(stream, 1, column, descriptor_register(column, descriptor), 48, bytes / 4, 0, 0, 0, 0x80000000,
            0x02000000, 0, 0x02000000);
}

static inline void put_patch(struct stream *stream, uint32_t column, uint32_t descriptor, uint32_t argument,
                             uint32_t offset)
{
        PUT(stream, 0x81, 48, 0, 0, 0, 0, descriptor_register(column, descriptor) + 4, 0, argument, 0, offset,
            0);
}

static inline void put_control(struct stream *stream, uint32_t column, enum array_channel channel)
{
        PUT(stream, 3, 0, column << 25 | (0x1D200 + 8 * channel), 0, 0xF00, 0x1F00, 28);
}

static inline void put_push(struct stream *stream, uint32_t column, enum array_channel channel,
                            uint32_t descriptor, uint32_t repeats, bool gives_token)
{
        PUT(stream, 0, 0, column << 25 | (0x1D204 + 8 * channel), 0,
            descriptor + 65536 * (repeats - 1) + (gives_token ? 0x80000000 : 0), 24);
}

static inline void put_poll(struct stream *stream, uint32_t column, enum array_channel channel)
{
        PUT(stream, 4, 0, column << 25 | (0x1D220 + 4 * channel), 0, 0, 0x00400000, 28);
}

static inline void put_wait(struct stream *stream, uint32_t column, enum array_channel channel)
{
        PUT(stream, 0x80, 16, (channel >= ARRAY_MM2S0) + 65536 * column,
            0x00010100 + (channel % 2) * 0x1000000);
}

/* The next task of a lane, with its descriptor of the lane's five and its flow. */
static inline void put_task(struct stream *stream, uint32_t column, enum array_channel channel,
                            uint32_t argument, uint32_t offset, uint32_t bytes, uint32_t repeats)
{
        const uint32_t n = stream->n_tasks[column][channel]++;
        const uint32_t descriptor = n % 5 + (channel == ARRAY_MM2S1 ? 5 : 0);

        if (n >= 4 && stream->flow == FLOW_POLL)
                put_poll(stream, column, channel);
        if (n >= 4 && stream->flow == FLOW_TOKEN)
                put_wait(stream, column, channel);
        put_descriptor(stream, column, descriptor, bytes);
        put_patch(stream, column, descriptor, argument, offset);
        if (n == 0 && stream->flow == FLOW_TOKEN)
                put_control(stream, column, channel);
        put_push(stream, column, channel, descriptor, repeats, stream->flow == FLOW_TOKEN);
}

static inline void put_c_task(struct stream *stream, uint32_t column, uint32_t offset, uint32_t bytes)
{
        put_descriptor(stream, column, 10, bytes);
        put_patch(stream, column, 10, 2, offset);
        put_control(stream, column, ARRAY_S2MM0);
        put_push(stream, column, ARRAY_S2MM0, 10, 1, true);
}

/* What is left of the flow, then C. */
static inline void put_waits(struct stream *stream)
{
        for (uint32_t j = 0; j < ARRAY_COLUMNS && stream->flow == FLOW_TOKEN; j++)
                for (uint32_t channel = ARRAY_MM2S0; channel <= ARRAY_MM2S1; channel++)
                        for (uint32_t n = MIN(stream->n_tasks[j][channel], 4); n > 0; n--)
                                put_wait(stream, j, channel);
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                put_wait(stream, j, ARRAY_S2MM0);
}

/* ---- products, their matrices, and their place in the buffers ---- */

struct size {
        uint32_t mt, nt, kt;
};

struct product {
        struct size size;
        uint32_t a_at, b_at, b_argument, first;
        int8_t *a, *b; /* row-major */
};

/* Buffers are as large as what they hold: a byte too many is a fault. */
struct world {
        size_t n_products;
        struct product products[PRODUCTS_MAX];
        uint32_t n_macro_tiles;
        uint32_t n_steps;
        struct array_buffer buffers[ARRAY_ARGUMENTS];
        struct array *array;
        struct stream stream;
        struct array_result result;
};

static struct world world;

static inline uint32_t a_stride(const struct size *size)
{
        return size->mt * size->kt * A_OBJECT;
}

static inline uint32_t b_stride(const struct size *size)
{
        return size->nt * size->kt * B_OBJECT;
}

static inline uint8_t *a_object(const struct product *product, uint32_t i, uint32_t m, uint32_t k)
{
        return world.buffers[0].bytes + product->a_at + i * a_stride(&product->size) +
               (m * product->size.kt + k) * A_OBJECT;
}

static inline uint8_t *b_object(const struct product *product, uint32_t j, uint32_t n, uint32_t k)
{
        return world.buffers[product->b_argument].bytes + product->b_at + j * b_stride(&product->size) +
               (n * product->size.kt + k) * B_OBJECT;
}

static inline uint8_t *c_tile(const struct product *product, uint32_t i, uint32_t j, uint32_t m, uint32_t n)
{
        return world.buffers[2].bytes +
               (j * world.n_macro_tiles + product->first + n * product->size.mt + m) * C_OBJECT + i * C_TILE;
}

static inline void place(const struct size *sizes, size_t n)
{
        memset(&world, 0, sizeof world);
        world.n_products = n;
        for (size_t p = 0; p < n; p++) {
                struct product *product = &world.products[p];

                product->size = sizes[p];
                product->b_argument = p % 2 ? 3 : 1;
                product->a_at = (uint32_t)world.buffers[0].size;
                product->b_at = (uint32_t)world.buffers[product->b_argument].size;
                product->first = world.n_macro_tiles;
                world.buffers[0].size += 4 * a_stride(&sizes[p]);
                world.buffers[product->b_argument].size += 4 * b_stride(&sizes[p]);
                world.n_macro_tiles += sizes[p].mt * sizes[p].nt;
                world.n_steps += sizes[p].mt * sizes[p].nt * sizes[p].kt;
        }
        world.buffers[2].size = 4 * world.n_macro_tiles * C_OBJECT;
        for (size_t i = 0; i < ARRAY_ARGUMENTS; i++)
                if (world.buffers[i].size > 0)
                        ck_assert_ptr_nonnull(world.buffers[i].bytes = calloc(1, world.buffers[i].size));
}

static inline void pack(struct product *product)
{
        const uint32_t mt = product->size.mt, nt = product->size.nt, kt = product->size.kt;

        for (uint32_t i = 0; i < 4; i++)
                for (uint32_t m = 0; m < mt; m++)
                        for (uint32_t k = 0; k < kt; k++) {
                                put_le(a_object(product, i, m, k), kt, 4);
                                put_le(a_object(product, i, m, k) + 4, 0x34365453, 4);
                        }
        for (uint32_t r = 0; r < mt * 256; r++)
                for (uint32_t k = 0; k < kt * 64; k++)
                        a_object(product, r / 64 % 4, r / 256, k / 64)[64 + at_a(r % 64, k % 64)] =
                                (uint8_t)product->a[r * kt * 64 + k];
        for (uint32_t k = 0; k < kt * 64; k++)
                for (uint32_t c = 0; c < nt * 256; c++)
                        b_object(product, c / 64 % 4, c / 256, k / 64)[at_b(k % 64, c % 64)] =
                                (uint8_t)product->b[k * nt * 256 + c];
}

static inline void world_begin(const struct size *sizes, size_t n, enum array_mode mode,
                               enum array_schedule schedule)
{
        place(sizes, n);
        for (size_t p = 0; p < n; p++) {
                struct product *product = &world.products[p];
                const size_t a_bytes = (size_t)sizes[p].mt * 256 * sizes[p].kt * 64;
                const size_t b_bytes = (size_t)sizes[p].nt * 256 * sizes[p].kt * 64;

                ck_assert_ptr_nonnull(product->a = malloc(a_bytes));
                ck_assert_ptr_nonnull(product->b = malloc(b_bytes));
                rng_fill(&rng, product->a, a_bytes);
                rng_fill(&rng, product->b, b_bytes);
                pack(product);
        }
        world.array = new_array(ARRAY_STREAM64, mode, schedule);
}

static inline void world_end(void)
{
        for (size_t i = 0; i < ARRAY_ARGUMENTS; i++)
                free(world.buffers[i].bytes);
        for (size_t p = 0; p < world.n_products; p++) {
                free(world.products[p].a);
                free(world.products[p].b);
        }
        array_free(world.array);
}

static inline void begin(enum flow flow)
{
        stream_begin(&world.stream, flow);
}

static inline void put_c(void)
{
        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++)
                put_c_task(&world.stream, j, j * world.n_macro_tiles * C_OBJECT,
                           world.n_macro_tiles * C_OBJECT);
}

static inline void put_a(const struct product *product, uint32_t i)
{
        put_task(&world.stream, i, ARRAY_MM2S0, 0, product->a_at + i * a_stride(&product->size),
                 a_stride(&product->size), product->size.nt);
}

static inline void put_b(const struct product *product, uint32_t j, uint32_t n)
{
        const uint32_t bytes = product->size.kt * B_OBJECT;

        put_task(&world.stream, j, ARRAY_MM2S1, product->b_argument,
                 product->b_at + j * b_stride(&product->size) + n * bytes, bytes, product->size.mt);
}

/* The whole batch, in the order of section 4. */
static inline void put_all(enum flow flow)
{
        begin(flow);
        put_c();
        for (size_t p = 0; p < world.n_products; p++)
                for (uint32_t n = 0; n < world.products[p].size.nt; n++)
                        for (uint32_t j = 0; j < ARRAY_COLUMNS; j++) {
                                if (n == 0)
                                        put_a(&world.products[p], j);
                                put_b(&world.products[p], j, n);
                        }
        put_waits(&world.stream);
}

static inline enum array_outcome run(void)
{
        return array_run(world.array, world.stream.words, world.stream.n_words, world.buffers, &world.result);
}

static inline void expect(enum array_outcome outcome, const char *text)
{
        ck_assert_msg(run() == outcome, "outcome %d: %s", (int)world.result.outcome, world.result.text);
        ck_assert_msg(strstr(world.result.text, text), "\"%s\" is not in: %s", text, world.result.text);
}

static inline void expect_completed(void)
{
        expect(ARRAY_COMPLETED, "");
        ck_assert_str_eq(world.result.text, "");
        ck_assert(world.result.is_clean);
        ck_assert_uint_eq(world.result.word, world.stream.n_words);
        ck_assert_uint_eq(world.result.stats.ops, world.stream.words[2]);
        ck_assert_uint_eq(world.result.stats.steps, 16 * world.n_steps);
        ck_assert_uint_eq(world.result.stats.c_tiles, 16 * world.n_macro_tiles);
        ck_assert_uint_eq(world.result.stats.pushes_dropped, 0);
}

/* 2,048 elements of each product at random, which is some of every tile: each is what the matrices give. */
static inline bool is_right(void)
{
        bool is = true;

        for (size_t p = 0; p < world.n_products; p++) {
                const struct product *product = &world.products[p];
                const uint32_t depth = product->size.kt * 64, cols = product->size.nt * 256;

                for (uint32_t n = 0; n < 2048; n++) {
                        const uint32_t r = (uint32_t)rng_below(&rng, product->size.mt * 256);
                        const uint32_t c = (uint32_t)rng_below(&rng, cols);
                        const uint8_t *tile = c_tile(product, r / 64 % 4, c / 64 % 4, r / 256, c / 256);
                        int32_t sum = 0;

                        for (uint32_t k = 0; k < depth; k++)
                                sum += product->a[r * depth + k] * product->b[k * cols + c];
                        is &= (int32_t)get_le(tile + 4 * at_a(r % 64, c % 64), 4) == sum;
                }
        }
        return is;
}

static inline uint64_t mix(uint64_t h, uint64_t a, uint64_t b) /* as array-model.h has it */
{
        h = ((h + 0x9e3779b97f4a7c15) ^ a) * 0xff51afd7ed558ccd;
        h ^= h >> 32;
        h = (h ^ b) * 0xc4ceb9fe1a85ec53;
        return h ^ h >> 29;
}

static inline bool tile_is_tagged(const struct product *product, uint32_t i, uint32_t j, uint32_t m,
                                  uint32_t n)
{
        const uint8_t *tile = c_tile(product, i, j, m, n);
        uint64_t tag = 0;

        for (uint32_t k = 0; k < product->size.kt; k++)
                tag = mix(tag, get_le(a_object(product, i, m, k) + 64, 8),
                          get_le(b_object(product, j, n, k), 8));
        for (size_t byte = 8; byte < C_TILE; byte++)
                if (tile[byte] != 0)
                        return false;
        return get_le(tile, 8) == tag;
}

static inline bool is_tagged(void)
{
        bool is = true;

        for (size_t p = 0; p < world.n_products; p++) {
                const struct product *product = &world.products[p];

                for (uint32_t n = 0; n < product->size.nt; n++)
                        for (uint32_t m = 0; m < product->size.mt; m++)
                                for (uint32_t ij = 0; ij < 16; ij++)
                                        is &= tile_is_tagged(product, ij / 4, ij % 4, m, n);
        }
        return is;
}

static inline void clear_c(void)
{
        memset(world.buffers[2].bytes, 0, world.buffers[2].size);
}

#endif
