/* SPDX-License-Identifier: MIT */
/* cli-bench-shapes.c - see cli-bench-shapes.h. */
#include "cli-bench-shapes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "npumm.h"

#define DIM_MAX          0x7fffffffu /* of M and N, by the protocol */
#define COUNT_MAX        UINT64_C(1000000000)
#define MATRIX_BYTES_MAX ((uint64_t)1 << 32) /* a slip of the finger shall not fill the machine's memory */

void bench_shapes_deinit(struct bench_shapes *shapes)
{
        free(shapes->all);
        free(shapes->bs);
        *shapes = (struct bench_shapes){0};
}

_printf_(2, 3) static bool text_false(char ret_text[BENCH_TEXT_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(ret_text, BENCH_TEXT_MAX, format, args);
        va_end(args);
        return false;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads digits and moves on behind them; what does not fit becomes UINT64_MAX. */
static bool number_read(const char **words, uint64_t *ret_number)
{
        const size_t n_digits = strspn(*words, "0123456789");

        if (n_digits == 0)
                return false;
        *ret_number = strtoull(*words, NULL, 10);
        *words += n_digits;
        return true;
}

static bool words_read(const char *words, struct bench_shape *ret_shape)
{
        struct bench_shape shape = {.count = 1};

        while (is_blank(*words))
                words++;
        if (!number_read(&words, &shape.m) || *words++ != ',' || !number_read(&words, &shape.k) ||
            *words++ != ',' || !number_read(&words, &shape.n) || (*words != '\0' && !is_blank(*words)))
                return false;
        while (is_blank(*words))
                words++;
        if (*words != '\0' && !number_read(&words, &shape.count))
                return false;
        while (is_blank(*words))
                words++;
        *ret_shape = shape;
        return *words == '\0';
}

static bool shape_check(const struct bench_shape *shape, char ret_text[BENCH_TEXT_MAX])
{
        if (shape->m == 0 || shape->m > DIM_MAX)
                return text_false(ret_text, "M is %" PRIu64 "; it must be 1..%u", shape->m, DIM_MAX);
        if (shape->k == 0 || shape->k > NPUMM_K_MAX)
                return text_false(ret_text, "K is %" PRIu64 "; it must be 1..%u", shape->k, NPUMM_K_MAX);
        if (shape->n == 0 || shape->n > DIM_MAX)
                return text_false(ret_text, "N is %" PRIu64 "; it must be 1..%u", shape->n, DIM_MAX);
        if (shape->count == 0 || shape->count > COUNT_MAX)
                return text_false(ret_text, "the count is %" PRIu64 "; it must be 1..%" PRIu64, shape->count,
                                  COUNT_MAX);
        if (shape->m * shape->k > MATRIX_BYTES_MAX || shape->k * shape->n > MATRIX_BYTES_MAX ||
            shape->m * shape->n > MATRIX_BYTES_MAX / sizeof(int32_t))
                return text_false(ret_text, "one of its matrices has over %" PRIu64 " bytes",
                                  MATRIX_BYTES_MAX);
        return true;
}

/* Grows an array by one element: room doubles at powers of 2. */
static bool array_grow(void *array, size_t n, size_t elem_bytes)
{
        void **memory = array;
        void *more;

        if ((n & (n - 1)) != 0) /* neither 0 nor a power of 2: there is room */
                return true;
        more = reallocarray(*memory, n == 0 ? 1 : 2 * n, elem_bytes);
        if (!more)
                return false;
        *memory = more;
        return true;
}

/* The number of the B that this shape has; a new one where none before it has the same. */
static bool b_find(struct bench_shapes *shapes, struct bench_shape *shape)
{
        for (shape->b = 0; shape->b < shapes->n_bs; shape->b++)
                if (shapes->bs[shape->b].k == shape->k && shapes->bs[shape->b].n == shape->n)
                        return true;
        if (!array_grow(&shapes->bs, shapes->n_bs, sizeof *shapes->bs))
                return false;
        shapes->bs[shapes->n_bs].k = shape->k;
        shapes->bs[shapes->n_bs].n = shape->n;
        shapes->n_bs++;
        return true;
}

bool bench_shapes_add(struct bench_shapes *shapes, const char *words, char ret_text[BENCH_TEXT_MAX])
{
        struct bench_shape shape;

        if (!words_read(words, &shape))
                return text_false(ret_text, "'%.*s' is no shape; give M,K,N", (int)strcspn(words, "\r\n"),
                                  words);
        if (!shape_check(&shape, ret_text))
                return false;
        if (shapes->n == BENCH_SHAPES_MAX)
                return text_false(ret_text, "there are over %u shapes", BENCH_SHAPES_MAX);
        if (!b_find(shapes, &shape) || !array_grow(&shapes->all, shapes->n, sizeof *shapes->all))
                return text_false(ret_text, "out of memory");
        shapes->all[shapes->n++] = shape;
        return true;
}

static bool line_add(struct bench_shapes *shapes, char *line, size_t n_bytes, size_t number,
                     char ret_text[BENCH_TEXT_MAX])
{
        char text[BENCH_TEXT_MAX];

        if (strlen(line) != n_bytes)
                return text_false(ret_text, "line %zu: a 0 byte; this is no text", number);
        line[strcspn(line, "#")] = '\0';
        if (line[strspn(line, " \t\r\n")] == '\0')
                return true;
        return bench_shapes_add(shapes, line, text) || text_false(ret_text, "line %zu: %.200s", number, text);
}

int bench_shapes_read(struct bench_shapes *shapes, const char *path, char ret_text[BENCH_TEXT_MAX])
{
        FILE *file = fopen(path, "re");
        const size_t n_before = shapes->n;
        char *line = NULL;
        size_t n_room = 0;
        int r = 0;

        if (!file) {
                r = -errno;
                (void)text_false(ret_text, "cannot be opened: %s", strerror(-r));
                return r;
        }
        for (size_t number = 1; r == 0; number++) {
                const ssize_t n = getline(&line, &n_room, file);

                if (n < 0)
                        break;
                if (!line_add(shapes, line, (size_t)n, number, ret_text))
                        r = -EINVAL;
        }
        if (r == 0 && ferror(file)) {
                r = -EIO;
                (void)text_false(ret_text, "cannot be read: %s", strerror(errno));
        } else if (r == 0 && shapes->n == n_before) {
                r = -EINVAL;
                (void)text_false(ret_text, "has no shapes; give one M,K,N a line");
        }
        free(line);
        (void)fclose(file);
        return r;
}

const struct bench_shape *bench_turn_next(struct bench_turn *turn, const struct bench_shapes *shapes)
{
        if (turn->n_done == shapes->all[turn->at].count) {
                turn->n_done = 0;
                turn->at = (turn->at + 1) % shapes->n;
        }
        turn->n_done++;
        return &shapes->all[turn->at];
}
